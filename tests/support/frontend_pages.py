"""The pages that honest frontends ask for: with generated clients they select every field."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from graphql import GraphQLObjectType, build_schema, get_named_type, is_leaf_type


def _leaves(name: str) -> str:
    """Every field of a type that has a value of its own, as a generated client selects them."""
    found = build_schema(Path(__file__).parents[2].joinpath("schema.graphql").read_text()).type_map[name]
    assert isinstance(found, GraphQLObjectType)
    return " ".join(
        field
        for field, defined in found.fields.items()
        if is_leaf_type(get_named_type(defined.type)) and not defined.args
    )


_PLAIN: Final = _leaves("Client")
_SECRET: Final = _leaves("ClientSecret")
_EVERYTHING_OF_A_SECRET: Final = f"""
  {_SECRET}
  uses {{ {_leaves("SecretUse")} }}
  usage {{ {_leaves("UsageBucket")} }}
"""
_ROLLOVER: Final = f"rollover {{ {_leaves('Rollover')} oldSecret {{ id }} newSecret {{ id }} }}"
_SOURCES: Final = f"sources {{ {_leaves('RolloverSource')} }}"
_BOTH_SECRETS: Final = f"currentSecret {{ {_SECRET} }} oldSecret {{ {_SECRET} }}"
_PAGE_INFO: Final = "pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"


@dataclass(frozen=True, slots=True)
class FrontendPage:
    """One page of a frontend; `takes_client_id` if it is about one client."""

    query: str
    takes_client_id: bool = False

    def variables(self, client_id: str) -> dict[str, Any]:
        return {"id": client_id} if self.takes_client_id else {}

    def inlined(self, client_id: str) -> str:
        """The query without variables."""
        return self.query.replace("query ($id: ID!) ", "").replace("$id", f'"{client_id}"')


PAGES: Final = {
    "every plain field of 100 clients": FrontendPage(
        f"{{ clients(first: 100) {{ totalCount nodes {{ {_PLAIN} }} {_PAGE_INFO} }} }}"
    ),
    "both secrets and the rollover of 50 clients": FrontendPage(
        f"{{ clients(first: 50) {{ totalCount nodes {{ {_PLAIN} {_BOTH_SECRETS} {_ROLLOVER} }} {_PAGE_INFO} }} }}"
    ),
    "everything about one client": FrontendPage(
        f"""query ($id: ID!) {{ client(clientId: $id) {{
          {_PLAIN} {_ROLLOVER} rollover {{ {_SOURCES} }}
          currentSecret {{ {_EVERYTHING_OF_A_SECRET} }} oldSecret {{ {_EVERYTHING_OF_A_SECRET} }}
          secrets(first: 5) {{ totalCount nodes {{ {_EVERYTHING_OF_A_SECRET} }} {_PAGE_INFO} }}
        }} }}""",
        takes_client_id=True,
    ),
    "Relay's loadNext(100) with both secrets": FrontendPage(
        f"""{{ clients(first: 100) {{
          edges {{ cursor node {{ __typename id clientId name enabled {_BOTH_SECRETS} }} }} {_PAGE_INFO}
        }} }}"""
    ),
}
