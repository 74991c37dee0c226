"""What the tables of a configuration file are made of: single values, lists, and the keys of every service.

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
from nportpy.linesettings import Flow, LineSettings
from nportpy.network.addresses import Endpoint, Network
from nportpy.network.service import ServiceSettings, WhenBusy, WhenDown, WhenFull, WhenJammed

JsonSchema = dict[str, Any]

TEXT: JsonSchema = {"type": "string"}
DURATION = r"^[0-9]+(\.[0-9]+)?(ms|s|min|h|d)$"

OWN_LINE = ("baudrate", "format", "flow")
"""Keys of a port that a service may have for itself."""

_SERVICE = ServiceSettings(listen=())


@dataclass(frozen=True, slots=True)
class Leaf:
    """A single value: how it is read, and its JSON schema."""

    parse: Callable[[object], Any]
    shape: JsonSchema

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        return dict(self.shape)


@dataclass(frozen=True, slots=True)
class Many:
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

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
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


def words(choices: type[StrEnum]) -> Leaf:
    """One of the words of an enumeration."""
    return Leaf(lambda value: choices(values.word(value, choices)), {"enum": [str(choice) for choice in choices]})


def integer(low: int, high: int) -> Leaf:
    """A whole number."""
    shape = {"type": "integer", "minimum": low, "maximum": high}
    return Leaf(lambda value: values.integer(value, low, high), shape)


def duration(low: str, high: str, *, off: bool = False) -> Leaf:
    """Seconds; "off" is 0."""
    pattern = DURATION + ("|^off$" if off else "")
    return Leaf(lambda value: values.duration(value, low, high, off=off), {"type": "string", "pattern": pattern})


def size(low: str, high: str) -> Leaf:
    """Bytes."""
    return Leaf(lambda value: values.size(value, low, high), {"type": "string", "pattern": "^[0-9.]+[kKM]?i?B$"})


LINE_FORMAT = Leaf(values.line_format, {"type": "string", "pattern": r"^[5-8][NEOMSneoms](1|1\.5|2)$"})
BOOLEAN = Leaf(values.boolean, {"type": "boolean"})

Allow = Annotated[
    list[Annotated[Network, Leaf(values.network, TEXT)]],
    Many("nobody could ever connect", example='["192.168.0.0/16"], or no such line for anyone'),
]
Listen = Annotated[
    list[Annotated[int | Endpoint, Leaf(values.listener, {"type": ["integer", "string"]})]],
    Many("the service would listen nowhere", single=True, example='4001 or "192.168.0.7:4001"'),
]


UsesTls = Annotated[str, Leaf(values.tls_name, TEXT)]
"""`tls`: the table whose certificates a service shows, or whom one that is called must be believed by."""


def endpoints(where: list[int | Endpoint], host: str) -> tuple[Endpoint, ...]:
    """Where to listen; a port alone is at `host`."""
    return tuple(place if isinstance(place, Endpoint) else Endpoint(host, place) for place in where)


class Table(BaseModel):
    """A table whose keys are all known."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


class ServiceKeys(Table):
    """What services have in common beside where they listen."""

    allow: Allow = Field(default_factory=list)
    max_clients: Annotated[int, integer(1, 1000)] = _SERVICE.max_clients
    when_full: Annotated[WhenFull, words(WhenFull)] = _SERVICE.when_full
    idle_after: Annotated[float, duration("1s", "1d")] = _SERVICE.idle_after
    takeover: Annotated[bool, BOOLEAN] = _SERVICE.takeover
    # Linux keeps TCP_KEEPIDLE up to 32767 seconds, nine hours and a bit.
    alive_check: Annotated[float, duration("1s", "9h", off=True)] = _SERVICE.alive_check
    inactivity: Annotated[float, duration("10ms", "7d", off=True)] = _SERVICE.inactivity
    allowance: Annotated[int, size("4KiB", "64MiB")] = _SERVICE.allowance


class Service(ServiceKeys):
    """What services have in common that listen in one place."""

    listen: Listen
    half_close: Annotated[float, duration("10ms", "1h")] = _SERVICE.half_close
    tls: UsesTls = _SERVICE.tls


class OwnLine(Table):
    """What the services have in common that may want the line at settings of their own."""

    baudrate: Annotated[int | None, integer(1, (1 << 31) - 1)] = None
    format: Annotated[str | None, LINE_FORMAT] = None
    flow: Annotated[Flow | None, words(Flow)] = None
    when_busy: Annotated[WhenBusy, words(WhenBusy)] = _SERVICE.when_busy

    def others(self, port: LineSettings) -> dict[str, Any]:
        """The keys that are the same in settings, and `line`; what it does not say of that is as the `port` has it."""
        same = {key: value for key, value in vars(self).items() if key not in OWN_LINE}
        if all(getattr(self, key) is None for key in OWN_LINE):
            return same
        flow = port.flow if self.flow is None else self.flow
        return same | {"line": LineSettings.parse(self.baudrate or port.baudrate, self.format or port.format, flow)}


class LineService(Service):
    """What the services have in common whose clients have the line itself."""

    when_down: Annotated[WhenDown, words(WhenDown)] = _SERVICE.when_down
    when_jammed: Annotated[WhenJammed, words(WhenJammed)] = _SERVICE.when_jammed
