"""The demo's second storey: simulated meters are polled, archived and sent on, through an outage where there is one.

meters -> stations    -> archive -> (what can be cut) -> collect.db                        by default
                                 -> (what can be cut) -> broker -> collector -> collect.db   --mqtt, --nats
"""

import asyncio
import os
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from typing import Final, NamedTuple

from nportpy.cli.demo_cut import Cut, LinkCut, NetworkCut
from nportpy.config.edge_build import station, topic_of
from nportpy.config.edge_tables import Station
from nportpy.edge.archive import Archive
from nportpy.edge.collect.collector import Collector
from nportpy.edge.collect.rows import columns
from nportpy.edge.collect.settings import CollectSettings, SourceSettings, StoreSettings
from nportpy.edge.collect.stores import store_for
from nportpy.edge.settings import ArchiveSettings, Confirm, EdgeSettings, UpstreamSettings
from nportpy.gateway.running import Gateway
from nportpy.status import EdgeStatus, StationStatus, UpstreamStatus

STATIONS: Final = {
    "emon": {"port": "meter", "every": "1s", "profile": "emon-dmon-3400"},
    "mains": {"port": "meters", "protocol": "dlms", "referencing": "short"},
    "feeder": {"port": "meters", "protocol": "dlms", "referencing": "logical", "server": "1/59"},
}
"""What is read: a Modbus meter, and two DLMS meters that share a line."""

COSEM: Final = {
    "every": "5s",
    "zone": "Europe/Bratislava",
    "tags": [
        *({"name": f"voltage_l{phase}", "at": f"1.0.{12 + 20 * phase}.7.0.255", "unit": "V"} for phase in (1, 2, 3)),
        {"name": "energy", "at": "1.0.1.8.0.255", "unit": "kWh", "counter": True},
        {"name": "clock", "at": "0.0.1.0.0.255"},
    ],
}
"""What the two of them are asked for."""

SITE: Final = "demo"
KEEPALIVE: Final = 5.0
OVERLAP: Final = 10.0
_LOOK_AGAIN: Final = 0.1
_SESSION: Final = 60.0  # for so long a broker keeps what the collector of a demo that is gone has not taken
_LIBRARIES: Final = {"mqtt": "paho", "mqtts": "paho", "nats": "nats", "tls": "nats"}
_OPEN: Final = ("mqtt", "nats")  # what a proxy can stand before: TLS would see another name, so there the link is cut

Key = tuple[str, int]
"""Run and number of a sample."""

Say = Callable[[str], None]


class DemoError(Exception):
    """The demo cannot do what it was asked for."""


class Stored(NamedTuple):
    """Samples in the database, of this run: how many, and how many of them came late, from when to when."""

    samples: int
    late: int
    first_late: float | None
    last_late: float | None


@dataclass(frozen=True, slots=True)
class Proof:
    """What the archive has against what the database has."""

    produced: int
    stored: int
    missing: int
    foreign: int

    @property
    def complete(self) -> bool:
        """Whether both are the same, and something at all."""
        return self.produced > 0 and self.missing == 0 and self.foreign == 0

    def __str__(self) -> str:
        return f"stored {self.stored} of {self.produced} produced: {self.missing} missing, {self.foreign} not produced"


class Chain:
    """From the meter to the database.

    Attributes:
        settings: what the gateway is to read, keep and send.
        cut: the way to the other side.
    """

    def __init__(self, folder: str, broker: str, cut: Cut) -> None:
        """Nothing runs.

        Args:
            folder: where the files are to be.
            broker: URL; empty: there is none.
            cut: the way there.
        """
        self.cut = cut
        self.database = os.path.join(folder, "collect.db")
        self._broker = broker
        self._node = topic_of(socket.gethostname())
        url = cut.url if isinstance(cut, NetworkCut) else broker or f"sqlite:{self.database}"
        self._upstream = UpstreamSettings(
            name="demo",
            urls=(url,),
            site=SITE,
            node=self._node,
            overlap=OVERLAP,
            keepalive=KEEPALIVE,
            confirm=Confirm.HOST if broker else Confirm.BROKER,
        )
        self._archive = ArchiveSettings(os.path.join(folder, "archive.db"), commit=0.5)
        stations = tuple(
            station(name, Station.model_validate(keys if "profile" in keys else {**keys, **COSEM}))
            for name, keys in STATIONS.items()
        )
        self.settings = EdgeSettings(self._archive, stations, (self._upstream,))

    @property
    def upstream(self) -> str:
        """Where samples go, for people."""
        return self._broker or f"sqlite:{self.database}"

    @asynccontextmanager
    async def collecting(self, tasks: asyncio.TaskGroup) -> AsyncIterator[None]:
        """Meanwhile what comes to the broker is stored."""
        if not self._broker:
            yield
            return
        name = f"nportpy-{SITE}-{self._node}"
        source = SourceSettings(SITE, (self._broker,), f"{name}-collect", f"{name}-collect", _SESSION, KEEPALIVE)
        settings = CollectSettings((source,), StoreSettings(self.database))
        collector = Collector(settings, store_for(settings.store))
        running = tasks.create_task(collector.run(), name="collector")
        try:
            yield
        finally:
            collector.stop()
            await asyncio.wait([running])

    def stored(self, upto: int = 1 << 62) -> Stored:
        """What the database has of this run, up to that number. Blocks for milliseconds."""
        if not os.path.exists(self.database):
            return Stored(0, 0, None, None)
        try:
            with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as database:
                return Stored(
                    *database.execute(
                        "SELECT count(*), count(*) FILTER (WHERE late), min(at) FILTER (WHERE late) / 1e6,"
                        " max(at) FILTER (WHERE late) / 1e6 FROM samples"
                        " WHERE node = ? AND boot = (SELECT boot FROM nodes WHERE site = ? AND node = ?) AND seq <= ?",
                        (self._node, SITE, self._node, upto),
                    ).fetchone()
                )
        except sqlite3.OperationalError:  # its tables are being made
            return Stored(0, 0, None, None)

    async def proof(self) -> Proof:
        """Compare every sample and its value. The gateway and the collector have ended."""
        produced: dict[Key, object] = {}
        archive = Archive(self._archive)
        await archive.open()
        try:
            after = 0
            while samples := await archive.read(after):
                produced |= {(each.boot, each.seq): columns(each.value) for each in samples}
                after = samples[-1].seq
        finally:
            await archive.close()
        boots = {boot for boot, _ in produced}
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as database:
            rows = database.execute(
                "SELECT boot, seq, value, text FROM samples WHERE node = ?", (self._node,)
            ).fetchall()
        stored: dict[Key, object] = {(boot, seq): (value, text) for boot, seq, value, text in rows if boot in boots}
        missing = sum(key not in stored for key in produced)
        foreign = sum(key not in produced or produced[key] != value for key, value in stored.items())
        return Proof(len(produced), len(stored), missing, foreign)


@asynccontextmanager
async def chain(folder: str, broker: str, tasks: asyncio.TaskGroup, *, outage: bool) -> AsyncIterator[Chain]:
    """A chain in `folder`, its way cuttable where there is to be an `outage`."""
    if not outage or broker.partition("://")[0] not in _OPEN:
        yield Chain(folder, broker, LinkCut(KEEPALIVE))
        return
    cut = NetworkCut(broker, tasks)
    await cut.listen()
    try:
        yield Chain(folder, broker, cut)
    finally:
        cut.close()


def check_broker(url: str) -> None:
    """See that a broker can be used.

    Raises:
        DemoError: it cannot be.
    """
    scheme = url.partition("://")[0]
    if find_spec(_LIBRARIES[scheme]) is None:
        raise DemoError(f"{_LIBRARIES[scheme]} is not installed: pip install 'nportpy[collect]'")


# What happens.


class Watch:
    """Looks at a gateway that runs a chain."""

    def __init__(self, gateway: Gateway, chain: Chain) -> None:
        """Of these."""
        self._gateway = gateway
        self._chain = chain

    @property
    def edge(self) -> EdgeStatus:
        """A snapshot."""
        edge = self._gateway.status().edge
        assert edge is not None  # the demo has one
        return edge

    @property
    def station(self) -> StationStatus:
        """A snapshot of the Modbus meter."""
        return self.edge.stations[0]

    @property
    def cosem(self) -> Sequence[StationStatus]:
        """Snapshots of the DLMS meters."""
        return self.edge.stations[1:]

    @property
    def upstream(self) -> UpstreamStatus:
        """A snapshot of where samples are sent."""
        return self.edge.upstreams[0]

    @property
    def archived(self) -> int:
        """Number of the newest sample."""
        archive = self.edge.archive
        return archive.newest if archive is not None else 0

    async def until(self, samples: int) -> None:
        """Wait until so many samples are archived, sent and stored."""
        while min(self.archived, self.upstream.acknowledged, self._chain.stored().samples) < samples:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_AGAIN)

    async def outage(self, seconds: float, say: Say) -> None:
        """Cut the way for so long, wait until the gap is filled, and say what came of it."""
        before, known = self.upstream, self._chain.stored()
        say(f"the way to the upstream is cut for {seconds:g} s; the meter is read on")
        self._chain.cut.begin()
        await asyncio.sleep(seconds)
        waiting = self.upstream.backlog
        self._chain.cut.end()
        say(f"the way is whole again; {waiting} samples wait in the archive")
        while not self.upstream.up or self.upstream.connects == before.connects:  # noqa: ASYNC110 - a status is all
            await asyncio.sleep(_LOOK_AGAIN)
        newest = self.archived
        await self.until(newest)
        await asyncio.sleep(_LOOK_AGAIN)  # what was stored is being acknowledged
        now, stored = self.upstream, self._chain.stored(newest)
        sent, new = now.sent_late - before.sent_late, stored.late - known.late
        say(
            f"back-filled {_time(stored.first_late)}-{_time(stored.last_late)}: {sent} samples sent late, {new} of them"
            f" the gap, {sent - new} known from before (an overlap of {OVERLAP:g} s);"
            f" stored {stored.samples} of {newest}"
        )

    async def drain(self) -> None:
        """Wait until everything that was read is stored; nothing more is read."""
        while (archive := self.edge.archive) is not None and archive.queued:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_AGAIN)
        await self.until(self.archived)

    def values(self) -> str:
        """What the meter says."""
        found = {tag.name: tag.value for tag in self.station.tags if isinstance(tag.value, int | float)}
        if "power" not in found:
            return self.station.reason or "nothing yet"
        currents, volts = (
            " ".join(f"{found[f'{what}_{phase}']:{form}}" for phase in "abc" if f"{what}_{phase}" in found)
            for what, form in (("current", ".1f"), ("voltage", ".0f"))
        )
        energy, hertz = found.get("energy_delivered", 0.0), found.get("frequency", 0.0)
        return f"{found['power']:.2f} kW  {currents} A  {volts} V  {hertz:.2f} Hz  {energy:.3f} kWh"

    def cosem_values(self) -> list[str]:
        """What each of the DLMS meters says, with its name."""
        return [f"{each.name:6} {_cosem(each)}" for each in self.cosem]

    async def until_cosem(self) -> None:
        """Wait until both have been read."""
        while not all(each.up for each in self.cosem):  # noqa: ASYNC110 - a status is all there is
            await asyncio.sleep(_LOOK_AGAIN)

    def power(self) -> float | None:
        """In kW; None: not known."""
        found = next((tag.value for tag in self.station.tags if tag.name == "power"), None)
        return float(found) if isinstance(found, int | float) else None

    def sent(self) -> str:
        """The state of the upstream."""
        status = self.upstream
        state = f"up since {_time(status.since)}" if status.up else f"away since {_time(status.since)}"
        sent = f"backlog {status.backlog}, sent {status.sent_live} live, {status.sent_late} late"
        return f"{state}, {sent}" + (f"; {status.reason}" if status.reason else "")

    def kept(self) -> str:
        """The depth of the archive."""
        archive = self.edge.archive
        if archive is None:
            return self.edge.error or "not there yet"
        since = f" since {_time(archive.oldest_at)}" if archive.oldest_at is not None else ""
        return f"{archive.samples} samples{since}"

    def stored(self) -> int:
        """Samples in the database."""
        return self._chain.stored().samples


def _cosem(station: StationStatus) -> str:
    found = {tag.name: tag.value for tag in station.tags}
    energy = found.get("energy")
    if not isinstance(energy, int | float):
        return station.reason or "nothing yet"
    volts = " ".join(f"{found[f'voltage_l{phase}']}" for phase in (1, 2, 3))
    return f"{volts} V  {energy:.3f} kWh  {found['clock']}"


def _time(at: float | None) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S") if at is not None else "-"
