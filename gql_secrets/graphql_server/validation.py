"""The validation rules of documents: those of the specification, two of them bounded or without the caller's values."""

from collections.abc import Sequence
from typing import Final

from graphql import (
    ArgumentNode,
    GraphQLError,
    NoUndefinedVariablesRule,
    NoUnusedVariablesRule,
    ValuesOfCorrectTypeRule,
    VariableDefinitionNode,
    VariablesInAllowedPositionRule,
    print_ast,
    specified_rules,
)
from graphql.validation import (
    ASTValidationRule,
    DeferStreamDirectiveLabel,
    DeferStreamDirectiveOnRootField,
    DeferStreamDirectiveOnValidOperationsRule,
    OverlappingFieldsCanBeMergedRule,
    StreamDirectiveOnListField,
    ValidationContext,
)
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from gql_secrets.graphql_server.limits import Limits


class ValuesFitRule(ValuesOfCorrectTypeRule):
    """Values fit their types; one that does not is named by its argument or variable and never quoted."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self._place = "A value"

    def enter_argument(self, node: ArgumentNode, *_args: object) -> None:
        """Remember which argument the next values belong to."""
        directive = self.context.get_directive()
        of_directive = f" of directive '@{directive.name}'" if directive else ""
        self._place = f"The value of argument '{node.name.value}'{of_directive}"

    def enter_variable_definition(self, node: VariableDefinitionNode, *_args: object) -> None:
        """Remember which variable the next default belongs to."""
        self._place = f"The default of variable '${node.variable.name.value}' of type '{print_ast(node.type)}'"

    def report_error(self, error: GraphQLError) -> None:
        """Report the place of the value instead of the value."""
        argument = self.context.get_argument()
        type_ = f" '{argument.type}'" if argument is not None else ""
        super().report_error(GraphQLError(f"{self._place} does not fit its type{type_}.", error.nodes))


# These ask for every use of a variable below an operation, which is found once for a group that holds all of them. A
# document without variables passes them.
VARIABLE_RULES: Final = (NoUndefinedVariablesRule, NoUnusedVariablesRule, VariablesInAllowedPositionRule)


def validation_rules(limits: Limits) -> tuple[Sequence[type[ASTValidationRule]], ...]:
    """Return the rules that a document is validated by, in groups of about the same cost; `VARIABLE_RULES` are last.

    The rules of `@defer` and `@stream` are left out: a schema without these directives refuses them by another rule.
    """

    class FieldsMergeRule(OverlappingFieldsCanBeMergedRule):
        """Fields of one response name can be merged, found out with bounded work."""

        def __init__(self, context: ValidationContext) -> None:
            super().__init__(context)
            # The comparisons are quadratic in the number of equal names.
            self.rule_context.remaining_complexity_budget = limits.comparisons

    replaced: dict[type[ASTValidationRule], type[ASTValidationRule]] = {
        OverlappingFieldsCanBeMergedRule: FieldsMergeRule,
        ValuesOfCorrectTypeRule: ValuesFitRule,
    }
    left_out: set[type[ASTValidationRule]] = {
        *VARIABLE_RULES,
        DeferStreamDirectiveLabel,
        DeferStreamDirectiveOnRootField,
        DeferStreamDirectiveOnValidOperationsRule,
        StreamDirectiveOnListField,
    }
    specified = [replaced.get(rule, rule) for rule in specified_rules if rule not in left_out]
    rules = [*specified, MaybeNullValidationRule, OneOfInputValidationRule]
    return rules[: len(rules) // 2], rules[len(rules) // 2 :], VARIABLE_RULES
