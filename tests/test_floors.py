"""The package has layers, and imports point down (docs/architecture.md)."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gql_secrets

PACKAGE = Path(gql_secrets.__file__).parent
# Who may import what. `logs`, `settings` and `wiring` are what both entry points share; `pauses` knows nothing of the
# product, and is for everything that computes for long on the event loop.
MAY_IMPORT = {
    "domain": {"domain"},
    "pauses": {"pauses"},
    "graphql_server": {"graphql_server", "pauses"},
    "storage": {"domain", "pauses", "storage"},
    "service": {"domain", "pauses", "storage", "service"},
    "logs": {"domain", "settings", "logs"},
    "settings": {"domain", "settings"},
    "wiring": {"domain", "storage", "service", "settings", "wiring"},
    "api": {"domain", "pauses", "storage", "service", "logs", "settings", "wiring", "graphql_server", "api"},
    "commands": {"domain", "storage", "service", "logs", "settings", "wiring", "api", "commands"},
}
ENTRY_POINTS = {"cli", "api.app"}
# What speaks to the outside stays upstairs; what speaks to the database stays downstairs.
DRIVERS = {"aiosqlite", "asyncpg", "sqlite3"}
# The services build queries with the ORM; its errors, connections and transactions are the storage layer's.
ORM_INTERNALS = {"tortoise.exceptions", "tortoise.transactions", "tortoise.connection", "tortoise.backends.sqlite"}
FOREIGN = {
    "storage": {"aiohttp", "graphql", "strawberry", "typer"},
    "service": {"aiohttp", "graphql", "strawberry", "typer", *DRIVERS, *ORM_INTERNALS},
    "wiring": {"tortoise", *DRIVERS},
    "settings": {"tortoise", *DRIVERS},
    "graphql_server": {"tortoise", *DRIVERS},
    "api": {"tortoise", "typer", *DRIVERS},
    "commands": {"tortoise", *DRIVERS},
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if name.removesuffix("__init__") and not name.startswith("console."):  # a build hook, not part of the package
            yield name.removesuffix(".__init__"), ast.parse(path.read_text("utf-8"))


def imported(module: str, tree: ast.Module) -> Iterator[str]:
    """Every module that this one imports, at its top or inside a function, with its full name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = ["gql_secrets", *module.split(".")][: -node.level]
                base = ".".join([*above, base] if base else above)
            yield from ([f"{base}.{alias.name}" for alias in node.names] if base == "gql_secrets" else [base])


def complaints(module: str, tree: ast.Module) -> list[str]:
    floor = module.split(".", maxsplit=1)[0]
    found = []
    for name in imported(module, tree):
        top, _, rest = name.partition(".")
        part = rest.split(".", maxsplit=1)[0]
        if top != "gql_secrets":
            if floor == "domain" and top not in sys.stdlib_module_names:
                found.append(f"{module} imports {name}: the domain uses the standard library alone")
            elif module not in ENTRY_POINTS and any(
                f"{name}.".startswith(f"{part}.") for part in FOREIGN.get(floor, ())
            ):
                found.append(f"{module} imports {name}: not on this floor")
        elif module not in ENTRY_POINTS and part not in {*MAY_IMPORT.get(floor, ()), "__version__"}:
            found.append(f"{module} imports {name}: that points up")
        elif module not in ENTRY_POINTS and floor != "commands" and rest == "api.app":
            found.append(f"{module} imports {name}: that is an entry point")
    return found


def test_imports_point_down() -> None:
    assert [text for module, tree in modules() for text in complaints(module, tree)] == []


def test_every_part_of_the_package_has_its_floor() -> None:
    tops = {module.split(".", maxsplit=1)[0] for module, _ in modules()}
    assert tops <= {*MAY_IMPORT, "cli", "__main__"}


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("domain.rotation", "import tortoise"),
        ("domain.rotation", "from gql_secrets.storage.models import Client"),
        ("domain.rotation", "from ..service import rotation"),
        ("storage.models", "from gql_secrets.service.rotation import Rotation"),
        ("service.rotation", "from gql_secrets import api"),
        ("service.rotation", "def late():\n    from aiohttp import web"),
        ("service.verification", "import sqlite3"),
        ("service.verification", "from asyncpg.exceptions import PostgresError"),
        ("service.clients", "from tortoise.exceptions import IntegrityError"),
        ("wiring", "import asyncpg"),
        ("commands.database", "import sqlite3"),
        ("api.gateway", "from tortoise.models import Model"),
        ("api.gateway", "from gql_secrets.api.app import build_app"),
        ("settings", "from gql_secrets.storage.database import Database"),
    ],
)
def test_an_import_that_points_up_is_found(module: str, line: str) -> None:
    assert complaints(module, ast.parse(line))


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("domain.rotation", "from gql_secrets.domain.errors import Failure"),
        ("service.rotation", "from gql_secrets.storage.models import Client"),
        ("api.gateway", "from aiohttp import web\nfrom gql_secrets.domain import errors"),
        ("api.app", "from gql_secrets.wiring import open_services"),
        ("cli", "from gql_secrets.api.app import build_app"),
    ],
)
def test_an_import_that_points_down_is_not(module: str, line: str) -> None:
    assert complaints(module, ast.parse(line)) == []


# What begins a change, or writes a row, for any caller.
WRITES = {"change_client", "change_installation", "execute_many", "in_transaction", "run_tx", "using_db"}


def writes(module: str, tree: ast.Module) -> list[str]:
    if module.split(".", maxsplit=1)[0] not in ("api", "commands", "cli"):
        return []
    return [
        f"{module} calls {node.func.attr}: only a service changes anything"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITES
    ]


def test_every_surface_changes_things_through_the_services() -> None:
    """Keycloak #51535: one of two surfaces that wrote by themselves forgot what the other did."""
    assert [text for module, tree in modules() for text in writes(module, tree)] == []


def test_a_surface_that_writes_by_itself_is_found() -> None:
    assert writes("api.clients_api.calls", ast.parse("async def f(db): await db.run_tx(work)"))
    assert not writes("service.clients", ast.parse("async def f(db): await db.run_tx(work)"))
