"""Strawberry's executor with compiled selections: what fails by its plan is done again by graphql-core."""

from collections.abc import Callable
from functools import partial
from inspect import isawaitable
from typing import Any

from graphql import GraphQLObjectType, GraphQLOutputType, GraphQLResolveInfo
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import Path
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from gql_secrets.graphql_server.awaiting import Awaiting
from gql_secrets.graphql_server.plans import Plans
from gql_secrets.graphql_server.unfinished import UnfinishedList, finish, take_unfinished


class PlannedExecutor(StrawberryGraphQLCoreExecutionContext):
    """Strawberry's executor, with the compiled selections of the document where there are any."""

    def __init__(
        self,
        *args: Any,  # noqa: ANN401  as its base
        plans: Plans | None = None,
        can_await: bool = True,
        **given: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*args, **given)
        self._plans = plans and plans.with_variables(self.variable_values.coerced)
        self._can_await = can_await

    def end(self) -> None:
        """Let go of the helpers, which refer to the executor: with all that it used, it would be kept as garbage."""
        del self.async_helpers

    def execute_field(
        self,
        parent_type: GraphQLObjectType,
        source: Any,  # noqa: ANN401
        field_details_list: FieldDetailsList,
        path: Path,
        position_context: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Resolve and complete a field by its plan, or as graphql-core does."""
        if self._plans is not None and source is not None and len(field_details_list) == 1:
            node = field_details_list[0].node
            resolve = self._plans.field(parent_type, node)
            if resolve is not None:
                try:
                    completed = resolve.one(source)
                except Exception:  # noqa: BLE001  graphql-core does it again and says where it failed
                    take_unfinished()
                else:
                    if node.selection_set is None or not (unfinished := take_unfinished()):
                        return completed
                    again = partial(
                        super().execute_field, parent_type, source, field_details_list, path, position_context
                    )
                    return _finished(completed, unfinished, again)
        return super().execute_field(parent_type, source, field_details_list, path, position_context)

    def complete_value(
        self,
        return_type: GraphQLOutputType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,  # noqa: ANN401
        position_context: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Complete a value by its plan, or as graphql-core does."""
        if self._plans is not None and len(field_details_list) == 1:
            node = field_details_list[0].node
            complete = self._plans.completion(return_type, node)
            if complete is not None:
                try:
                    completed = complete.one(result)
                except Exception:  # noqa: BLE001  graphql-core does it again and says where it failed
                    take_unfinished()
                else:
                    if node.selection_set is None or not (unfinished := take_unfinished()):
                        return completed
                    again = partial(
                        super().complete_value, return_type, field_details_list, info, path, result, position_context
                    )
                    return _finished(completed, unfinished, again)
            elif self._can_await and result is not None:
                awaited = self._plans.awaiting(return_type, node)
                if awaited is not None:
                    again = partial(
                        super().complete_value, return_type, field_details_list, info, path, result, position_context
                    )
                    return self._awaited(awaited, result, info, again)
        return super().complete_value(return_type, field_details_list, info, path, result, position_context)

    async def _awaited(
        self,
        complete: Awaiting,
        result: Any,  # noqa: ANN401
        info: GraphQLResolveInfo[Any],
        again: Callable[[], Any],
    ) -> Any:  # noqa: ANN401
        # Strawberry's info objects have the coerced variables alone, from which graphql-core cannot read arguments.
        info = info._replace(variable_values=self.variable_values)
        try:
            [completed] = await complete.many([result], info)
        except Exception:  # noqa: BLE001  graphql-core does it again and says where it failed
            self._can_await = False  # or what is below would be tried and fail again, at each depth
            done = again()
            return await done if isawaitable(done) else done
        return completed


async def _finished(completed: Any, unfinished: list[UnfinishedList], again: Callable[[], Any]) -> Any:  # noqa: ANN401
    try:
        await finish(unfinished)
    except Exception:  # noqa: BLE001  graphql-core does it again and says where it failed
        done = again()
        return await done if isawaitable(done) else done
    return completed
