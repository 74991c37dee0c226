"""Produced against stored: the proof that nothing is lost. Counted row by row, not taken from watermarks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from nportpy.edge.collect.stores import NodeReport, Store

_MOST_HOLES: Final = 20  # of one node, named


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found.

    Attributes:
        reports: of each node that has ever told its state.
        dead_letters: messages that could not be stored, since the database was made.
    """

    reports: Sequence[NodeReport]
    dead_letters: int

    @property
    def complete(self) -> bool:
        """Whether everything that nodes have is stored."""
        return not any(each.holes for each in self.reports)


async def verify(store: Store) -> Verdict:
    """Compare what nodes say that they have with the rows of `store`, which is opened and closed.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        await store.open()
        return Verdict(await store.reports(), await store.dead_letters())
    finally:
        await store.close()


def verdict_lines(verdict: Verdict) -> list[str]:
    """As text: a line for each node, and one for each hole."""
    if not verdict.reports:
        return ["no node has told its state yet"]
    head = ("node", "has", "numbers", "stored", "missing", "evicted unstored")
    rows = [head] + [
        (
            "/".join(each.node),
            str(_produced(each)),
            f"{each.ledger.oldest}-{each.ledger.newest}",
            str(each.stored),
            str(each.missing),
            str(each.ledger.numbering.gone),
        )
        for each in verdict.reports
    ]
    widths = [max(len(row[place]) for row in rows) for place in range(len(head))]
    table = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines = table[:1]
    for line, report in zip(table[1:], verdict.reports, strict=True):
        lines.append(line)
        lines += [f"  hole {first}-{last}" for first, last in report.holes[:_MOST_HOLES]]
        if len(report.holes) > _MOST_HOLES:
            lines.append(f"  and {len(report.holes) - _MOST_HOLES} more holes")
    missing = sum(each.missing for each in verdict.reports)
    produced, stored = sum(map(_produced, verdict.reports)), sum(each.stored for each in verdict.reports)
    lines.append(f"{len(verdict.reports)} nodes have {produced} samples, {stored} are stored, {missing} are missing")
    if verdict.dead_letters:
        lines.append(f"{verdict.dead_letters} messages could not be stored: see the table dead_letters")
    return lines


def verdict_table(verdict: Verdict) -> dict[str, Any]:
    """The same for programs."""
    return {
        "complete": verdict.complete,
        "dead_letters": verdict.dead_letters,
        "nodes": [
            {
                "site": each.node[0],
                "node": each.node[1],
                "online": each.ledger.online,
                "oldest": each.ledger.oldest,
                "newest": each.ledger.newest,
                "produced": _produced(each),
                "stored": each.stored,
                "stored_in_all": each.total,
                "stored_upto": each.ledger.upto,
                "missing": each.missing,
                "evicted_unstored": each.ledger.numbering.gone,
                "holes": [list(hole) for hole in each.holes],
            }
            for each in verdict.reports
        ],
    }


def _produced(report: NodeReport) -> int:
    return max(0, report.ledger.newest - report.ledger.oldest + 1)
