"""S33: what is made of pip-audit's answer about the packages of a release."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "etc/packaging"))

from audit import CLEAN, FLAWS, UNASKED, requirements, verdict  # noqa: E402 - it lies beside the package
from sbom import bill  # noqa: E402

GOOD = {"name": "click", "version": "8.2.0", "vulns": []}
BAD = {"name": "aiohttp", "version": "3.8.0", "vulns": [{"id": "PYSEC-2023-1", "fix_versions": ["3.8.5"]}]}
SKIPPED = {"name": "aiohttp", "skip_reason": "Dependency not found"}
WANTED = ["click==8.2.0", "aiohttp==3.8.0"]


@pytest.mark.parametrize(
    ("found", "code", "said"),
    [
        ([GOOD, GOOD], CLEAN, "no flaw is known of 2 packages"),
        ([GOOD, BAD], FLAWS, "aiohttp 3.8.0: PYSEC-2023-1, mended in 3.8.5"),
        ([SKIPPED, BAD], FLAWS, "nobody could be asked about 1 of 2 packages"),
        ([SKIPPED, SKIPPED], UNASKED, "nobody could be asked about 2 of 2 packages"),
        ([GOOD], UNASKED, "nobody could be asked about 1 of 2 packages"),
        ([], UNASKED, "nobody could be asked about 2 of 2 packages"),
        (None, UNASKED, "no advisories can be reached"),
    ],
)
def test_s33_what_nobody_was_asked_about_is_not_clean(found: list[dict[str, Any]] | None, code: int, said: str) -> None:
    """An index without advisories makes pip-audit say that none are known."""
    answer = "Traceback" if found is None else json.dumps({"dependencies": found})
    got, lines = verdict(answer, WANTED)
    assert got == code
    assert any(said in line for line in lines)


def test_s33_nothing_is_not_clean() -> None:
    assert verdict('{"dependencies": []}', [])[0] == UNASKED


@pytest.mark.long
def test_s33_all_of_a_release_is_asked_about() -> None:
    asked = requirements(bill())
    assert {"aiohttp", "uvloop", "pydantic-core"} <= {each.partition("==")[0] for each in asked}
    assert all(version for _, _, version in (each.partition("==") for each in asked))


def test_s33_flaws_have_somewhere_to_go() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    for said in ("Report a vulnerability", "supported", "days"):
        assert said in text
    assert "@" not in text, "no address that nobody reads"
