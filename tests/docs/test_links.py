"""Links between the documents lead somewhere: to a file of this repository, and to a heading in it."""

import re
from pathlib import Path

import pytest

from tests.docs.documents import DOCUMENTS, ROOT

LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def prose(document: Path) -> str:
    """A document without its blocks of code, which are no links and no headings."""
    return re.sub(r"^ *```.*?^ *```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(document: Path) -> set[str]:
    """What a heading is called in an address: GitHub's rule, which Python-Markdown's for plain English is, too."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in HEADING.findall(prose(document))}


@pytest.mark.parametrize("document", [*DOCUMENTS, ROOT / "CHANGELOG.md"], ids=lambda document: document.name)
def test_links_lead_somewhere(document: Path) -> None:
    for link in LINK.findall(prose(document)):
        path, _, anchor = link.partition("#")
        if path.startswith(("https://", "http://")):
            continue
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f"{document.name}: {link}"
        assert target.is_relative_to(ROOT), f"{document.name}: {link} is no part of this repository"
        assert not anchor or anchor in anchors(target), f"{document.name}: {link}: no such heading"


def test_every_page_can_be_found_from_the_index() -> None:
    linked = {link.partition("#")[0] for link in LINK.findall(prose(ROOT / "docs/index.md"))}
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"} <= linked
