"""What an operation selects below a field."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from graphql import FieldNode, FragmentDefinitionNode, FragmentSpreadNode, InlineFragmentNode


class SelectedField(NamedTuple):
    """The name of a selected field, and that of the field below which it is selected."""

    above: str
    name: str


class KeptNodes(list[FieldNode]):
    """The nodes of a field of a document that is kept, and what is selected below them, which does not change."""

    def __init__(self, nodes: Iterable[FieldNode], fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        super().__init__(nodes)
        self.selected = selected_fields([*self], fragments)


def selected_fields(
    nodes: Iterable[FieldNode], fragments: Mapping[str, FragmentDefinitionNode]
) -> frozenset[SelectedField]:
    """Return the fields selected below these, at any depth, also where a directive leaves them out."""
    if isinstance(nodes, KeptNodes):
        return nodes.selected
    found: set[SelectedField] = set()
    spread: set[tuple[str, str]] = set()
    left = [(node.name.value, node.selection_set) for node in nodes]
    while left:
        above, selection_set = left.pop()
        for node in selection_set.selections if selection_set else ():
            if isinstance(node, FieldNode):
                found.add(SelectedField(above, node.name.value))
                left.append((node.name.value, node.selection_set))
            elif isinstance(node, InlineFragmentNode):
                left.append((above, node.selection_set))
            elif isinstance(node, FragmentSpreadNode) and (above, node.name.value) not in spread:
                spread.add((above, node.name.value))
                left.append((above, fragments[node.name.value].selection_set))
    return frozenset(found)
