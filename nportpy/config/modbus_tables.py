"""The Modbus tables of a configuration file: [port.NAME.modbus], [port.NAME.modbus_master], [modbus.NAME].

What the keys of a table have to do with each other is in modbus_clashes.py.
"""

from collections.abc import Callable, Iterable
from typing import Annotated, Any

from pydantic import BaseModel, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from nportpy.config import modbus_values, values
from nportpy.config.modbus_values import AUTO
from nportpy.config.tables import (
    BOOLEAN,
    DURATION,
    TEXT,
    JsonSchema,
    Leaf,
    Listen,
    Many,
    Service,
    Table,
    UsesTls,
    duration,
    integer,
    words,
)
from nportpy.config.values import ValueFault
from nportpy.line.turns import Priority
from nportpy.modbus.settings import (
    UNITS,
    Action,
    BusSettings,
    Framing,
    Matching,
    PriorityRule,
    Route,
    RoutingSettings,
    Rule,
    ServerSettings,
    Timeout,
    UnitSettings,
    Unrouted,
)
from nportpy.modes.modbus_base import Access, MasterSettings, ModbusSettings
from nportpy.network.addresses import Endpoint, Network
from nportpy.protocols.modbus.exchange import Echo
from nportpy.protocols.modbus.functions import Span
from nportpy.protocols.modbus.mbap import SECURITY_PORT

LAST_UNIT = UNITS[-1]
"""The last unit id on a line: those above are reserved (MODBUS over Serial Line V1.02, 2.2)."""
LAST_WRITTEN = 255
"""The last unit id that clients can write; routes may name all, since some gateways have units from 248 on."""

_BUS = BusSettings()
_ROUTING = RoutingSettings(())
_MODBUS = ModbusSettings(listen=(), routing=_ROUTING)
_MASTER = MasterSettings(routing=_ROUTING)
_ROUTE = Route(frozenset(), "")
_SERVER = ServerSettings(Endpoint("", 0))


def _units(low: int, high: int) -> Leaf:
    return Leaf(
        lambda value: modbus_values.units(value, low, high), {"type": "string", "pattern": r"^[0-9]+( *[-,] *[0-9]+)*$"}
    )


def _timeout(low: str, high: str) -> Leaf:
    shape = {"type": "string", "pattern": f"{DURATION}|^{AUTO}$"}
    return Leaf(lambda value: modbus_values.timeout(value, low, high), shape)


def _unit_or(word: str) -> Leaf:
    shape = {"anyOf": [{"const": word}, {"type": "integer", "minimum": 1, "maximum": LAST_UNIT}]}
    return Leaf(lambda value: modbus_values.unit_or(value, word), shape)


_TIMEOUT = _timeout("1ms", "10min")
_LEARNED = duration("1ms", "10min")
_SILENCE = duration("0ms", "10s")
_RETRIES = integer(0, 10)
_DEADLINE = duration("10ms", "1h")
_PRIORITY = Leaf(modbus_values.priority, {"enum": [known.name.lower() for known in Priority]})
_CLIENTS = Annotated[
    list[Annotated[Network, Leaf(values.network, TEXT)]],
    Many("no client would match", example='["192.168.7.0/24"], or no such line for anyone'),
]
_FUNCTIONS = Annotated[
    list[Annotated[int, integer(1, 127)]],
    Many("no function would match", example="[3, 4], or no such line for any"),
]


_ROLES = Annotated[
    list[Annotated[str, Leaf(modbus_values.role, TEXT)]],
    Many("no role would match", single=True, example='["Operator"], or no such line for any'),
]


class _GapOrFalse:
    """`merge`: false, or a table; gives the gap, or None."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self._read, handler.generate_schema(Merge))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        return {"anyOf": [{"const": False}, handler(schema)]}

    def _read(self, value: object, read_table: Callable[[object], "Merge"]) -> int | None:
        if isinstance(value, dict):
            return read_table(value).gap
        if value is False:
            return None
        raise ValueFault(f"must be false or a table, not {values.kind(value)}", "{ gap = 16 } or false")


class Merge(Table):
    """`merge` as a table."""

    gap: Annotated[int, integer(0, 2000)]


class Match(Table):
    """The requests that something is about; a key that is missing is about all of them."""

    clients: _CLIENTS = Field(default_factory=list)
    units: Annotated[frozenset[int], _units(0, LAST_WRITTEN)] = frozenset()
    functions: _FUNCTIONS = Field(default_factory=list)
    registers: Annotated[Span | None, Leaf(modbus_values.registers, TEXT)] = None
    roles: _ROLES = Field(default_factory=list)

    def matching(self) -> Matching:
        """The same in settings."""
        return Matching(
            tuple(self.clients), self.units, frozenset(self.functions), self.registers, frozenset(self.roles)
        )


class RuleTable(Match):
    """An item of `rules`."""

    action: Annotated[Action, words(Action)]


class PriorityTable(Match):
    """An item of `priorities`."""

    priority: Annotated[Priority, _PRIORITY]


class RouteTable(Table):
    """An item of `routes`."""

    # 0 is for all units, and no route's.
    units: Annotated[frozenset[int], _units(1, LAST_WRITTEN)]
    port: Annotated[str | None, Leaf(modbus_values.port, TEXT)] = None
    to: Annotated[Endpoint | None, Leaf(modbus_values.server, {"type": "string", "pattern": "^(tcp|tls)://"})] = None
    offset: Annotated[int, integer(-LAST_WRITTEN, LAST_WRITTEN)] = _ROUTE.offset
    unit: Annotated[int | None, integer(1, LAST_WRITTEN)] = _ROUTE.unit
    tls: UsesTls = _SERVER.tls


class Different(Table):
    """An item of `units` of servers: what is different for some."""

    units: Annotated[frozenset[int], _units(1, LAST_UNIT)]
    timeout: Annotated[float | str | None, _TIMEOUT] = None
    retries: Annotated[int | None, _RETRIES] = None
    isolate: Annotated[bool | None, BOOLEAN] = None


class DifferentOnLine(Different):
    """An item of `units` of a line."""

    silence: Annotated[float | None, _SILENCE] = None


_A_UNIT = 'an array such as [{ units = "7-9", timeout = "3s" }]'


class Asked(Table):
    """How units are asked, wherever they are."""

    timeout: Annotated[float | str, _TIMEOUT] = AUTO if _BUS.timeout.fixed is None else _BUS.timeout.fixed
    timeout_min: Annotated[float, _LEARNED] = _BUS.timeout.least
    timeout_max: Annotated[float, _LEARNED] = _BUS.timeout.most
    retries: Annotated[int, _RETRIES] = _BUS.retries
    isolate: Annotated[bool, BOOLEAN] = _BUS.isolate
    deadline: Annotated[float, _DEADLINE] = _BUS.deadline
    queue: Annotated[int, integer(1, 1000)] = _BUS.queue
    share: Annotated[bool, BOOLEAN] = _BUS.share
    merge: Annotated[int | None, _GapOrFalse()] = _BUS.merge
    cache: Annotated[float, duration("1ms", "1h", off=True)] = _BUS.cache

    def asked(self, units: list[Any]) -> dict[str, Any]:
        """The fields of BusSettings that are set here."""
        alike = ("retries", "isolate", "deadline", "queue", "share", "merge", "cache")
        same = {key: getattr(self, key) for key in alike}
        return same | {
            "timeout": self._timeout(self.timeout),
            "units": tuple(
                UnitSettings(
                    different.units,
                    None if different.timeout is None else self._timeout(different.timeout),
                    getattr(different, "silence", None),
                    different.retries,
                    different.isolate,
                )
                for different in units
            ),
        }

    def _timeout(self, fixed: float | str) -> Timeout:
        return Timeout(None if isinstance(fixed, str) else fixed, self.timeout_min, self.timeout_max)


class OnLine(Asked):
    """How the units of a line are asked."""

    framing: Annotated[Framing, words(Framing)] = _BUS.framing
    silence: Annotated[float | None, _SILENCE] = _BUS.silence
    turnaround: Annotated[float, duration("0ms", "10s")] = _BUS.turnaround
    echo: Annotated[Echo, words(Echo)] = _BUS.echo
    writes_first: Annotated[bool, BOOLEAN] = _BUS.writes_first
    character_timeout: Annotated[float, duration("10ms", "1min")] = _BUS.character_timeout
    patience: Annotated[float, duration("0ms", "1min")] = _BUS.patience
    idle_gap: Annotated[float, duration("0ms", "1min")] = _BUS.idle_gap
    units: Annotated[list[DifferentOnLine], Many("no unit is different without such a line", example=_A_UNIT)] = Field(
        default_factory=list
    )

    def bus(self) -> BusSettings:
        """The same in settings."""
        own = ("framing", "silence", "turnaround", "echo", "writes_first", "character_timeout", "patience", "idle_gap")
        return BusSettings(**self.asked(self.units), **{key: getattr(self, key) for key in own})


class AtServers(Asked):
    """How the units of servers elsewhere are asked."""

    units: Annotated[list[Different], Many("no unit is different without such a line", example=_A_UNIT)] = Field(
        default_factory=list
    )
    rest: Annotated[float, duration("0s", "1min")] = _SERVER.rest


class AtServersOfMaster(AtServers):
    """The same for a master, which waits no longer than its own deadline."""

    deadline: Annotated[float, _DEADLINE] = _MASTER.deadline


class Routing(Table):
    """A table with routes."""

    routes: Annotated[
        list[RouteTable], Many("no unit would be anywhere", example='[{ units = "1-31", port = "meters" }]')
    ]

    def routed(self, servers: AtServers) -> tuple[Route, ...]:
        """The routes in settings."""
        bus = BusSettings(**servers.asked(servers.units))
        return tuple(
            Route(
                route.units,
                ServerSettings(route.to, bus, servers.rest, route.tls) if route.to else str(route.port),
                route.offset,
                route.unit,
            )
            for route in self.routes
        )


class ModbusService(Service):
    """What the services that take Modbus requests have in common."""

    max_clients: Annotated[int, integer(1, 1000)] = _MODBUS.max_clients
    protocol: Annotated[Access, words(Access)] = _MODBUS.protocol
    outstanding: Annotated[int, integer(1, 1000)] = _MODBUS.outstanding
    security: Annotated[bool | None, BOOLEAN] = None
    unit0: Annotated[int | None, _unit_or("broadcast")] = _ROUTING.unit0
    unit255: Annotated[int | None, _unit_or("unrouted")] = _ROUTING.unit255
    unrouted: Annotated[Unrouted, words(Unrouted)] = _ROUTING.unrouted
    rules: Annotated[
        list[RuleTable], Many("everything passes without such a line", example='[{ action = "read-only" }]')
    ] = Field(default_factory=list)
    priorities: Annotated[
        list[PriorityTable],
        Many("all is of normal priority without such a line", example='[{ priority = "high", functions = [5, 6] }]'),
    ] = Field(default_factory=list)

    def is_secure(self, listen: Iterable[Endpoint]) -> bool:
        """Whether it is MODBUS/TCP Security: by default, where that has its port."""
        if self.security is not None:
            return self.security
        return any(endpoint.port == SECURITY_PORT for endpoint in listen)

    def routing(self, routes: tuple[Route, ...]) -> RoutingSettings:
        """Where requests go, and who may ask what."""
        return RoutingSettings(
            routes,
            self.unit0,
            self.unit255,
            self.unrouted,
            tuple(Rule(rule.matching(), rule.action) for rule in self.rules),
            tuple(PriorityRule(rule.matching(), rule.priority) for rule in self.priorities),
        )


class LineModbus(OnLine, ModbusService):
    """[port.NAME.modbus]: the line as a bus, and who takes requests for it."""

    listen: Listen = Field(default_factory=list)


class Routed(AtServers, Routing, ModbusService):
    """[modbus.NAME]: a service that routes by unit."""


class Master(AtServersOfMaster, Routing):
    """[port.NAME.modbus_master]: a master on the line whose units are elsewhere."""

    framing: Annotated[Framing, words(Framing)] = _MASTER.framing
    echo: Annotated[Echo, words(Echo)] = _MASTER.echo
    exceptions: Annotated[bool, BOOLEAN] = _MASTER.exceptions

    def settings(self) -> MasterSettings:
        """The same in settings."""
        return MasterSettings(
            framing=self.framing,
            echo=self.echo,
            routing=RoutingSettings(self.routed(self)),
            exceptions=self.exceptions,
            deadline=self.deadline,
        )


TABLES: dict[str, tuple[str, type[BaseModel]]] = {
    "port.NAME.modbus": ("[port.NAME.modbus]", LineModbus),
    "port.NAME.modbus.rules": ("an item of rules", RuleTable),
    "port.NAME.modbus.priorities": ("an item of priorities", PriorityTable),
    "port.NAME.modbus.units": ("an item of a line's units", DifferentOnLine),
    "port.NAME.modbus.merge": ("merge", Merge),
    "port.NAME.modbus_master": ("[port.NAME.modbus_master]", Master),
    "port.NAME.modbus_master.routes": ("an item of routes", RouteTable),
    "port.NAME.modbus_master.units": ("an item of units", Different),
    "port.NAME.modbus_master.merge": ("merge", Merge),
    "modbus.NAME": ("[modbus.NAME]", Routed),
    "modbus.NAME.rules": ("an item of rules", RuleTable),
    "modbus.NAME.priorities": ("an item of priorities", PriorityTable),
    "modbus.NAME.routes": ("an item of routes", RouteTable),
    "modbus.NAME.units": ("an item of units", Different),
    "modbus.NAME.merge": ("merge", Merge),
}
"""What to call the tables at a path, and their models."""
