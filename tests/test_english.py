"""Plain English: no pattern of this list is in the schema, a message, the help, a page, a docstring or a comment.

Each pattern was once all over this product. The reason says what to write instead.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from graphql import build_schema
from graphql.language import Node, Visitor, parse, visit
from support.paths import ROOT

from gql_secrets.cli import app

PATTERNS = {
    r"\b(is|are) told\b|\btold (to|that|in|by)\b": "say what is returned or reported, and by what",
    r"\b(who|what|which|when|where)(so)?ever\b": "'clients that', 'anyone who', 'any', 'regardless of'",
    r"\banew\b": "'again'",
    r"\bat once\b": "'immediately' or 'at the same time': the reader cannot know which",
    r"\bfor ?ever\b": "'permanently'",
    r"(?<!there )\b(is|are|was|were) no (?!(longer|more|less|such|later|earlier|need|other)\b)": "'is not a …'",
    r"\b(is|are) none of\b": "'is not one of'",
    r"\bstands?\b": "'is'",
    r"\b(is|are|was|stays?|remains?|still|not|no longer) good\b": "'valid'",
    r"\bgood (secrets?|until|credentials?|ones?|any)\b": "'valid'",
    r"\bany ?more\b": "'no longer'",
    r"\bbeside\b": "'in addition to', 'next to'",
    r"\bby itself\b": "'automatically'",
    r"\bmeanwhile\b": "leave it out, or say since when",
    r"\bin vain\b": "say what it is for",
    r"\bjudged?\b|\bjudges\b": "'evaluate', 'authorize'",
    r"\bliving\b": "'active', as the states are called",
    r"\b(door|house|home)s?\b": "a metaphor: name the part of the product",
    r"\bshall\b": "'must' or 'will'",
    r"\bin the clear\b": "'in cleartext'",
    r"\bsay(ing)? (--|yes\b|so\b)": "'pass --option'",
    r"\bso many\b": "name the number",
}


def places_of(text: str) -> list[str]:
    return [f"{found[0]!r} in {text!r}: write {reason}" for found, reason in matches(text)]


def matches(text: str) -> Iterator[tuple[re.Match[str], str]]:
    for pattern, reason in PATTERNS.items():
        if found := re.search(pattern, text, re.IGNORECASE):
            yield found, reason


# The schema.


class Descriptions(Visitor):
    """Collects every description of a schema document."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def enter(self, node: Node, *_: Any) -> None:
        description = getattr(node, "description", None)
        if description is not None:
            self.texts.append(" ".join(description.value.split()))


def test_the_descriptions_of_the_schema_are_plain_english() -> None:
    text = (ROOT / "schema.graphql").read_text()
    build_schema(text)
    descriptions = Descriptions()
    visit(parse(text), descriptions)
    assert len(descriptions.texts) > 250
    assert [place for each in descriptions.texts for place in places_of(each)] == []


# Messages.


def sentences_of(tree: ast.Module) -> Iterator[str]:
    """Every string of three words or more that is not a docstring, with `…` for each value inside it."""
    docstrings = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    parts = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if node in docstrings or node in parts:
            continue
        text = "".join(map(part_of, node.values)) if isinstance(node, ast.JoinedStr) else part_of(node)
        if len(text.split()) > 2 and not re.search(r"\b(SELECT|UPDATE|INSERT|DELETE|PRAGMA)\b", text):
            yield " ".join(text.split())


def part_of(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return "…" if isinstance(node, ast.FormattedValue) else ""


@pytest.mark.parametrize(
    "part", ["domain", "service", "storage", "settings", "api", "graphql_server", "commands", "cli.py", "wiring.py"]
)
def test_the_messages_are_plain_english(part: str) -> None:
    place = ROOT / "gql_secrets" / part
    files = [place] if place.is_file() else sorted(place.rglob("*.py"))
    found = [
        f"{path.relative_to(ROOT)}: {each}"
        for path in files
        if "migrations" not in path.parts
        for sentence in sentences_of(ast.parse(path.read_text()))
        for each in places_of(sentence)
    ]
    assert found == []


# Docstrings, comments and pages.


def prose_of(path: Path) -> Iterator[str]:
    """Every docstring and comment of a module, or every line of a page."""
    text = path.read_text()
    if path.suffix == ".md":
        yield from text.splitlines()
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield " ".join((ast.get_docstring(node) or "").split())
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


@pytest.mark.parametrize(("folder", "files"), [("gql_secrets", "*.py"), ("tests", "*.py"), ("docs", "*.md"), (".", "")])
def test_docstrings_comments_and_pages_are_plain_english(folder: str, files: str) -> None:
    paths = sorted((ROOT / folder).rglob(files)) if files else sorted(ROOT.glob("*.md"))
    found = [
        f"{path.relative_to(ROOT)}: {each}"
        for path in paths
        if "node_modules" not in path.parts and path != Path(__file__)
        for prose in prose_of(path)
        for each in places_of(prose)
    ]
    assert found == []


# The help of the command line.


def helps_of(command: Any, name: str) -> Iterator[tuple[str, str]]:
    yield name, command.help or ""
    for parameter in command.params:
        yield f"{name} {parameter.name}", getattr(parameter, "help", None) or ""
    for each in getattr(command, "commands", {}).values():
        yield from helps_of(each, f"{name} {each.name}")


def test_the_help_of_every_command_and_option_is_plain_english() -> None:
    helps = list(helps_of(typer.main.get_command(app), "gql-secrets"))
    assert len(helps) > 80
    assert [place for _, text in helps for place in places_of(" ".join(text.split()))] == []
    assert [name for name, text in helps if not text and not name.endswith(" help")] == []


def test_a_list_of_commands_shows_whole_sentences() -> None:
    """Such a list shows the first sentence of each command's help, and cuts it off where the line ends."""
    pages = list(command_lists_of(typer.main.get_command(app), "gql-secrets"))
    assert len(pages) == 9
    assert [line for page in pages for line in page.splitlines() if line.endswith("...")] == []


def command_lists_of(command: Any, name: str) -> Iterator[str]:
    commands = getattr(command, "commands", {})
    if commands:
        page = command.get_help(typer.Context(command, info_name=name, terminal_width=78))  # of a line of 80
        yield page.partition("Commands:")[2]
    for each in commands.values():
        yield from command_lists_of(each, each.name)


@pytest.mark.parametrize(
    "text",
    [
        "This is no address of this machine.",
        "The old secret stays good until tomorrow.",
        "It is told when it ends.",
        "Whoever has it may go on.",
        "End it for ever.",
        "Read anew at once.",
        "The new one stands beside the old one.",
        "It is not good any more.",
        "It ends by itself.",
        "Say --all.",
    ],
)
def test_the_patterns_find_what_they_are_for(text: str) -> None:
    assert places_of(text)


@pytest.mark.parametrize(
    "text",
    [
        "There is no database at /data.",
        "The old secret is no longer valid.",
        "A good description says what the client is for.",
        "There are no clients.",
    ],
)
def test_the_patterns_leave_plain_english_alone(text: str) -> None:
    assert not places_of(text)
