"""docs/replacing-an-nport.md: its examples are configurations, and the keys that it names exist."""

import re
from pathlib import Path

import pytest

from nportpy.config import parse
from nportpy.config.schema import _TABLES

PAGE = (Path(__file__).parent.parent.parent / "docs/replacing-an-nport.md").read_text()
KEYS = {key for _, model in _TABLES.values() for key in model.model_fields}


@pytest.mark.parametrize("example", re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))
def test_examples_are_good_configurations(example: str) -> None:
    assert parse(example, "page").ports


def test_every_table_of_a_port_exists() -> None:
    named = set(re.findall(r"\[(port\.NAME(?:\.\w+)?)\]", PAGE))
    assert named <= set(_TABLES)
    assert len(named) > 7


def columns() -> list[list[str]]:
    """The rows of tables with five columns, which have our keys in the third."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line[:1] == "|"]
    return [row for row in rows if len(row) == 5 and not set(row[0]) <= {"-"} and row[0] != "NPort"]


def test_every_key_exists() -> None:
    rows = columns()
    assert len(rows) > 45
    for row in rows:
        for code in re.findall(r"`([^`]*)`", row[2]):
            for key in re.findall(r"(?:^|[{,]\s*)([a-z_0-9]+)(?=\s*=|$)", code):
                assert key in KEYS, row
