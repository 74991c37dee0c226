"""The tables and keys of a configuration file, as pydantic models.

Each key's default is the one of the settings that it ends up in: it is written down once, there. Values that are
wrong raise ValueFault (values.py), whose words reach the reader; pydantic itself finds unknown and missing keys and
collects everything.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from nportpy.config import values
from nportpy.config.values import ValueFault
from nportpy.gateway import GatewaySettings
from nportpy.line.port import OnClose, OnOpen, PortSettings
from nportpy.line.stream import StreamSettings
from nportpy.linesettings import Flow, LineSettings, Rs485Mode, Rs485Settings
from nportpy.modes.base import ServiceSettings, WhenDown, WhenFull
from nportpy.modes.rfc2217 import Rfc2217Settings, WhoControls
from nportpy.network import Endpoint, Network
from nportpy.services.http import HttpSettings
from nportpy.services.logs import LogFormat, LogSettings

_JsonSchema = dict[str, Any]

LOG_LEVELS = ("debug", "info", "warning", "error")

_GATEWAY = GatewaySettings("", ())
_DOOR = _GATEWAY.door
_LOG = LogSettings()
_PORT = PortSettings("")
_RFC2217 = Rfc2217Settings(listen=())
_SERVICE = ServiceSettings(listen=())
_STREAM = StreamSettings()


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A single value: how it is read, and its JSON schema."""

    parse: Callable[[object], Any]
    shape: _JsonSchema

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> _JsonSchema:
        return dict(self.shape)


@dataclass(frozen=True, slots=True)
class _Many:
    """A list that is not empty.

    Attributes:
        empty: what an empty list would mean, for the message.
        single: one item may stand for a list of one.
        off: false stands for an empty list.
        example: what to write instead of a lone item, where it may not stand.
    """

    empty: str
    single: bool = False
    off: bool = False
    example: str = ""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._listed, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> _JsonSchema:
        array = {**handler(schema), "minItems": 1}
        shapes = [array["items"]] * self.single + [array] + [{"const": False}] * self.off
        return {"anyOf": shapes} if len(shapes) > 1 else array

    def _listed(self, value: object) -> object:
        if self.off and value is False:
            return []
        if not isinstance(value, list) and self.single:
            return [value]
        if not isinstance(value, list):
            raise ValueFault(f"must be an array, not {values.kind(value)}", self.example)
        if not value:
            raise ValueFault(f"is empty: {self.empty}", self.example)
        return value


def _words(choices: type[StrEnum]) -> _Leaf:
    return _Leaf(lambda value: choices(values.word(value, choices)), {"enum": [str(choice) for choice in choices]})


def _integer(low: int, high: int) -> _Leaf:
    shape = {"type": "integer", "minimum": low, "maximum": high}
    return _Leaf(lambda value: values.integer(value, low, high), shape)


def _duration(low: str, high: str, *, off: bool = False) -> _Leaf:
    pattern = r"^[0-9]+(\.[0-9]+)?(ms|s|min|h|d)$" + ("|^off$" if off else "")
    return _Leaf(lambda value: values.duration(value, low, high, off=off), {"type": "string", "pattern": pattern})


_TEXT = {"type": "string"}
_BOOLEAN = _Leaf(values.boolean, {"type": "boolean"})
_DELAY = _Leaf(values.rs485_delay, {"type": "string", "pattern": "^[0-9]+(ms|s)$"})

_Allow = Annotated[
    list[Annotated[Network, _Leaf(values.network, _TEXT)]],
    _Many("nobody could ever connect", example='["192.168.0.0/16"], or no such line for anyone'),
]
_Listen = Annotated[
    list[Annotated[int | Endpoint, _Leaf(values.listener, {"type": ["integer", "string"]})]],
    _Many("the service would listen nowhere", single=True, example='4001 or "192.168.0.7:4001"'),
]
_HttpListen = Annotated[
    list[Annotated[Endpoint, _Leaf(values.endpoint, _TEXT)]],
    _Many("false switches http off", single=True, off=True, example='"127.0.0.1:9550" or false'),
]
_SERVICES = _Many("a service is a table", single=True, example="[port.NAME.raw] or [[port.NAME.raw]]")


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Gateway(_Table):
    """[gateway]: what holds for everything."""

    name: Annotated[str, _Leaf(values.gateway_name, _TEXT)] = Field(default_factory=values.host_name)
    listen: Annotated[str, _Leaf(values.address, _TEXT)] = "::"
    allow: _Allow = Field(default_factory=list)
    max_connections: Annotated[int, _integer(1, 10000)] = _DOOR.max_connections
    max_connections_per_address: Annotated[int, _integer(1, 10000)] = _DOOR.max_per_address
    drain: Annotated[float, _duration("0s", "1h")] = _GATEWAY.drain


class Http(_Table):
    """[http]: metrics and status."""

    listen: _HttpListen = Field(default_factory=lambda: [Endpoint(*pair) for pair in HttpSettings().listen])
    allow: _Allow = Field(default_factory=list)


class Log(_Table):
    """[log]: what is logged, and how."""

    level: Annotated[str, _Leaf(lambda value: values.word(value, LOG_LEVELS), {"enum": list(LOG_LEVELS)})] = _LOG.level
    format: Annotated[LogFormat, _words(LogFormat)] = _LOG.format


class Service(_Table):
    """What the services of a port have in common."""

    listen: _Listen
    allow: _Allow = Field(default_factory=list)
    max_clients: Annotated[int, _integer(1, 1000)] = _SERVICE.max_clients
    when_full: Annotated[WhenFull, _words(WhenFull)] = _SERVICE.when_full
    idle_after: Annotated[float, _duration("1s", "1d")] = _SERVICE.idle_after
    takeover: Annotated[bool, _BOOLEAN] = _SERVICE.takeover
    # Linux keeps TCP_KEEPIDLE up to 32767 seconds, nine hours and a bit.
    alive_check: Annotated[float, _duration("1s", "9h", off=True)] = _SERVICE.alive_check
    inactivity: Annotated[float, _duration("10ms", "7d", off=True)] = _SERVICE.inactivity
    half_close: Annotated[float, _duration("10ms", "1h")] = _SERVICE.half_close
    when_down: Annotated[WhenDown, _words(WhenDown)] = _SERVICE.when_down
    allowance: Annotated[
        int,
        _Leaf(lambda value: values.size(value, "4KiB", "64MiB"), {"type": "string", "pattern": "^[0-9.]+[kKM]?i?B$"}),
    ] = _SERVICE.allowance


class Raw(Service):
    """[port.NAME.raw]: a raw TCP listener."""


class Rfc2217(Service):
    """[port.NAME.rfc2217]: an RFC 2217 listener."""

    control: Annotated[WhoControls, _words(WhoControls)] = _RFC2217.control
    # A telnet subnegotiation carries it; 255 is far more than any client shows.
    signature: Annotated[str, _Leaf(lambda value: values.label(value, 255, ascii_only=True), _TEXT)] = (
        _RFC2217.signature
    )


class Rs485(_Table):
    """`rs485` as a table: on, with details."""

    delay_before: Annotated[float, _DELAY] = _PORT.rs485.delay_before
    delay_after: Annotated[float, _DELAY] = _PORT.rs485.delay_after
    rts_on_send: Annotated[bool, _BOOLEAN] = _PORT.rs485.rts_on_send
    rx_during_tx: Annotated[bool, _BOOLEAN] = _PORT.rs485.rx_during_tx
    termination: Annotated[bool, _BOOLEAN] = _PORT.rs485.termination


class _WordOrTable:
    """`rs485`: a word, or a table, which means on."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self._read, handler.generate_schema(Rs485))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> _JsonSchema:
        return {"anyOf": [{"enum": [str(mode) for mode in Rs485Mode]}, handler(schema)]}

    def _read(self, value: object, read_table: Callable[[object], Rs485]) -> Rs485Settings:
        if isinstance(value, dict):
            return Rs485Settings(mode=Rs485Mode.ON, **vars(read_table(value)))
        try:
            return Rs485Settings(mode=Rs485Mode(values.word(value, Rs485Mode)))
        except ValueFault as fault:
            reason = fault.reason.replace("a string", "a string or a table")
            raise ValueFault(reason, f'{fault.allowed}, {{ delay_after = "1ms" }}') from fault


class Port(_Table):
    """[port.NAME]: a device and its services."""

    device: Annotated[str, _Leaf(values.device, _TEXT)]
    baudrate: Annotated[int, _integer(1, (1 << 31) - 1)] = _PORT.line.baudrate
    format: Annotated[
        str, _Leaf(values.line_format, {"type": "string", "pattern": r"^[5-8][NEOMSneoms](1|1\.5|2)$"})
    ] = _PORT.line.format
    flow: Annotated[Flow, _words(Flow)] = _PORT.line.flow
    rs485: Annotated[Rs485Settings, _WordOrTable()] = _PORT.rs485
    dtr: Annotated[OnOpen, _words(OnOpen)] = _PORT.dtr
    rts: Annotated[OnOpen, _words(OnOpen)] = _PORT.rts
    on_close: Annotated[OnClose, _words(OnClose)] = _PORT.on_close
    exclusive: Annotated[bool, _BOOLEAN] = _PORT.exclusive
    low_latency: Annotated[bool, _BOOLEAN] = _PORT.low_latency
    flush_on_first_client: Annotated[bool, _BOOLEAN] = _STREAM.flush_on_first
    linger: Annotated[float, _duration("0s", "1h")] = _STREAM.linger
    trace: Annotated[bool, _BOOLEAN] = False
    allow: _Allow = Field(default_factory=list)
    raw: Annotated[list[Raw], _SERVICES] = Field(default_factory=list)
    rfc2217: Annotated[list[Rfc2217], _SERVICES] = Field(default_factory=list)

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


_PortName = Annotated[str, _Leaf(values.port_name, {"type": "string", "pattern": values.NAME_PATTERN})]


class File(_Table):
    """The whole file."""

    gateway: Gateway = Field(default_factory=Gateway)
    http: Http = Field(default_factory=Http)
    log: Log = Field(default_factory=Log)
    port: dict[_PortName, Port] = Field(default_factory=dict)


def table_at(path: tuple[str | int, ...]) -> tuple[str, type[BaseModel]]:
    """The table that a key path leads to: what to call it, and its model."""
    match [step for step in path if isinstance(step, str)]:
        case []:
            return "the file", File
        case ["port", _, *rest]:
            return _TABLES[".".join(["port.NAME", *rest])]
        case rest:
            return _TABLES[".".join(rest)]


def tables_with(key: str) -> list[str]:
    """What to call the tables that know `key`."""
    return [name for name, model in _TABLES.values() if key in model.model_fields]


_TABLES: dict[str, tuple[str, type[BaseModel]]] = {
    "gateway": ("[gateway]", Gateway),
    "http": ("[http]", Http),
    "log": ("[log]", Log),
    "port.NAME": ("[port.NAME]", Port),
    "port.NAME.rs485": ("rs485", Rs485),
    "port.NAME.raw": ("[port.NAME.raw]", Raw),
    "port.NAME.rfc2217": ("[port.NAME.rfc2217]", Rfc2217),
}
