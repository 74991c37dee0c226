"""What the second storey is told: stations and their tags, the archive, upstreams. Times are seconds.

Settings are frozen and complete: a profile's tags, the numbering and the order are worked into each tag when the file
is read, so that nobody asks later how an address was meant.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

from nportpy.line.turns import Priority
from nportpy.linesettings import LineSettings
from nportpy.modbus.settings import Rule, ServerSettings
from nportpy.network.addresses import Endpoint
from nportpy.network.tls_settings import TlsSettings
from nportpy.port.base import PortSettings
from nportpy.protocols.modbus.functions import Span
from nportpy.protocols.modbus.values import Order, ValueType

if TYPE_CHECKING:  # who reads Modbus alone need not import what other meters take
    from nportpy.meters.dlms.places import Place as CosemPlace
    from nportpy.meters.dlms.settings import DlmsSettings
    from nportpy.meters.iec101.settings import Iec101Settings
    from nportpy.meters.iec62056.settings import Iec62056Settings
    from nportpy.protocols.iec101.addresses import ObjectAddress

SERIAL_GAP: Final = 16
"""Unwanted registers that are worth reading with their neighbours on a serial line: a new request costs 26-71 ms at
9600 baud, a register 2.1 ms (measured)."""

TCP_GAP: Final = 60
"""The same where bytes cost next to nothing."""


HISTORY_DEPTH: Final = 7 * 86400.0
"""Seconds of its device's own record that a station is filled from, unless it says otherwise."""

_IN: Final = re.compile(r"\s+in\s+")


class Protocol(StrEnum):
    """What a station speaks; each has a driver in `drivers/`."""

    MODBUS = "modbus"
    DLMS = "dlms"
    IEC62056 = "iec62056-21"
    IEC101 = "iec101"


class Beyond(StrEnum):
    """What becomes of a value beyond its limits."""

    CLAMP = "clamp"  # the limit, of uncertain quality
    DISCARD = "discard"  # no value, of bad quality


@dataclass(frozen=True, slots=True)
class Limits:
    """Between what a value must lie; None: no limit on that side."""

    low: float | None = None
    high: float | None = None
    beyond: Beyond = Beyond.DISCARD


@dataclass(frozen=True, slots=True)
class ModbusPlace:
    """Where a value lies in a Modbus unit, and what it is.

    Attributes:
        span: table, PDU address and number of registers or bits.
        kind: its type.
        order: the order of its bytes.
    """

    span: Span
    kind: ValueType
    order: Order = Order.ABCD


@dataclass(frozen=True, slots=True)
class ReadoutPlace:
    """Which value of an IEC 62056-21 meter: its EDIS or OBIS code, or the text that the meter prints before it.

    Attributes:
        text: the code; or `1.5.0 in P.01`, a column of a load profile.
    """

    text: str

    @property
    def parts(self) -> tuple[str, str]:
        """The code, and the profile that it is a column of; that is empty for a present value."""
        code, *profile = _IN.split(self.text.strip(), maxsplit=1)
        return code, profile[0] if profile else ""


Place: TypeAlias = "ModbusPlace | CosemPlace | ReadoutPlace | ObjectAddress"
"""Where a tag's value lies, as its station's driver knows it."""

Where: TypeAlias = str | ServerSettings | PortSettings | Endpoint
"""Where a station is: see `StationSettings.to`."""


@dataclass(frozen=True, slots=True)
class HistorySettings:
    """The record that a device keeps by itself: what even the gateway missed is filled from it.

    Attributes:
        profile: OBIS code of the profile, six bytes.
        depth: seconds that are looked back at most.
    """

    profile: bytes
    depth: float = HISTORY_DEPTH


@dataclass(frozen=True, slots=True)
class TagSettings:
    """One value of a station.

    Attributes:
        name: unique in its station.
        at: its address as it was written.
        place: what that means.
        unit: of the finished value: V, kWh.
        scale: the raw number is multiplied by it; `offset`: then added.
        precision: digits after the point that are kept; None: all.
        invalid: raw numbers by which the device says that there is no value.
        limits: between what the finished value must lie.
        words: texts that stand for numbers, by the raw number; a number without one stays a number, uncertain.
        bits: the first and the last bit of the raw number that are meant, counted from 0; None: the whole number.
        deadband: a change of the finished value that is no more than this is not reported.
        max_silence: a sample at least so often, changed or not; 0: never for that reason.
        always_at: a sample at each multiple of this on the clock, changed or not; 0: off.
        every: how often it is read; None: as often as its station.
        counter: it only rises (energy): Home Assistant and charts want to know.
        history: the column of the device's own record that fills its gaps, as its station's protocol names it; None:
            that of the tag itself; empty: none does.
    """

    name: str
    at: str
    place: Place
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0
    precision: int | None = None
    invalid: tuple[int | float, ...] = ()
    limits: Limits | None = None
    words: tuple[tuple[int, str], ...] = ()
    bits: tuple[int, int] | None = None
    deadband: float = 0.0
    max_silence: float = 900.0
    always_at: float = 0.0
    every: float | None = None
    counter: bool = False
    history: str | None = None


@dataclass(frozen=True, slots=True)
class StationSettings:
    """A device that is read.

    Attributes:
        name: unique; with a tag's name it makes `station/tag`.
        to: the port of this gateway that it is on; or the Modbus TCP server that leads to it; or a serial line
            elsewhere, as a port's settings name it (`rfc2217://...`, `socket://...` for RTU over TCP), or a device of
            this machine that no port of the gateway has; or a DLMS meter on the network (the TCP wrapper).
        unit: its unit id (Modbus).
        every: how often it is read.
        tags: what is read of it, in the file's order.
        protocol: what it speaks.
        gap: unwanted registers that may be read with their neighbours.
        priority: of its requests among the others of the line.
        profile: from which profile its tags come; empty: from none.
        rules: who may ask what on its line: the poller is held to them as any client.
        line: speed and format while its line is held for it; None: as the port has them, or as the protocol says.
        access: how a device is reached that does not speak Modbus: the settings of its protocol.
        history: the record of its own by which gaps are filled; None: it has none, or it is left alone.
        secret_files: where its password and keys were read from: nobody else should be able to.
    """

    name: str
    to: Where
    unit: int
    every: float
    tags: tuple[TagSettings, ...]
    protocol: Protocol = Protocol.MODBUS
    gap: int = SERIAL_GAP
    priority: Priority = Priority.LOW
    profile: str = ""
    rules: tuple[Rule, ...] = ()
    line: LineSettings | None = None
    access: "DlmsSettings | Iec62056Settings | Iec101Settings | None" = None
    history: HistorySettings | None = None
    secret_files: tuple[str, ...] = ()


class ClockTrust(StrEnum):
    """When the wall clock is believed."""

    SYNCHRONISED = "synchronised"  # while the kernel says that it is, or it came from a clock with a battery
    TRUSTED = "trusted"  # always: a site without NTP whose clock somebody sets


@dataclass(frozen=True, slots=True)
class ArchiveSettings:
    """How much is kept, and what a power cut may cost.

    Attributes:
        path: the file. Its directory exists. Beside it lie `-wal` (SQLite's), `.mark` (which numbers were used) and,
            after damage, one `.damaged-TIME`.
        max_size: bytes that the file and its WAL may take together.
        max_age: seconds that a sample is kept.
        commit: seconds that a reading may wait until it is on the disk; less wears flash more.
        queue: readings that may wait for the disk; beyond it the oldest of them are dropped and counted.
        clock: when the wall clock is believed: until then samples are uncertain.
    """

    path: str
    max_size: int = 200 * 1024 * 1024
    max_age: float = 30 * 86400.0
    commit: float = 2.0
    queue: int = 16384
    clock: ClockTrust = ClockTrust.SYNCHRONISED


class Format(StrEnum):
    """How batches are written."""

    JSON = "json"
    INFLUX = "influx"


class Backfill(StrEnum):
    """When a gap is sent."""

    AUTO = "auto"  # on each connection
    REQUEST = "request"  # when somebody asks


class Confirm(StrEnum):
    """Whose word moves the cursor."""

    BROKER = "broker"
    HOST = "host"  # the consumer's, on `.../ack`


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """Where samples are sent.

    Attributes:
        name: unique; the archive keeps a cursor under it.
        urls: tried in turn.
        site: the second part of topics, after `nportpy/v1`.
        node: the third: this gateway's name.
        format: how batches are written.
        backfill: when a gap is sent.
        overlap: seconds before the last acknowledged sample that are sent again after a loss, as a loss is noticed
            later than it begins; None: twice the keepalive, 60 s at least.
        max_rate: late samples per second; 0: as fast as the other side takes them.
        confirm: whose word moves the cursor.
        keepalive: after so long without a sign of life the connection counts as lost.
        user: user name; empty: none. `password_file`: the first line of it is the password.
        credentials: a NATS credentials file.
        database: of InfluxDB 1; `org`, `bucket` and `token_file` of InfluxDB 2.
        tls: for mqtts, nats with TLS and https; None: the system's authorities, and nats:// without TLS.
        homeassistant: announce the stations to Home Assistant under this prefix; empty: do not.
    """

    name: str
    urls: tuple[str, ...]
    site: str = "default"
    node: str = ""
    format: Format = Format.JSON
    backfill: Backfill = Backfill.AUTO
    overlap: float | None = None
    max_rate: float = 2000.0
    confirm: Confirm = Confirm.BROKER
    keepalive: float = 30.0
    user: str = ""
    password_file: str = ""
    credentials: str = ""
    database: str = ""
    org: str = ""
    bucket: str = ""
    token_file: str = ""
    tls: TlsSettings | None = None
    homeassistant: str = ""

    @property
    def overlap_seconds(self) -> float:
        """`overlap`, or what follows from the keepalive."""
        return max(2 * self.keepalive, 60.0) if self.overlap is None else self.overlap


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """The whole second storey; without stations there is none.

    Attributes:
        archive: where samples are kept.
        stations: what is read, in the file's order.
        upstreams: where it is sent, in the file's order.
    """

    archive: ArchiveSettings
    stations: tuple[StationSettings, ...] = ()
    upstreams: tuple[UpstreamSettings, ...] = ()


def place_of(tag: TagSettings) -> ModbusPlace:
    """Where a tag of a Modbus station lies."""
    assert isinstance(tag.place, ModbusPlace)  # the station's protocol says so
    return tag.place
