"""The pages that list everything of a kind list everything; every link leads somewhere; every figure is given once."""

import dataclasses
import re
import tomllib
from datetime import timedelta

import pytest
from support.pages import Page, all_pages, page
from support.paths import ROOT, TESTS
from typer.testing import CliRunner

from gql_secrets.api.graphql.limits import LIMITS
from gql_secrets.api.web.connection_limits import ConnectionLimits
from gql_secrets.cli import app
from gql_secrets.domain.durations import format_duration
from gql_secrets.graphql_server.socket_limits import SocketLimits
from gql_secrets.service.event_feed import MAX_REPLAYED, MAX_STREAMS
from gql_secrets.settings import Settings

GATEWAYS = ROOT / "tests" / "gateways"
RECIPES = {
    "nginx": ["nginx.conf"],
    "envoy": ["envoy.yaml"],
    "caddy": ["Caddyfile"],
    "traefik": ["traefik.yaml"],
    "haproxy": ["haproxy.cfg", "haproxy.lua"],
    "apache": ["apache.conf", "apache.lua"],
}
MAX_LINES_OF_README = 200
NOT_VARIABLES = ("insecure", "ignored_variables")
# Split, so that this file does not find itself.
NOT_IN_THE_REPOSITORY = (
    "DESIGN" + ".md",
    "STYLE" + ".md",
    "seed" + " A",
    "seed" + " B",
    "000_c69" + "ba33",
    "004_dfe" + "5e4b",
)


def test_the_two_commands_are_each_the_first_of_their_section() -> None:
    """One starts the server, the other passes the tests; CI takes the second from here."""
    readme = page("README.md")
    assert readme.blocks()[0].text == "pip install uv && uv run gql-secrets serve\n"
    assert readme.section("Tests").blocks()[0].text == "pip install uv && uv run --group test pytest\n"
    assert {readme.blocks()[0].language, readme.section("Tests").blocks()[0].language} == {"sh"}


def test_the_readme_is_a_front_page() -> None:
    assert len(page("README.md").text.splitlines()) <= MAX_LINES_OF_README


def test_the_settings_page_lists_every_setting_and_its_default() -> None:
    rows = [cells for cells in page("docs/settings.md").rows() if cells[0].startswith("`GQL_SECRETS_")]
    listed = {cells[0].strip("`").removeprefix("GQL_SECRETS_"): cells[1].strip("`") for cells in rows}
    fields = {
        field.name.upper(): field.default for field in dataclasses.fields(Settings) if field.name not in NOT_VARIABLES
    }
    assert listed == {
        name: format_duration(default) if isinstance(default, timedelta) else "" if default is None else str(default)
        for name, default in fields.items()
    }
    assert len(rows) == len(listed)


def commands_of(*part: str) -> set[str]:
    """Return the commands that the help lists, those of parts with the part's name before them."""
    printed = CliRunner().invoke(app, [*part, "--help"]).output
    named = re.findall(r"^  ([a-z-]+)  ", printed.partition("Commands:")[2], re.MULTILINE)
    if not named:
        return {" ".join(part)}
    return {command for name in named for command in commands_of(*part, name)}


def test_the_command_line_page_lists_every_command() -> None:
    rows = [cells[0] for cells in page("docs/cli.md").section("Commands").rows()][1:]
    known = commands_of()
    # `restore FILE` is short for `restore file FILE`.
    listed = {
        next((name for name in known if re.match(rf"`{name}\b(?!-)", cell, re.IGNORECASE)), cell) for cell in rows
    }
    assert listed == known
    assert len(rows) == len(listed)


def test_the_options_that_the_command_line_page_shows_exist() -> None:
    for cells in page("docs/cli.md").section("Commands").rows():
        for option in re.findall(r"--[a-z-]+", cells[0]):
            name = re.match(r"`([a-z -]+[a-z])\b", cells[0])
            assert name is not None
            printed = CliRunner().invoke(app, [*name[1].split(" --")[0].split(), "--help"]).output
            assert option in printed, (cells[0], option)


@pytest.mark.parametrize("name", RECIPES)
def test_a_gateway_page_shows_the_recipe_that_is_tested(name: str) -> None:
    shown = [block.text for block in page(f"docs/gateways/{name}.md").blocks()]
    for recipe in RECIPES[name]:
        assert (GATEWAYS / recipe).read_text() in shown


@pytest.mark.parametrize("read", all_pages(), ids=lambda read: read.name)
def test_every_link_leads_somewhere(read: Page) -> None:
    for link in read.links():
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (read.path.parent / path).resolve() if path else read.path
        assert target.is_file(), (read.name, link)
        assert target.is_relative_to(ROOT), (read.name, link)
        if anchor:
            assert anchor in Page(target, target.read_text()).anchors(), (read.name, link)


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[str] = set()
    waiting = [page("README.md")]
    while waiting:
        read = waiting.pop()
        if read.name in reached:
            continue
        reached.add(read.name)
        targets = {(read.path.parent / link.partition("#")[0]).resolve() for link in read.links() if "://" not in link}
        waiting += [Page(target, target.read_text()) for target in targets if target.suffix == ".md"]
    assert {each.name for each in all_pages()} <= reached


def test_a_measured_figure_is_given_on_the_page_about_performance_alone() -> None:
    """Two pages that give the same figure contradict each other sooner or later."""
    figure = re.compile(r"\d (?:µs|ms|kB|MB)\b|requests per second|Welch")
    assert figure.search(page("docs/performance.md").text)
    elsewhere = [each.name for each in all_pages() if figure.search(each.text)]
    assert elsewhere == ["docs/performance.md"]


def test_every_benchmark_that_is_named_exists() -> None:
    named = {name for each in all_pages() for name in re.findall(r"\b(\w+\.py)`", each.text)}
    assert {"verify_ratio.py", "oracle.py"} <= named
    for name in named:
        assert list(ROOT.glob(f"**/{name}")), name


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"].values()
    texts = [*project["project"]["dependencies"], *(text for group in groups for text in group)]
    named = {re.split(r"[^\w.-]", text)[0] for text in texts}
    pinned = {text.partition("==")[0] for text in project["tool"]["uv"]["constraint-dependencies"]}
    assert named <= pinned, "run bash .ci/refresh-pins"


def test_the_table_of_where_a_line_lives_names_files_with_what_they_hold() -> None:
    rows = list(page("CONTRIBUTING.md").section("Where a line lives").rows())[1:]
    for _, where, example in rows:
        [path] = re.findall(r"`([^`]+/[^`]+)`", where)
        symbol = re.findall(r"`([^`]+)`", example)[-1]
        assert re.search(rf"(?<!\w){re.escape(symbol)}(?!\w)", (ROOT / path).read_text()), (path, symbol)


@pytest.mark.parametrize(
    "line",
    [
        "the 168 hours",
        "the `WWW-Authenticate` header",
        "the cost of a list",
        "the nginx recipe",
        "a retained owner secret may not reset an owner",
    ],
)
def test_the_table_says_where_to_find(line: str) -> None:
    assert [cells[2] for cells in page("CONTRIBUTING.md").section("Where a line lives").rows() if line in cells[2]]


def test_every_path_that_a_page_names_exists() -> None:
    named = {
        (each.name, path)
        for each in all_pages()
        for path in re.findall(r"`((?:gql_secrets|tests|docs|\.ci)/[\w./-]*)`", each.text)
    }
    assert len(named) > 20
    assert [place for place in named if not (ROOT / place[1]).exists()] == []


def test_the_markers_that_contributing_explains_are_those_of_pytest() -> None:
    markers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"].get("markers", [])
    rows = list(page("CONTRIBUTING.md").section("Run the tests").rows())[1:]
    assert {cells[0].strip("`") for cells in rows} == {marker.partition(":")[0] for marker in markers}


def values(read: Page) -> dict[str, str]:
    """Return the first number of each row of a table of limits."""
    found = {cells[0]: re.match(r"[\d,]+", cells[1]) for cells in read.rows()}
    return {name: number[0].replace(",", "") for name, number in found.items() if number}


def test_the_limits_of_a_document_are_those_of_the_server() -> None:
    limits = LIMITS
    assert values(page("docs/graphql.md").section("Limits of a document")) == {
        "body of a request": str(limits.body_bytes),
        "document": str(limits.document_bytes),
        "tokens of a document": str(limits.tokens),
        "operations in a document": str(limits.operations),
        "fragments in a document": str(limits.fragments),
        "depth": str(limits.depth),
        "fields": str(limits.fields),
        "aliases": str(limits.aliases),
        "directives": str(limits.directives),
        "root fields of a query": str(limits.root_fields),
        "root fields of a mutation": str(limits.mutation_fields),
        "cost": str(limits.cost),
        "values in the variables": str(limits.variable_values),
        "depth of the variables": str(limits.variable_depth),
    }


def test_a_stream_resumes_after_as_many_events_as_the_page_says() -> None:
    assert f"at most {MAX_REPLAYED:,} events" in (ROOT / "docs/graphql.md").read_text()


def test_the_limits_of_a_connection_are_those_of_the_server() -> None:
    limits, sockets = ConnectionLimits(), SocketLimits()
    assert values(page("docs/operations.md").section("Limits")) == {
        "time to send a request's head": f"{limits.head_seconds:g}",
        "time to send its body": f"{limits.body_seconds:g}",
        "idle time between requests": f"{limits.idle_seconds:g}",
        "time to read an answer": f"{limits.unread_seconds:g}",
        "a request line, or one header field": str(limits.line_bytes // 1024),
        "all of a head": str(limits.head_bytes // 1024),
        "header fields": str(limits.fields),
        "connections of a process": str(limits.connections),
        "WebSockets of a process": str(sockets.sockets),
        "event streams of a process, over any transport": str(MAX_STREAMS),
        "messages of a WebSocket": f"{sockets.messages_per_second:g}",
        "GraphQL operations of a caller at a time": "1",
    }


def sources() -> list[tuple[str, str]]:
    """Return the name and the text of every source file."""
    paths = [
        *ROOT.glob("gql_secrets/**/*.py"),
        *ROOT.glob("tests/**/*.py"),
        *ROOT.glob("gql_secrets/console/src/**/*.ts*"),
    ]
    return [(str(path.relative_to(ROOT)), path.read_text()) for path in paths]


def test_nothing_cites_what_is_not_in_the_repository() -> None:
    places = [*sources(), *((each.name, each.text) for each in all_pages())]
    assert len(places) > 100
    assert [(name, cited) for name, text in places for cited in NOT_IN_THE_REPOSITORY if cited in text] == []


def test_every_rule_that_is_cited_exists() -> None:
    rules = set(re.findall(r"^### Rule (\d+): ", page("docs/rules.md").text, re.MULTILINE))
    assert rules == {str(number) for number in range(1, 13)}
    cited = [number for _, text in sources() for number in re.findall(r"docs/rules\.md, rule (\d+)", text)]
    assert cited
    assert set(cited) <= rules


def test_each_failure_of_the_table_names_tests_that_exist() -> None:
    table = page("docs/operations.md").text.partition("## When something fails")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert rows, "the table is gone"
    for row in rows:
        named = re.findall(r"`([a-z_/]+\.py)`", row.split("|")[-2])
        assert named, row
        assert all((TESTS / name).is_file() for name in named), row
