"""PostgreSQL, for one collector or many. By asyncpg.

All rows of a commit go in one statement. Whatever several collectors could wait for each other at is taken in one
order: tag tables, samples, nodes, each sorted by its key; so they wait in turn, and not in a circle. Samples come
before nodes, so that the lock of a node, which all its batches need, is held for the end of the commit only.
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg

from nportpy.edge.collect.arrivals import Node, Work
from nportpy.edge.collect.ledger import Ledger
from nportpy.edge.collect.rows import SeriesKey, clamped, rows_of
from nportpy.edge.collect.schema import MOST_DEAD_LETTERS, NAME, POSTGRES_STEPS
from nportpy.edge.collect.stores import NodeReport, StoreError, StoreRefused, Written, holes_of, note
from nportpy.edge.links.base import LinkError
from nportpy.edge.links.credentials import password_of, tls_context
from nportpy.network.tls_settings import TlsSettings

_KNOWN_SERIES: Final = 200_000
_PATIENCE: Final = 60.0
_LOCK: Final = 0x6E706F7274  # of whoever makes the tables; any number that others do not use
_REFUSALS: Final = ("22", "23")  # classes of SQLSTATE: data exception, integrity constraint violation

_EPOCH: Final = datetime.fromtimestamp(0, UTC)

_SAMPLES: Final = """
INSERT INTO samples (node, boot, seq, series, at, received, value, text, quality, late)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::integer[], $5::timestamptz[], $6::timestamptz[],
  $7::float8[], $8::text[], $9::smallint[], $10::boolean[]) ON CONFLICT DO NOTHING
"""
_TAGS: Final = """
UPDATE series SET station = n.station, tag = n.tag, unit = n.unit, type = n.type, class = n.class
FROM unnest($1::integer[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
  AS n (id, station, tag, unit, type, class)
WHERE series.id = n.id AND series.station IS NULL
"""
_KEYS: Final = "SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS k (site, node, meta, number)"
_NODES: Final = """
UPDATE nodes SET stored_upto = n.upto, boot = n.boot, online = n.online, state_at = n.state_at, oldest = n.oldest,
  newest = n.newest, evicted = n.evicted, ledger = n.ledger
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::boolean[], $6::timestamptz[], $7::bigint[],
  $8::bigint[], $9::bigint[], $10::text[])
  AS n (site, node, upto, boot, online, state_at, oldest, newest, evicted, ledger)
WHERE nodes.site = n.site AND nodes.node = n.node
"""


class PostgresStore:
    """See `Store`."""

    def __init__(self, url: str, password_file: str = "", tls: TlsSettings | None = None) -> None:
        """Not connected yet. `tls`: how it is believed; None: as the URL says."""
        self.name = f"postgresql {url.rpartition('@')[2].partition('://')[2] or url.rpartition('@')[2]}"
        self._url = url
        self._password_file = password_file
        self._tls = tls
        self._connection: asyncpg.Connection | None = None
        self._series: dict[SeriesKey, int] = {}
        self._nodes: set[Node] = set()

    async def open(self) -> None:
        """See `Store`."""
        await self.close()
        self._series.clear()  # it may be another database
        self._nodes.clear()
        async with self._words():
            password = password_of(self._password_file) or None
            connection = self._connection = await asyncpg.connect(
                self._url,
                password=password,
                ssl=None if self._tls is None else tls_context(self._tls),
                timeout=10.0,
                command_timeout=_PATIENCE,
                server_settings={"application_name": "nportpy collect"},
            )
            await self._make_tables(connection)

    async def write(self, work: Work) -> Written:
        """See `Store`."""
        async with self._words():
            connection = self._connected()
            await self._know_series(connection, work)
            await self._know_nodes(connection, work)
            async with connection.transaction():
                return await self._written(connection, work)

    async def reports(self) -> list[NodeReport]:
        """See `Store`."""
        async with self._words():
            connection = self._connected()
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                found = await connection.fetch("SELECT site, node, ledger FROM nodes ORDER BY site, node")
                ledgers = [(site, node, Ledger.loaded(text)) for site, node, text in found]
                return [await self._report(connection, *each) for each in ledgers if each[2].boot]

    async def dead_letters(self) -> int:
        """See `Store`."""
        async with self._words():
            return int(await self._connected().fetchval("SELECT coalesce(max(id), 0) FROM dead_letters"))

    async def close(self) -> None:
        """See `Store`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                await connection.close(timeout=2.0)

    def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            raise StoreError(f"{self.name}: is not connected")
        return self._connection

    @contextlib.asynccontextmanager
    async def _words(self) -> AsyncIterator[None]:
        """Its errors as ours."""
        try:
            yield
        except asyncpg.PostgresError as error:
            if (error.sqlstate or "").startswith(_REFUSALS):
                raise StoreRefused(f"{self.name}: {error}") from error
            raise StoreError(f"{self.name}: {error}") from error
        except asyncpg.DataError as error:  # what cannot even be sent
            raise StoreRefused(f"{self.name}: {error}") from error
        except (
            asyncpg.InterfaceError,
            OSError,
            TimeoutError,
            ValueError,
            LinkError,
            asyncpg.InternalClientError,
        ) as error:
            raise StoreError(f"{self.name}: {error or type(error).__name__}") from error

    async def _make_tables(self, connection: asyncpg.Connection) -> None:
        async with connection.transaction():
            await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")  # two collectors begin at once
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS nportpy_schema (name text PRIMARY KEY, version integer NOT NULL)"
            )
            version = await connection.fetchval("SELECT version FROM nportpy_schema WHERE name = $1", NAME) or 0
            if version > len(POSTGRES_STEPS):
                raise StoreError(f"{self.name}: was made by a newer version of nportpy", final=True)
            for step in POSTGRES_STEPS[version:]:
                await connection.execute(step)
            await connection.execute(
                "INSERT INTO nportpy_schema VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET version = $2",
                NAME,
                len(POSTGRES_STEPS),
            )

    async def _know_series(self, connection: asyncpg.Connection, work: Work) -> None:
        """A number for each series in `work`, before the commit: what is made in vain does no harm."""
        keys = {
            (each.site, each.batch.node, each.batch.meta, row.tag) for each in work.batches for row in each.batch.rows
        } | {(site, meta.node, meta.hash, tag.id) for site, meta in work.metas for tag in meta.tags}
        if len(self._series) + len(keys) > _KNOWN_SERIES:
            self._series = {key: self._series[key] for key in keys & self._series.keys()}
        await self._find_series(connection, sorted(keys - self._series.keys()))
        wanted = sorted(keys - self._series.keys())
        if wanted:  # only then, since an INSERT uses up a number even where there is a row
            await connection.execute(
                f"INSERT INTO series (site, node, meta, number) {_KEYS} ON CONFLICT DO NOTHING", *_turned(wanted)
            )
            await self._find_series(connection, wanted)

    async def _find_series(self, connection: asyncpg.Connection, wanted: Sequence[SeriesKey]) -> None:
        if wanted:
            found = await connection.fetch(
                f"SELECT s.site, s.node, s.meta, s.number, s.id FROM ({_KEYS}) AS k"  # noqa: S608 - ours
                " JOIN series AS s USING (site, node, meta, number)",
                *_turned(wanted),
            )
            self._series |= {(site, node, meta, number): key for site, node, meta, number, key in found}

    async def _know_nodes(self, connection: asyncpg.Connection, work: Work) -> None:
        """A row for each node, before the commit, so that nobody waits for one that is being made."""
        wanted = [node for node in work.nodes if node not in self._nodes]
        if wanted:
            await connection.execute(
                "INSERT INTO nodes (site, node) SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING",
                *_turned(wanted),
            )
            self._nodes |= set(wanted)

    async def _written(self, connection: asyncpg.Connection, work: Work) -> Written:
        if tags := [
            (
                self._series[site, meta.node, meta.hash, tag.id],
                tag.station,
                tag.name,
                tag.unit,
                tag.type,
                tag.device_class,
            )
            for site, meta in work.metas
            for tag in meta.tags
        ]:
            await connection.execute(_TAGS, *_turned(sorted(set(tags))))
        written = Written()
        if work.batches:
            done = await connection.execute(_SAMPLES, *self._columns(work))
            written.rows = int(done.rpartition(" ")[2])
            written.duplicates = work.rows - written.rows
        if work.nodes:
            await self._keep_ledgers(connection, work, written)
        if work.dead:
            await connection.executemany(
                "INSERT INTO dead_letters (received, topic, reason, size, payload) VALUES ($1, $2, $3, $4, $5)",
                [(_moment(each.received), each.topic, each.reason, each.size, each.payload) for each in work.dead],
            )
            await connection.execute(
                "DELETE FROM dead_letters WHERE id <= (SELECT max(id) FROM dead_letters) - $1", MOST_DEAD_LETTERS
            )
        return written

    def _columns(self, work: Work) -> Sequence[list[Any]]:
        """The samples in the order of their key, and of two with the same the first that came first."""
        rows = [row for each in work.batches for row in rows_of(each)]
        rows.sort(key=lambda row: row[:3])  # stable
        nodes, boots, seqs, keys, at, received, values, texts, qualities, late = _turned(rows)
        series = [self._series[key] for key in keys]
        return [nodes, boots, seqs, series, [_moment(each) for each in at], [_moment(each) for each in received],
                values, texts, qualities, late]  # fmt: skip

    async def _keep_ledgers(self, connection: asyncpg.Connection, work: Work, written: Written) -> None:
        found = await connection.fetch(
            "SELECT nodes.site, nodes.node, ledger FROM nodes JOIN unnest($1::text[], $2::text[]) AS k (site, node)"
            " ON nodes.site = k.site AND nodes.node = k.node ORDER BY nodes.site, nodes.node FOR UPDATE OF nodes",
            *_turned(work.nodes),
        )
        written.ledgers = {(site, node): Ledger.loaded(text) for site, node, text in found}
        note(work, written)
        rows = [
            (*node, each.upto, each.boot, each.online, _moment(each.at), each.oldest, each.newest, each.evicted,
             each.dumped())
            for node, each in written.ledgers.items()
        ]  # fmt: skip
        await connection.execute(_NODES, *_turned(rows))

    async def _report(self, connection: asyncpg.Connection, site: str, node: str, ledger: Ledger) -> NodeReport:
        boots = list(ledger.numbering.boots)
        where = "FROM samples WHERE node = $1 AND boot = ANY($2::text[])"
        found = await connection.fetchrow(
            f"SELECT min(seq), max(seq), count(*), count(*) FILTER (WHERE seq BETWEEN $3 AND $4) {where}",
            node,
            boots,
            ledger.oldest,
            ledger.newest,
        )
        assert found is not None  # an aggregate has a row
        first, last, total, stored = found
        missing = await connection.fetch(
            f"SELECT seq + 1, next - 1 FROM (SELECT seq, lead(seq) OVER (ORDER BY seq) AS next {where}) AS s"  # noqa: S608
            " WHERE next > seq + 1",
            node,
            boots,
        )
        holes = holes_of([(start, end) for start, end in missing], first, last, ledger)
        return NodeReport((site, node), ledger, stored, total, holes)


def _turned(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Rows as columns."""
    return [list(column) for column in zip(*rows, strict=True)]


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=clamped(microseconds))
