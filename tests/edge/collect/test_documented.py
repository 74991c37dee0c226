"""What docs/collect.md says: its queries work on what a collector has stored."""

import re
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

from tests.support.collecting import KEPT, Node, collected

DOCUMENT = Path(__file__).parents[3] / "docs/collect.md"


def queries() -> list[str]:
    """The indented blocks that select something."""
    blocks = re.findall(r"(?:^    .*\n)+", DOCUMENT.read_text(), re.MULTILINE)
    return [block.strip().rstrip(";") for block in blocks if block.lstrip().startswith("SELECT")]


async def test_the_chart_for_sqlite_tells_late_points_apart(tmp_path: Path) -> None:
    node = Node("pi-07")
    now = time.time_ns() // 1000
    live = [replace(each, at=now - 60_000_000 * each.seq) for each in node.samples(10)]
    late = [replace(each, at=now - 60_000_000 * each.seq) for each in node.samples(10)]
    async with collected(tmp_path) as (queue, _):
        queue.send(node.table(), node.batch(live)[:2], node.batch(late, late=True)[:2])
        await queue.empty()
    (query,) = [each for each in queries() if "unixepoch" in each]
    database = sqlite3.connect(tmp_path / KEPT)
    rows = database.execute(query).fetchall()
    database.close()
    assert {metric for _, metric, _ in rows} == {"power", "power (late)"}
    assert len(rows) == 10


def test_there_are_queries_for_both_databases() -> None:
    assert len(queries()) == 3
