"""The tables of the second storey: [archive], [station.NAME], [upstream.NAME], and profiles of meters.

What a tag's keys have to do with its station and its profile is in edge_build.py.
"""

from typing import Annotated

from pydantic import BaseModel, Field

from nportpy.config import edge_values, modbus_values, values
from nportpy.config.edge_access import AccessKeys, SecretKeys
from nportpy.config.edge_values import Deadband, StationTarget
from nportpy.config.tables import BOOLEAN, TEXT, Leaf, Many, Table, UsesTls, duration, integer, size, words
from nportpy.edge.settings import (
    ArchiveSettings,
    Backfill,
    Beyond,
    ClockTrust,
    Confirm,
    Format,
    ModbusPlace,
    Protocol,
    TagSettings,
    UpstreamSettings,
)
from nportpy.line.turns import Priority
from nportpy.protocols.modbus.addresses import Numbering
from nportpy.protocols.modbus.functions import Span
from nportpy.protocols.modbus.functions import Table as ModbusTable
from nportpy.protocols.modbus.values import Kind, Order, ValueType

_ARCHIVE = ArchiveSettings("")
_TAG = TagSettings("", "", ModbusPlace(Span(ModbusTable.HOLDING_REGISTERS, 0, 1), ValueType(Kind.UINT16)))
_UPSTREAM = UpstreamSettings("", ())

_NUMBER = Leaf(edge_values.number, {"type": "number"})
_NAME = Leaf(edge_values.topic_name, {"type": "string", "pattern": edge_values.TOPIC_NAME})
_TYPE = Leaf(edge_values.value_type, TEXT)
_NUMBERING = words(Numbering)
_ORDER = words(Order)
_PRIORITY = Leaf(modbus_values.priority, {"enum": [known.name.lower() for known in Priority]})
_EVERY = duration("100ms", "7d")
_FILE = Leaf(edge_values.path, {"type": "string", "pattern": "^/"})
_A_TAG = '{ name = "power", at = "41009", type = "float32", unit = "kW" }'


class Archive(Table):
    """[archive]: where samples are kept, and how long."""

    path: Annotated[str, Leaf(edge_values.archive_path, TEXT)] = "archive.db"
    max_size: Annotated[int, size("1MiB", "65536MiB")] = _ARCHIVE.max_size
    max_age: Annotated[float, duration("1h", "3650d")] = _ARCHIVE.max_age
    commit: Annotated[float, duration("100ms", "5min")] = _ARCHIVE.commit
    clock: Annotated[ClockTrust, words(ClockTrust)] = _ARCHIVE.clock


class LimitsTable(Table):
    """`limits` of a tag."""

    low: Annotated[float | int | None, _NUMBER] = None
    high: Annotated[float | int | None, _NUMBER] = None
    beyond: Annotated[Beyond, words(Beyond)] = Beyond.DISCARD


class Tag(Table):
    """An item of `tags`."""

    name: Annotated[str, Leaf(edge_values.tag_name, {"type": "string", "pattern": edge_values.TAG_NAME})]
    at: Annotated[str | None, Leaf(edge_values.tag_address, {"type": ["string", "integer"]})] = None
    type: Annotated[ValueType | None, _TYPE] = None
    order: Annotated[Order | None, _ORDER] = None
    unit: Annotated[str | None, Leaf(lambda value: values.label(value, 32), TEXT)] = None
    scale: Annotated[float | int | None, _NUMBER] = None
    offset: Annotated[float | int | None, _NUMBER] = None
    precision: Annotated[int | None, integer(0, 12)] = None
    invalid: Annotated[
        list[Annotated[int | float, _NUMBER]],
        Many("every number is valid without such a line", single=True, example="[0x8000, 0xFFFFFFFF]"),
    ] = Field(default_factory=list)
    limits: LimitsTable | None = None
    enum: Annotated[dict[int, str] | None, Leaf(edge_values.enum_words, {"type": "object"})] = None
    bits: Annotated[tuple[int, int] | None, Leaf(edge_values.bits, {"type": ["string", "integer"]})] = None
    deadband: Annotated[Deadband | None, Leaf(edge_values.deadband, {"type": ["number", "string"]})] = None
    range: Annotated[tuple[float, float] | None, Leaf(edge_values.value_range, {"type": "array"})] = None
    max_silence: Annotated[float | None, duration("1s", "30d", off=True)] = None
    always_at: Annotated[float | None, duration("1s", "1d", off=True)] = None
    every: Annotated[float | None, _EVERY] = None
    counter: Annotated[bool | None, BOOLEAN] = None
    history: Annotated[str | None, Leaf(edge_values.tag_history, {"type": ["string", "boolean"]})] = None


_TAGS = Annotated[list[Tag], Many("nothing would be read", example=f"[{_A_TAG}]")]


class Profile(AccessKeys):
    """A profile: what a kind of meter has, how its manual counts, and how it is reached."""

    name: Annotated[str, Leaf(lambda value: values.label(value, 128), TEXT)]
    source: Annotated[str, Leaf(lambda value: values.label(value, 512), TEXT)]
    protocol: Annotated[Protocol, words(Protocol)] = Protocol.MODBUS
    numbering: Annotated[Numbering, _NUMBERING] = Numbering.MODICON
    order: Annotated[Order, _ORDER] = Order.ABCD
    type: Annotated[ValueType | None, _TYPE] = None
    tags: _TAGS


class Station(AccessKeys, SecretKeys):
    """[station.NAME]: a device that is read."""

    port: Annotated[str | None, Leaf(modbus_values.port, TEXT)] = None
    target: Annotated[StationTarget | None, Leaf(edge_values.target, TEXT)] = None
    tls: UsesTls = ""
    protocol: Annotated[Protocol | None, words(Protocol)] = None
    unit: Annotated[int, integer(1, 255)] = 1
    every: Annotated[float, _EVERY]
    profile: Annotated[str | None, Leaf(edge_values.profile_name, TEXT)] = None
    only: Annotated[
        list[Annotated[str, Leaf(edge_values.tag_name, TEXT)]],
        Many("nothing would be read", example='["power", "energy"], or no such line for all of the profile'),
    ] = Field(default_factory=list)
    numbering: Annotated[Numbering | None, _NUMBERING] = None
    order: Annotated[Order | None, _ORDER] = None
    type: Annotated[ValueType | None, _TYPE] = None
    max_silence: Annotated[float, duration("1s", "30d", off=True)] = _TAG.max_silence
    gap: Annotated[int | None, integer(0, 120)] = None
    priority: Annotated[Priority, _PRIORITY] = Priority.LOW
    baudrate: Annotated[int | None, integer(1, (1 << 31) - 1)] = None
    format: Annotated[str | None, Leaf(values.line_format, TEXT)] = None
    tags: Annotated[list[Tag], Many("nothing would be read", example=f"[{_A_TAG}]")] = Field(default_factory=list)


class Upstream(Table):
    """[upstream.NAME]: where samples are sent."""

    url: Annotated[
        list[Annotated[str, Leaf(edge_values.upstream_url, TEXT)]],
        Many("samples would go nowhere", single=True, example='"mqtts://broker.example:8883"'),
    ]
    site: Annotated[str, _NAME] = _UPSTREAM.site
    node: Annotated[str | None, _NAME] = None
    format: Annotated[Format | None, words(Format)] = None
    backfill: Annotated[Backfill, words(Backfill)] = _UPSTREAM.backfill
    overlap: Annotated[float | None, duration("0s", "1d")] = _UPSTREAM.overlap
    max_rate: Annotated[int, Leaf(edge_values.rate, {"type": ["integer", "string"]})] = round(_UPSTREAM.max_rate)
    confirm: Annotated[Confirm, words(Confirm)] = _UPSTREAM.confirm
    keepalive: Annotated[float, duration("1s", "1h")] = _UPSTREAM.keepalive
    user: Annotated[str, Leaf(lambda value: values.label(value, 256), TEXT)] = ""
    password_file: Annotated[str, _FILE] = ""
    credentials_file: Annotated[str, _FILE] = ""
    token_file: Annotated[str, _FILE] = ""
    database: Annotated[str, Leaf(lambda value: values.label(value, 256), TEXT)] = ""
    org: Annotated[str, Leaf(lambda value: values.label(value, 256), TEXT)] = ""
    bucket: Annotated[str, Leaf(lambda value: values.label(value, 256), TEXT)] = ""
    tls: UsesTls = ""
    ca_file: Annotated[str, _FILE] = ""
    cert_file: Annotated[str, _FILE] = ""
    key_file: Annotated[str, _FILE] = ""
    homeassistant: Annotated[str, Leaf(edge_values.homeassistant, {"type": ["boolean", "string"]})] = ""


TABLES: dict[str, tuple[str, type[BaseModel]]] = {
    "archive": ("[archive]", Archive),
    "station.NAME": ("[station.NAME]", Station),
    "station.NAME.tags": ("an item of tags", Tag),
    "station.NAME.tags.limits": ("limits", LimitsTable),
    "upstream.NAME": ("[upstream.NAME]", Upstream),
}
"""What to call the tables at a path, and their models."""
