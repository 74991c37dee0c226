"""The seam between a collector and its database.

To add one: a file with a class for `Store`, and its place in `store_for`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from nportpy.edge.collect.arrivals import Node, Work
from nportpy.edge.collect.ledger import Ledger
from nportpy.edge.collect.settings import StoreSettings
from nportpy.errors import NportpyError


class StoreError(NportpyError):
    """The database cannot be reached or cannot write for now: try again later.

    Attributes:
        final: no later attempt will do: the file is another program's, a library is missing.
    """

    def __init__(self, reason: str, *, final: bool = False) -> None:
        """`reason` in words for people."""
        super().__init__(reason)
        self.final = final


class StoreRefused(NportpyError):
    """The database will never take something of this: it has written nothing of it."""


@dataclass(slots=True)
class Written:
    """What became of a piece of work, which is on the disk now.

    Attributes:
        rows: samples that were not there before.
        duplicates: samples that were.
        ledgers: what is known now of the nodes whose batches and states were in it.
    """

    rows: int = 0
    duplicates: int = 0
    ledgers: dict[Node, Ledger] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What is stored of a node, counted row by row.

    Attributes:
        node: site and name.
        ledger: what is known of it.
        stored: samples of its numbering from `ledger.oldest` to `ledger.newest`.
        total: all samples of its numbering.
        holes: runs of numbers from `oldest` to `newest`, both ends included, that are not stored.
    """

    node: Node
    ledger: Ledger
    stored: int
    total: int
    holes: Sequence[tuple[int, int]]

    @property
    def missing(self) -> int:
        """Samples that the node has and that are not stored."""
        return sum(last - first + 1 for first, last in self.holes)


class Store(Protocol):
    """A database that is open from `open` to `close`. Used by one task at a time."""

    name: str

    async def open(self) -> None:
        """Connect, and make what is missing.

        Raises:
            StoreError: it cannot be done.
        """

    async def write(self, work: Work) -> Written:
        """Write all of it, or nothing; when it returns, a power cut takes nothing of it away.

        Raises:
            StoreError: nobody knows whether it is written; writing it again does no harm.
            StoreRefused: it will never be.
        """

    async def reports(self) -> list[NodeReport]:
        """Every node that has said what it has, sorted.

        Raises:
            StoreError: it cannot be read.
        """

    async def dead_letters(self) -> int:
        """How many have come since the database was made.

        Raises:
            StoreError: it cannot be read.
        """

    async def close(self) -> None:
        """End the connection; may be called at any time, and again."""


def store_for(settings: StoreSettings, *, read_only: bool = False) -> Store:
    """The store that the settings name, not open yet.

    Args:
        settings: which.
        read_only: nothing will be written, and another program may write meanwhile.

    Raises:
        StoreError: its library is not installed.
    """
    if settings.path:
        from nportpy.edge.collect.sqlite import SqliteStore

        return SqliteStore(settings.path, read_only=read_only)
    try:
        from nportpy.edge.collect.postgres import PostgresStore
    except ModuleNotFoundError as error:
        raise StoreError(f"{error.name} is not installed: pip install 'nportpy[collect]'", final=True) from error
    return PostgresStore(settings.url, settings.password_file, settings.tls)


def note(work: Work, written: Written) -> None:
    """Enter what was stored and what was said in the ledgers, in the order of arrival."""
    for each in work.batches:
        batch = each.batch
        written.ledgers[each.site, batch.node].stored(batch.boot, batch.seq, batch.seq + len(batch.rows) - 1)
    for site, state in work.states:
        written.ledgers[site, state.node].heard(state)


def holes_of(
    rows_missing: Sequence[tuple[int, int]], first: int | None, last: int | None, ledger: Ledger
) -> list[tuple[int, int]]:
    """Holes between `oldest` and `newest`, from those between stored rows.

    Args:
        rows_missing: runs of numbers between the first and the last stored row that no row has.
        first: number of the first of these rows; None: there is none.
        last: number of the last of them.
        ledger: of the node.
    """
    low, high = ledger.oldest, ledger.newest
    found = [(low, high)] if first is None or last is None else [(low, first - 1), *rows_missing, (last + 1, high)]
    clipped = [(max(start, low), min(end, high)) for start, end in found]
    return [(start, end) for start, end in clipped if start <= end]
