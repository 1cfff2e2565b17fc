"""The pages of the documentation, and what is in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.paths import ROOT

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """A page of Markdown."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    def blocks(self, *languages: str) -> list[Block]:
        """Return the blocks of these languages in their order; of all languages without one."""
        found = [Block(language, text) for language, text in _FENCE.findall(self.text)]
        return [block for block in found if not languages or block.language in languages]

    def section(self, heading: str) -> "Page":
        """Return what is under a heading of the second level."""
        _, begin, rest = self.text.partition(f"\n## {heading}\n")
        assert begin, f"{self.name} has no section {heading}"
        return Page(self.path, rest.partition("\n## ")[0])

    def rows(self) -> Iterator[list[str]]:
        """Return the cells of each row of its tables, headings included."""
        for line in self.text.splitlines():
            if line.startswith("|") and not line.startswith("|---"):
                yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]

    def links(self) -> list[str]:
        """Return the links outside of fenced blocks."""
        return _LINK.findall(_FENCE.sub("", self.text))

    def anchors(self) -> set[str]:
        """Return what links may name after `#`, as GitHub makes it of headings."""
        headings = _HEADING.findall(_FENCE.sub("", self.text))
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def page(name: str) -> Page:
    path = ROOT / name
    return Page(path, path.read_text())


def all_pages() -> list[Page]:
    """Return every page for readers: those at the top, and docs/."""
    paths = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    return [Page(path, path.read_text()) for path in sorted(paths)]
