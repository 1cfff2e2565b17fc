"""What an operation selects below a field."""

from collections.abc import Iterable, Mapping

from graphql import FieldNode, FragmentDefinitionNode, FragmentSpreadNode, InlineFragmentNode


def selected_names(nodes: Iterable[FieldNode], fragments: Mapping[str, FragmentDefinitionNode]) -> frozenset[str]:
    """Return the name of each field selected below these, at any depth, also where a directive leaves it out."""
    names: set[str] = set()
    spread: set[str] = set()
    left = [node.selection_set for node in nodes]
    while left:
        selection_set = left.pop()
        for node in selection_set.selections if selection_set else ():
            if isinstance(node, FieldNode):
                names.add(node.name.value)
                if node.selection_set:
                    left.append(node.selection_set)
            elif isinstance(node, InlineFragmentNode):
                left.append(node.selection_set)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in spread:
                spread.add(node.name.value)
                left.append(fragments[node.name.value].selection_set)
    return frozenset(names)
