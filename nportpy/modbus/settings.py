"""Frozen settings of the Modbus translator. Times are seconds."""

from dataclasses import dataclass, field
from enum import StrEnum

from nportpy.line.turns import Priority
from nportpy.network.addresses import Endpoint, Network
from nportpy.protocols.modbus.exchange import Echo
from nportpy.protocols.modbus.functions import Span

UNITS = range(1, 248)
"""Unit ids of single units on a line (MODBUS over Serial Line V1.02, 2.2)."""

UNITS_OF_SERVERS = range(1, 256)
"""Unit ids at a Modbus TCP server: 255 is the server itself, and some have more of the reserved ones."""


class Framing(StrEnum):
    """How a line's frames look."""

    RTU = "rtu"
    ASCII = "ascii"


@dataclass(frozen=True, slots=True)
class Timeout:
    """How long a unit gets for its answer, from the end of the request on; the answer's wire time is added.

    Attributes:
        fixed: seconds; None for what the unit's own answers have taught (after RFC 6298), between the other two.
        least: the least that is learned.
        most: the most that is learned, and what a unit gets of which nothing is known.
    """

    fixed: float | None = 1.0
    least: float = 0.05
    most: float = 3.0


@dataclass(frozen=True, slots=True)
class UnitSettings:
    """What is different for some units of a bus; None: as for all.

    Attributes:
        units: their ids on the line.
        timeout: how long they get for an answer.
        silence: of quiet before each frame for them, if that is more than the line's.
        retries: how often a read is sent again.
        isolate: whether what is not answered is left alone for a while.
    """

    units: frozenset[int]
    timeout: Timeout | None = None
    silence: float | None = None
    retries: int | None = None
    isolate: bool | None = None


@dataclass(frozen=True, slots=True)
class BusSettings:
    """How the units of one line are asked.

    Attributes:
        framing: how frames look.
        timeout: how long a unit gets for its answer.
        retries: how often a read that is not answered is sent again; what may change something never is.
        isolate: whether what is not answered is left alone for a while, and told so at once (health.py).
        deadline: how long a request may wait for its turn; then it is answered with exception 0B and not sent.
        queue: requests of one client that may wait; beyond it: exception 06.
        silence: of quiet before each frame; None for t3.5.
        turnaround: what units get to obey a broadcast.
        echo: whether the line hears what it sends.
        writes_first: requests that write go ahead of the others of their priority.
        share: one transaction answers all who ask the same, or a part of it, while it waits or is under way.
        merge: reads that wait may become one if no more than so many registers, or bits, lie between them; None: off.
        cache: how long an answer to a read serves those who ask again; 0: off.
        character_timeout: how long an ASCII frame may pause.
        patience: how long noise, or raw clients, may hold up a request; they then wait for as long, 1 s at most.
        idle_gap: of silence that ends such a conversation.
        units: what is different for some units.
    """

    framing: Framing = Framing.RTU
    timeout: Timeout = field(default_factory=Timeout)
    retries: int = 1
    isolate: bool = True
    deadline: float = 5.0
    queue: int = 32
    silence: float | None = None
    turnaround: float = 0.1
    echo: Echo = Echo.AUTO
    writes_first: bool = False
    share: bool = True
    merge: int | None = None
    cache: float = 0.0
    character_timeout: float = 1.0
    patience: float = 1.0
    idle_gap: float = 0.05
    units: tuple[UnitSettings, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """A Modbus TCP server elsewhere whose units are asked as if they were on a line.

    Attributes:
        endpoint: where it is.
        bus: how its units are asked; what concerns a wire does not count.
        rest: seconds between connecting and the first request: some devices need it.
        tls: the name of the table by which it is believed; empty: it is spoken plainly.
    """

    endpoint: Endpoint
    bus: BusSettings = field(default_factory=BusSettings)
    rest: float = 0.0
    tls: str = ""

    @property
    def name(self) -> str:
        """What it is called in metrics, logs and status: `tcp://192.0.2.10:502`."""
        return f"{'tls' if self.tls else 'tcp'}://{self.endpoint}"


@dataclass(frozen=True, slots=True)
class Route:
    """Where units are.

    Attributes:
        units: unit ids as clients write them.
        to: the port's name, or a server.
        offset: added to the unit id.
        unit: the unit id there, whatever the client's is; None: the client's plus `offset`.
    """

    units: frozenset[int]
    to: str | ServerSettings
    offset: int = 0
    unit: int | None = None

    def unit_there(self, unit: int) -> int | None:
        """What a unit id of the client's is there; None if there can be none."""
        there = unit + self.offset if self.unit is None else self.unit
        return there if there in (UNITS if isinstance(self.to, str) else UNITS_OF_SERVERS) else None


class Unrouted(StrEnum):
    """What those hear who ask a unit that is nowhere."""

    EXCEPTION = "exception"  # 0A, gateway path unavailable
    SILENCE = "silence"


class Action(StrEnum):
    """What a rule does with a request."""

    READ_WRITE = "read-write"  # let it pass
    READ_ONLY = "read-only"  # let it pass if it is known to change nothing; else exception 01
    DENY = "deny"  # exception 01, illegal function
    IGNORE = "ignore"  # no answer


@dataclass(frozen=True, slots=True)
class Matching:
    """Requests that a rule is about: those for which all that is set holds.

    Attributes:
        clients: who asks; empty: anyone.
        units: unit ids as clients write them; empty: any.
        functions: function codes; empty: any.
        span: registers or bits that the request is about (rules.py says what that means); None: any.
        roles: that the client's certificate gives it, of which "" is the NULL role; empty: any, and none.
    """

    clients: tuple[Network, ...] = ()
    units: frozenset[int] = frozenset()
    functions: frozenset[int] = frozenset()
    span: Span | None = None
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of some requests. The first rule that matches decides; without one a request passes."""

    matching: Matching
    action: Action


@dataclass(frozen=True, slots=True)
class PriorityRule:
    """How urgent some requests are. The first rule that matches decides; without one it is NORMAL."""

    matching: Matching
    priority: Priority


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    """Which unit is where, and who may ask what.

    Attributes:
        routes: where units are; no unit is in two of them.
        unit0: the unit id that a client's 0 is taken for; None: a broadcast to every line of the routes.
        unit255: the unit id that a client's 255 is taken for; None: unrouted, unless a route has it.
        unrouted: what those hear who ask a unit that no route has.
        rules: who may ask what.
        priorities: how urgent it is.
    """

    routes: tuple[Route, ...]
    unit0: int | None = None
    unit255: int | None = None
    unrouted: Unrouted = Unrouted.EXCEPTION
    rules: tuple[Rule, ...] = ()
    priorities: tuple[PriorityRule, ...] = ()

    @classmethod
    def whole(cls, port: str, **more: object) -> "RoutingSettings":
        """All units are on one line."""
        return cls((Route(frozenset(UNITS), port),), **more)  # type: ignore[arg-type]  # the other attributes
