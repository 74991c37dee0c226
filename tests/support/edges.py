"""Gateways that read, keep and send on virtual time: units on cables, a broker in memory, clocks on the loop's time."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from nportpy.edge import running
from nportpy.edge.drivers.modbus import ModbusDriver
from nportpy.edge.sample import Sample
from nportpy.edge.settings import ArchiveSettings, EdgeSettings, StationSettings, TagSettings, UpstreamSettings
from nportpy.edge.upstream import Upstream
from nportpy.gateway.plans import PortPlan
from nportpy.port.base import Opener
from nportpy.port.loopback import Cable
from nportpy.simulator.bus import Bus
from nportpy.status import ArchiveStatus, StationStatus, UpstreamStatus
from tests.support.modbus_serving import attach, units
from tests.support.serving import Served, plan, serving
from tests.support.stations import LoopClock, station_of, tag
from tests.support.upstreams import Broker, upstream_settings

ALWAYS: Any = {"max_silence": 0.001}
"""Keys of a tag each of whose readings becomes a sample."""


@dataclass
class World:
    """What a gateway of a test has around it.

    Attributes:
        path: where archives lie.
        clock: of the second storey.
        broker: whom every upstream reaches.
        polls: which station's rounds began when, in seconds of the loop.
    """

    path: Path
    clock: LoopClock
    broker: Broker = field(default_factory=Broker)
    polls: list[tuple[str, float]] = field(default_factory=list)

    def edge(self, *each: StationSettings | UpstreamSettings, **archive: Any) -> EdgeSettings:
        return EdgeSettings(
            ArchiveSettings(**({"path": str(self.path / "archive.db")} | archive)),
            tuple(one for one in each if isinstance(one, StationSettings)),
            tuple(one for one in each if isinstance(one, UpstreamSettings)),
        )

    def times(self, station: str = "emon") -> list[float]:
        return [when for name, when in self.polls if name == station]


def world(path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Have gateways use virtual clocks and a broker in memory from now on. In the loop only."""
    made = World(path, LoopClock())

    async def read(driver: ModbusDriver, tags: Sequence[TagSettings]) -> Any:
        made.polls.append((driver._visitor._router.name.removeprefix("station "), asyncio.get_running_loop().time()))
        return await real(driver, tags)

    real = ModbusDriver.read
    monkeypatch.setattr(ModbusDriver, "read", read)
    monkeypatch.setattr(running, "Clock", lambda: made.clock)

    def upstream(*arguments: Any, **keys: Any) -> Upstream:
        return Upstream(*arguments, **(keys | {"connect": made.broker.connect, "chance": lambda: 0.5}))

    monkeypatch.setattr(running, "Upstream", upstream)
    return made


def emon(**keys: Any) -> StationSettings:
    """Unit 1 on port `cable`, of whose two registers each reading is a sample."""
    tags = (tag("power", "40001", unit="kW", **ALWAYS), tag("energy", "40002", unit="kWh", **ALWAYS))
    return station_of(*tags, **({"to": "cable"} | keys))


def plant(**keys: Any) -> UpstreamSettings:
    return upstream_settings(**keys)


class Edged(Served):
    """A gateway with a second storey, and shortcuts to look at it."""

    def __init__(self, served: Served, around: World) -> None:
        super().__init__(served.gateway, served.task)
        self.world = around

    @property
    def edge(self) -> running.Edge:
        found = self.gateway._edge
        assert found is not None
        return found

    def station(self, name: str = "emon") -> StationStatus:
        status = self.edge.status()
        assert status is not None
        return next(each for each in status.stations if each.name == name)

    def upstream(self, name: str = "plant") -> UpstreamStatus:
        status = self.edge.status()
        assert status is not None
        return next(each for each in status.upstreams if each.name == name)

    def archive(self) -> ArchiveStatus:
        status = self.edge.status()
        assert status is not None
        assert status.archive is not None
        return status.archive

    async def kept(self, path: str = "") -> list[Sample]:
        """What is in the archive, of all tags or of one `station/tag`."""
        archive = self.edge._archive
        assert archive is not None
        await archive.flush()
        found: list[Sample] = []
        while portion := await archive.read(found[-1].seq if found else 0):
            found += portion
        return [each for each in found if running.is_of(each, path)]

    def qualities(self, samples: list[Sample]) -> list[int]:
        return [int(each.quality) for each in samples]

    async def change(self, *plans: PortPlan, edge: EdgeSettings | None, **changes: Any) -> None:
        """Reload; ports that are not given stay."""
        settings = self.gateway._settings
        await self.gateway.reload(replace(settings, ports=plans or settings.ports, edge=edge, **changes))


@asynccontextmanager
async def edged(
    around: World,
    edge: EdgeSettings | None,
    *plans: PortPlan,
    device: Bus | None = None,
    cables: Sequence[Cable] = (),
    opener: Opener | None = None,
    **changes: Any,
) -> AsyncIterator[Edged]:
    """A gateway; without plans one with a port `cable` that has units 1 to 3."""
    if not plans:
        cable = Cable("cable")
        attach(cable, device or units(1, 2, 3, delay=0.02))
        plans, cables = (plan("cable"),), (cable,)
    async with serving(*plans, cables=cables, opener=opener, edge=edge, **changes) as served:
        yield Edged(served, around)
