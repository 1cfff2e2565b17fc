"""Text to syntax tree, at a bounded price: graphql-core's parser over a lexer that reads by regular expression.

graphql-core's own lexer walks the text character by character in Python, so one literal of 60 KB costs as much as
a thousand tokens. This one takes a token in one match and leaves only what is rare (escapes, block strings, numbers
that are none) to graphql-core, whose rules therefore stay in force.
"""

from __future__ import annotations

import re

from graphql import DocumentNode, GraphQLSyntaxError, Source
from graphql.language import Lexer, Token, TokenKind
from graphql.language.parser import Parser

from gql_secrets.graphql_server.errors import BAD_REQUEST, error_entry

MAX_NAME = 256
MAX_NUMBER = 64
DEEPEST_BRACKETS = 40
"""Brackets inside brackets, more than any document within the other limits needs."""

ignored = re.compile(r"(?:[ \t,\ufeff\n\r]++|#[^\n\r]*+)*+")
word = re.compile(
    r"""(?P<name>[_A-Za-z][_0-9A-Za-z]*+)
    | (?P<mark>[!$&():=@\[\]{|}]|\.\.\.)
    | (?P<number>-?(?:0|[1-9][0-9]*+)(?P<fraction>\.[0-9]++)?(?P<exponent>[eE][+-]?[0-9]++)?(?![0-9A-Za-z_.]))
    | (?P<block>\"{3}(?:[^"\\]++|\\\"{3}|\\|"(?!""))*+\"{3})
    | (?P<text>"(?!"")(?:[^"\\\n\r]++|\\.)*+")
    | (?P<open>")""",
    re.VERBOSE,
)
marks = {
    kind.value: kind
    for kind in (
        TokenKind.BANG,
        TokenKind.DOLLAR,
        TokenKind.AMP,
        TokenKind.PAREN_L,
        TokenKind.PAREN_R,
        TokenKind.SPREAD,
        TokenKind.COLON,
        TokenKind.EQUALS,
        TokenKind.AT,
        TokenKind.BRACKET_L,
        TokenKind.BRACKET_R,
        TokenKind.BRACE_L,
        TokenKind.BRACE_R,
        TokenKind.PIPE,
    )
}
found = re.compile(
    r"(?:Expected (?P<expected>Name|<EOF>|'[^']{1,12}'), found |Unexpected )"
    r"(?P<kind>'[^\w']{1,3}'|Name|Int|Float|String|BlockString|<EOF>)(?: '.*')?\.",
    re.DOTALL,
)
"""What graphql-core says of a token out of place; the quoted text at the end, the caller's own, is dropped."""


class DocumentRefused(Exception):  # noqa: N818  (named like the rest of the family)
    """A document that will not be executed, with the `errors` that say why."""

    def __init__(self, errors: list[dict[str, object]]) -> None:
        super().__init__("the document is refused")
        self.errors = errors

    @classmethod
    def because(cls, sentence: str, code: str = BAD_REQUEST) -> DocumentRefused:
        """A document refused for one reason that has no place in its text."""
        return cls([error_entry(sentence, code)])


class TextLexer(Lexer):
    """Reads tokens by regular expression, counts them, and adds up the literals."""

    def __init__(self, source: Source, tokens: int, literal_characters: int) -> None:
        super().__init__(source)
        self._tokens = self._tokens_left = tokens
        self._literals = self._literals_left = literal_characters
        self._brackets = 0

    def read_next_token(self, start: int) -> Token:
        """The next token; a comment is skipped like a blank, so it costs and keeps nothing."""
        body = self.source.body
        blank = ignored.match(body, start)
        position = blank.end() if blank else start
        if position != start:
            self._count_lines(body, start, position)
        match = word.match(body, position)
        if match is None:
            return super().read_next_token(position)
        self._tokens_left -= 1
        if self._tokens_left < 0:
            raise DocumentRefused.because(
                f"The document has more than {self._tokens} tokens: send values as variables, or several requests."
            )
        kind = match.lastgroup
        end = match.end()
        if kind == "name":
            self._bound("name", end - position, MAX_NAME)
            return self.create_token(TokenKind.NAME, position, end, match[0])
        if kind == "mark":
            return self._mark(match[0], position, end)
        if kind == "number":
            self._bound("number", end - position, MAX_NUMBER)
            whole = match["fraction"] is None and match["exponent"] is None
            return self.create_token(TokenKind.INT if whole else TokenKind.FLOAT, position, end, match[0])
        if kind == "open":
            raise GraphQLSyntaxError(self.source, position, "Unterminated string.")
        self._literals_left -= end - position
        if self._literals_left < 0:
            raise DocumentRefused.because(
                f"The document's text literals exceed {self._literals} characters: send them as variables."
            )
        if kind == "text" and "\\" not in (value := match[0]):
            return self.create_token(TokenKind.STRING, position, end, value[1:-1])
        return super().read_next_token(position)

    def _mark(self, mark: str, start: int, end: int) -> Token:
        if mark in "([{":
            self._brackets += 1
            if self._brackets > DEEPEST_BRACKETS:
                raise DocumentRefused.because(f"The document nests brackets more than {DEEPEST_BRACKETS} deep.")
        elif mark in ")]}":
            self._brackets -= 1
        return self.create_token(marks[mark], start, end)

    def _bound(self, what: str, length: int, longest: int) -> None:
        if length > longest:
            raise DocumentRefused.because(f"The document has a {what} of more than {longest} characters.")

    def _count_lines(self, body: str, start: int, end: int) -> None:
        feeds = body.count("\n", start, end)
        returns = body.count("\r", start, end)
        if feeds or returns:
            self.line += feeds + returns - (body.count("\r\n", start, end) if feeds and returns else 0)
            self.line_start = max(body.rfind("\n", start, end), body.rfind("\r", start, end)) + 1


def parse_document(text: str, *, tokens: int, literal_characters: int) -> DocumentNode:
    """The syntax tree of `text`, or DocumentRefused with a line and a column and no piece of the text."""
    source = Source(text)
    parser = Parser(source, lexer=TextLexer(source, tokens, literal_characters))
    try:
        return parser.parse_document()
    except GraphQLSyntaxError as error:
        refused = DocumentRefused([error_entry(_sentence(error.description), BAD_REQUEST, error=error)])
    # Outside the handler, so that the refusal does not keep the parser's frames alive.
    raise refused


def _sentence(description: str) -> str:
    told = found.fullmatch(description)
    if told is None:
        return "Syntax error: the document is not valid GraphQL here."
    if told["expected"] is None:
        return f"Syntax error: unexpected {told['kind']}."
    return f"Syntax error: expected {told['expected']}, found {told['kind']}."
