"""Which driver reads a station, by what it speaks, and by which way it reaches its device.

What a protocol takes is imported here and nowhere else, and only where a station speaks it.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from nportpy.edge.clock import Clock
from nportpy.edge.driver import Driver
from nportpy.edge.settings import Protocol, StationSettings, TagSettings, Where
from nportpy.errors import LineDown
from nportpy.line.arbiter import Line
from nportpy.network.addresses import Endpoint

if TYPE_CHECKING:
    from nportpy.edge.drivers.dlms import DlmsDriver
    from nportpy.line.lease import Leased
    from nportpy.modbus.bus import Bus

FindBus: TypeAlias = "Callable[[Where], Bus | None]"
"""The units at a port of the gateway, at a server, or on a line of the station's own; None while there are none."""

FindLine: TypeAlias = Callable[[Where], Line | None]
"""The line of a port of the gateway, or of the station's own; None while there is none."""

LEASE: Final = 300.0
"""Seconds for which one call of a DLMS client may have the line: it gives way to others in between."""


@dataclass(frozen=True, slots=True)
class Ways:
    """How stations are reached.

    Attributes:
        bus: finds Modbus units.
        line: finds lines, for those who want them alone.
    """

    bus: FindBus
    line: FindLine


def _nothing() -> None:
    return


@dataclass(frozen=True, slots=True)
class Chosen:
    """A station's driver.

    Attributes:
        driver: reads it.
        refresh: to be called when lines have come or gone.
    """

    driver: Driver
    refresh: Callable[[], None] = _nothing


def choose(settings: StationSettings, ways: Ways, clock: Clock, newest: Mapping[str, int]) -> Chosen:
    """The driver of a station.

    Args:
        settings: what is read.
        ways: how it is reached.
        clock: stamps what comes.
        newest: the newest stamp of the device's own that the archive has of a tag, in microseconds UTC, by its name.
    """

    def lend(limit: float) -> "AbstractAsyncContextManager[Leased]":
        line = ways.line(settings.to)
        if line is None:
            raise LineDown("its line is not served any more")
        return line.lease(f"station {settings.name}", settings.line, limit=limit)

    def known(tag: TagSettings) -> int | None:
        return newest.get(tag.name)

    match settings.protocol:
        case Protocol.MODBUS:
            return _modbus(settings, ways, clock)
        case Protocol.DLMS:
            return Chosen(_dlms(settings, lend, clock, known))
        case Protocol.IEC62056:
            from nportpy.edge.drivers.iec62056 import Iec62056Driver
            from nportpy.meters.iec62056.settings import Iec62056Settings

            assert isinstance(settings.access, Iec62056Settings)  # the configuration has seen to that
            return Chosen(Iec62056Driver(settings, settings.access, lend, clock, known))
        case Protocol.IEC101:
            from nportpy.edge.drivers.iec101 import Iec101Driver
            from nportpy.meters.iec101.settings import Iec101Settings

            assert isinstance(settings.access, Iec101Settings)
            return Chosen(Iec101Driver(settings, settings.access, lend, clock))


def _modbus(settings: StationSettings, ways: Ways, clock: Clock) -> Chosen:
    from nportpy.edge.drivers.modbus import ModbusDriver, router_of, why_down

    router = router_of(settings, ways.bus)
    return Chosen(
        ModbusDriver(settings, router, clock, lambda: why_down(ways.bus(settings.to))),
        router.refresh,
    )


def _dlms(
    settings: StationSettings,
    lend: "Callable[[float], AbstractAsyncContextManager[Leased]]",
    clock: Clock,
    newest: Callable[[TagSettings], int | None],
) -> "DlmsDriver":
    from nportpy.edge.drivers.dlms import DlmsDriver
    from nportpy.meters.dlms.client import DlmsClient
    from nportpy.meters.dlms.settings import DlmsSettings
    from nportpy.meters.dlms.transport import OverLine, OverTcp

    access = settings.access
    assert isinstance(access, DlmsSettings)
    transport = OverTcp(settings.to) if isinstance(settings.to, Endpoint) else OverLine(lambda: lend(LEASE))
    return DlmsDriver(settings, access, DlmsClient(access, transport, f"station {settings.name}"), clock, newest)
