"""The tables and keys of a configuration file, as pydantic models; those of Modbus are in modbus_tables.py."""

from collections.abc import Callable
from functools import cache
from typing import Annotated, Self, get_origin

from pydantic import BaseModel, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from nportpy.config import (
    edge_tables,
    edge_values,
    http_tables,
    modbus_tables,
    stream_tables,
    stream_values,
    tls_tables,
    values,
)
from nportpy.config.modbus_tables import LineModbus, Master, Routed
from nportpy.config.stream_tables import COMMANDS, Modem, Pair, RealCom, ReverseTelnet, StreamService, TcpClient, Udp
from nportpy.config.tables import (
    BOOLEAN,
    LINE_FORMAT,
    TEXT,
    Allow,
    JsonSchema,
    Leaf,
    Many,
    Table,
    duration,
    integer,
    size,
    words,
)
from nportpy.config.values import ValueFault
from nportpy.gateway.capture_settings import CaptureSettings
from nportpy.gateway.plans import GatewaySettings
from nportpy.line.stream_base import IdleLevels, StreamSettings
from nportpy.linesettings import Flow, LineSettings, Rs485Mode, Rs485Settings
from nportpy.modes.discovery_base import DiscoverySettings
from nportpy.modes.rfc2217_base import Rfc2217Settings, WhoControls
from nportpy.network.addresses import AllowList, Endpoint
from nportpy.network.service import Direction
from nportpy.port.base import OnClose, OnOpen, PortSettings
from nportpy.protocols.capture.records import Cause
from nportpy.protocols.packing import PackingSettings
from nportpy.services.logs import LogFormat, LogSettings
from nportpy.services.mdns_base import MdnsSettings

LOG_LEVELS = ("debug", "info", "warning", "error")

_GATEWAY = GatewaySettings("", ())
_ACCESS = _GATEWAY.access
_LOG = LogSettings()
_PORT = PortSettings("")
_RFC2217 = Rfc2217Settings(listen=())
_STREAM = StreamSettings()
_STREAM_PACKING = PackingSettings()

_DELAY = Leaf(values.rs485_delay, {"type": "string", "pattern": "^[0-9]+(ms|s)$"})
_BUFFER = Leaf(
    lambda value: 0 if value == "off" else values.size(value, "1KiB", "64MiB"),
    {"type": "string", "pattern": "^[0-9.]+[kKM]?i?B$|^off$"},
)
_KEEP = Leaf(
    lambda value: 0 if value == "off" else values.size(value, "16KiB", "64MiB"),
    {"type": "string", "pattern": "^[0-9.]+[kKM]?i?B$|^off$"},
)
_FILE_SIZE = size("64KiB", "1024MiB")
_CAPTURE = CaptureSettings()
_IDENTITY = DiscoverySettings()
_MDNS = MdnsSettings()
_SERVICES = Many("a service is a table", single=True, example="[port.NAME.raw] or [[port.NAME.raw]]")
_MODBUS = Many("a service is a table", single=True, example="[port.NAME.modbus] or [[port.NAME.modbus]]")


class Gateway(Table):
    """[gateway]: what holds for everything."""

    name: Annotated[str, Leaf(values.gateway_name, TEXT)] = Field(default_factory=values.host_name)
    listen: Annotated[str, Leaf(values.address, TEXT)] = "::"
    allow: Allow = Field(default_factory=list)
    max_connections: Annotated[int, integer(1, 10000)] = _ACCESS.max_connections
    max_connections_per_address: Annotated[int, integer(1, 10000)] = _ACCESS.max_per_address
    drain: Annotated[float, duration("0s", "1h")] = _GATEWAY.drain


class Capture(Table):
    """[capture]: who may watch the lines, and what is kept of them."""

    allow: Allow = Field(default_factory=list)
    keep: Annotated[int, _KEEP] = _CAPTURE.keep
    freeze_on: Annotated[
        list[Annotated[Cause, words(Cause)]],
        Many("nothing would ever be frozen", single=True, example='"no_answer", or ["no_answer", "crc"]'),
    ] = Field(default_factory=lambda: sorted(_CAPTURE.freeze_on))
    directory: Annotated[str, Leaf(values.folder, TEXT)] = _CAPTURE.directory
    record: Annotated[
        list[Annotated[str, Leaf(values.port_name, TEXT)]],
        Many("nothing would be recorded", single=True, example='["bus"], or no such line for all'),
    ] = Field(default_factory=list)
    files: Annotated[int, integer(2, 1000)] = _CAPTURE.files
    size: Annotated[int, _FILE_SIZE] = _CAPTURE.size

    def settings(self) -> CaptureSettings:
        """The same, frozen."""
        own = {"allow": AllowList(self.allow, "capture.allow"), "freeze_on": frozenset(self.freeze_on)}
        return CaptureSettings(**vars(self) | own | {"record": tuple(self.record)})


class Discovery(Table):
    """[discovery]: what programs that search for NPorts are told."""

    listen: Annotated[
        list[Annotated[Endpoint, Leaf(lambda value: values.endpoint(value, 4800), TEXT)]],
        Many("false switches discovery off", single=True, off=True, example='"[::]:4800" or false'),
    ] = Field(default_factory=lambda: list(_IDENTITY.listen))
    allow: Allow = Field(default_factory=list)
    name: Annotated[str | None, Leaf(lambda value: values.label(value, 39, ascii_only=True), TEXT)] = None
    ap_id: Annotated[int, integer(1, 0xFFFFFFFF)] = _IDENTITY.ap_id
    hardware_id: Annotated[int, integer(0, 0xFFFF)] = _IDENTITY.hardware_id
    mac: Annotated[bytes, Leaf(stream_values.mac, TEXT)] = _IDENTITY.mac
    serial: Annotated[int, integer(0, 65535)] = _IDENTITY.serial


class Mdns(Table):
    """[mdns]: services announced by multicast DNS."""

    interfaces: Annotated[
        list[Annotated[str, Leaf(values.address, TEXT)]],
        Many("nothing would be announced", single=True, example='"192.168.0.7", or no such line for all'),
    ] = Field(default_factory=list)
    raw: Annotated[bool, BOOLEAN] = _MDNS.raw
    rfc2217: Annotated[bool, BOOLEAN] = _MDNS.rfc2217
    realcom: Annotated[bool, BOOLEAN] = _MDNS.realcom
    modbus: Annotated[bool, BOOLEAN] = _MDNS.modbus
    http: Annotated[bool, BOOLEAN] = _MDNS.http


class Log(Table):
    """[log]: what is logged, and how."""

    level: Annotated[str, Leaf(lambda value: values.word(value, LOG_LEVELS), {"enum": list(LOG_LEVELS)})] = _LOG.level
    format: Annotated[LogFormat, words(LogFormat)] = _LOG.format


class Raw(StreamService):
    """[port.NAME.raw]: a raw TCP listener."""

    commands: COMMANDS = None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.commands is not None and (self.packing != _STREAM_PACKING or self.direction is not Direction.BOTH):
            raise ValueFault("commands go with neither packing nor direction: an answer goes to its client as a whole")
        return self


class Rfc2217(StreamService):
    """[port.NAME.rfc2217]: an RFC 2217 listener."""

    control: Annotated[WhoControls, words(WhoControls)] = _RFC2217.control
    # A telnet subnegotiation carries it; 255 is far more than any client shows.
    signature: Annotated[str, Leaf(lambda value: values.label(value, 255, ascii_only=True), TEXT)] = _RFC2217.signature


class Rs485(Table):
    """`rs485` as a table: on, with details."""

    delay_before: Annotated[float, _DELAY] = _PORT.rs485.delay_before
    delay_after: Annotated[float, _DELAY] = _PORT.rs485.delay_after
    rts_on_send: Annotated[bool, BOOLEAN] = _PORT.rs485.rts_on_send
    rx_during_tx: Annotated[bool, BOOLEAN] = _PORT.rs485.rx_during_tx
    termination: Annotated[bool, BOOLEAN] = _PORT.rs485.termination


class _WordOrTable:
    """`rs485`: a word, or a table, which means on."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self._read, handler.generate_schema(Rs485))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        return {"anyOf": [{"enum": [str(mode) for mode in Rs485Mode]}, handler(schema)]}

    def _read(self, value: object, read_table: Callable[[object], Rs485]) -> Rs485Settings:
        if isinstance(value, dict):
            return Rs485Settings(mode=Rs485Mode.ON, **vars(read_table(value)))
        try:
            return Rs485Settings(mode=Rs485Mode(values.word(value, Rs485Mode)))
        except ValueFault as fault:
            if isinstance(value, bool):
                raise ValueFault("is a word and no boolean", '"on"' if value else '"off", or "keep"') from fault
            reason = fault.reason.replace("a string", "a string or a table")
            raise ValueFault(reason, f'{fault.allowed}, {{ delay_after = "1ms" }}') from fault


class Port(Table):
    """[port.NAME]: a device and its services."""

    device: Annotated[str, Leaf(values.device, TEXT)]
    baudrate: Annotated[int, integer(1, (1 << 31) - 1)] = _PORT.line.baudrate
    format: Annotated[str, LINE_FORMAT] = _PORT.line.format
    flow: Annotated[Flow, Leaf(values.flow_control, {"enum": [str(flow) for flow in Flow]})] = _PORT.line.flow
    rs485: Annotated[Rs485Settings, _WordOrTable()] = _PORT.rs485
    dtr: Annotated[OnOpen, words(OnOpen)] = _PORT.dtr
    rts: Annotated[OnOpen, words(OnOpen)] = _PORT.rts
    on_close: Annotated[OnClose, words(OnClose)] = _PORT.on_close
    exclusive: Annotated[bool, BOOLEAN] = _PORT.exclusive
    low_latency: Annotated[bool, BOOLEAN] = _PORT.low_latency
    flush_on_first_client: Annotated[bool, BOOLEAN] = _STREAM.flush_on_first
    linger: Annotated[float, duration("0s", "1h")] = _STREAM.linger
    buffer: Annotated[int, _BUFFER] = _STREAM.buffer
    idle_levels: Annotated[IdleLevels, words(IdleLevels)] = _STREAM.idle_levels
    trace: Annotated[bool, BOOLEAN] = False
    monitor: Annotated[bool, BOOLEAN] = True
    allow: Allow = Field(default_factory=list)
    raw: Annotated[list[Raw], _SERVICES] = Field(default_factory=list)
    rfc2217: Annotated[list[Rfc2217], _SERVICES] = Field(default_factory=list)
    modbus: Annotated[list[LineModbus], _MODBUS] = Field(default_factory=list)
    modbus_master: Master | None = None
    tcp_client: Annotated[list[TcpClient], _SERVICES] = Field(default_factory=list)
    udp: Annotated[list[Udp], _SERVICES] = Field(default_factory=list)
    pair: Annotated[list[Pair], _SERVICES] = Field(default_factory=list)
    reverse_telnet: Annotated[list[ReverseTelnet], _SERVICES] = Field(default_factory=list)
    modem: Annotated[list[Modem], _SERVICES] = Field(default_factory=list)
    realcom: Annotated[list[RealCom], _SERVICES] = Field(default_factory=list)

    def settings(self) -> PortSettings:
        """How to open the device."""
        return PortSettings(
            device=self.device,
            line=LineSettings.parse(self.baudrate, self.format, self.flow),
            rs485=self.rs485,
            dtr=self.dtr,
            rts=self.rts,
            on_close=self.on_close,
            exclusive=self.exclusive,
            low_latency=self.low_latency,
        )


_NAME_SHAPE: JsonSchema = {"type": "string", "pattern": values.NAME_PATTERN}
_PortName = Annotated[str, Leaf(values.port_name, _NAME_SHAPE)]
_RouterName = Annotated[str, Leaf(values.router_name, _NAME_SHAPE)]
_StationName = Annotated[str, Leaf(edge_values.station_name, {"type": "string", "pattern": edge_values.TAG_NAME})]
_UpstreamName = Annotated[str, Leaf(edge_values.upstream_name, {"type": "string", "pattern": edge_values.TOPIC_NAME})]


class File(Table):
    """The whole file."""

    gateway: Gateway = Field(default_factory=Gateway)
    http: http_tables.Http = Field(default_factory=http_tables.Http)
    capture: Capture = Field(default_factory=Capture)
    log: Log = Field(default_factory=Log)
    discovery: Discovery | None = None
    mdns: Mdns | None = None
    port: dict[_PortName, Port] = Field(default_factory=dict)
    modbus: dict[_RouterName, Routed] = Field(default_factory=dict)
    archive: edge_tables.Archive | None = None
    station: dict[_StationName, edge_tables.Station] = Field(default_factory=dict)
    upstream: dict[_UpstreamName, edge_tables.Upstream] = Field(default_factory=dict)
    tls: dict[_RouterName, tls_tables.Tls] = Field(default_factory=dict)


def table_at(path: tuple[str | int, ...]) -> tuple[str, type[BaseModel]]:
    """The table that a key path leads to: what to call it, and its model."""
    match [step for step in path if isinstance(step, str)]:
        case []:
            return "the file", File
        case ["port" | "modbus" | "station" | "upstream" | "tls" as kind, _, *rest]:
            return _TABLES[".".join([f"{kind}.NAME", *rest])]
        case rest:
            return _TABLES[".".join(rest)]


@cache
def boolean_keys() -> frozenset[str]:
    """The keys that are true or false, in whatever table."""
    models = [model for _, model in _TABLES.values()]
    return frozenset(key for model in models for key, field in model.model_fields.items() if field.annotation is bool)


def may_be_several(path: tuple[str | int, ...]) -> bool:
    """Whether a table may stand at a key path several times, as [[...]]."""
    match path:
        case ("port", str(), str(service)) if service in Port.model_fields:
            return f"port.NAME.{service}" in _TABLES and get_origin(Port.model_fields[service].annotation) is list
        case _:
            return False


def tables_with(key: str) -> list[str]:
    """What to call the tables that know `key`."""
    return list(dict.fromkeys(name for name, model in _TABLES.values() if key in model.model_fields))


_TABLES: dict[str, tuple[str, type[BaseModel]]] = {
    "gateway": ("[gateway]", Gateway),
    **http_tables.TABLES,
    "capture": ("[capture]", Capture),
    "log": ("[log]", Log),
    "discovery": ("[discovery]", Discovery),
    "mdns": ("[mdns]", Mdns),
    "port.NAME": ("[port.NAME]", Port),
    "port.NAME.rs485": ("rs485", Rs485),
    "port.NAME.raw": ("[port.NAME.raw]", Raw),
    "port.NAME.rfc2217": ("[port.NAME.rfc2217]", Rfc2217),
    **modbus_tables.TABLES,
    **stream_tables.TABLES,
    **edge_tables.TABLES,
    **tls_tables.TABLES,
}
