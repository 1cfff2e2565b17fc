"""From a document's text to its syntax tree, at a bounded cost."""

import re
from typing import Final

from graphql import DocumentNode, GraphQLSyntaxError, Node, Token, TokenKind, parse

from gql_secrets.graphql_server.errors import BAD_REQUEST, DocumentRefused, error_entry
from gql_secrets.graphql_server.limits import Limits

# What graphql-core says of a token out of place; the quoted text at the end, the caller's own, is dropped.
_UNEXPECTED: Final = re.compile(
    r"(?:Expected (?P<expected>Name|<EOF>|'[^']{1,12}'), found |Unexpected )"
    r"(?P<kind>'[^\w']{1,3}'|Name|Int|Float|String|BlockString|<EOF>)(?: '.*')?\.",
    re.DOTALL,
)
# Replaces the tokens of a location; errors need its offset and its source alone.
_NO_TOKEN: Final = Token(TokenKind.SOF, 0, 0, 0, 0)
_LIMIT_REACHED: Final = re.compile(r"Document (?:contains more than \d+ (?:tokens|comments)|is nested too deeply)")


def parse_document(text: str, limits: Limits) -> DocumentNode:
    """Return the syntax tree of a document.

    Raises:
        DocumentRefused: the text is over a limit or not valid; the error has a line and a column and repeats no part
            of the text.
    """
    # A character takes at most four bytes, so most texts need no second look.
    if len(text) * 4 > limits.document_bytes and len(text.encode()) > limits.document_bytes:
        raise DocumentRefused.because(f"The document is longer than {limits.document_bytes} bytes.")
    try:
        return _without_tokens(parse(text, max_lexical_tokens=limits.tokens, max_comments=limits.tokens))
    except GraphQLSyntaxError as error:
        refused = DocumentRefused([error_entry(_sentence(error.description), BAD_REQUEST, error=error)])
    # Outside the handler, so that the refusal does not keep the parser's frames alive.
    raise refused


def _without_tokens(document: DocumentNode) -> DocumentNode:
    """Return the document without the parser's tokens.

    The tokens are linked in both directions, so only the garbage collector could free them. A full collection looks at
    each object of each kept document, and all requests wait for it.
    """
    token = document.loc.start_token if document.loc else None
    while token is not None:
        following, token.prev, token.next = token.next, None, None
        token = following
    nodes: list[Node] = [document]
    while nodes:
        node = nodes.pop()
        if node.loc is not None:
            node.loc.start_token = node.loc.end_token = _NO_TOKEN
        for key in node.keys:
            value = getattr(node, key)
            if isinstance(value, Node):
                nodes.append(value)
            elif isinstance(value, tuple):
                nodes.extend(value)
    return document


def _sentence(description: str) -> str:
    if limit := _LIMIT_REACHED.match(description):
        return f"{limit[0].replace('Document', 'The document', 1)}; send values as variables, or several requests."
    match = _UNEXPECTED.fullmatch(description)
    if match is None:
        return "Syntax error: the document is not valid GraphQL."
    if match["expected"] is None:
        return f"Syntax error: unexpected {match['kind']}."
    return f"Syntax error: expected {match['expected']}, found {match['kind']}."
