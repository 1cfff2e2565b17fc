"""What an operation selects below a field."""

from collections.abc import Iterable, Mapping

from graphql import FieldNode, FragmentDefinitionNode, FragmentSpreadNode, InlineFragmentNode


class KeptNodes(list[FieldNode]):
    """The nodes of a field of a document that is kept, and what is selected below them, which does not change."""

    def __init__(self, nodes: Iterable[FieldNode], fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        super().__init__(nodes)
        self.selected = selected_names([*self], fragments)


def selected_names(nodes: Iterable[FieldNode], fragments: Mapping[str, FragmentDefinitionNode]) -> frozenset[str]:
    """Return the name of each field selected below these, at any depth, also where a directive leaves it out."""
    if isinstance(nodes, KeptNodes):
        return nodes.selected
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
