"""Where a unit id leads, and who may ask what.

A question goes through, in this order, and ends where it first fails:

    the PDU        a function code that is none: exception 01; lengths or quantities that cannot be: 03
    unit 0, 255    taken for other units if the settings say so
    the routes     no route has the unit: 0A or silence, as the settings say; its bus is not there: 0A
    the rules      exception 01, or silence (rules.py)

What is left goes to the bus, with the priority that its rules give it. Unit 0, if it is taken for no other, is a
broadcast: what may be one goes to every bus of the routes, anything else is asked of a unit that no route has.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Final, Protocol

from nportpy.errors import ProtocolError
from nportpy.line.turns import Priority
from nportpy.modbus.clients import Asker, Use
from nportpy.modbus.question import Question
from nportpy.modbus.rules import Asked, Refusal, concerning, judge, look_at, refusing, urgency
from nportpy.modbus.settings import PriorityRule, RoutingSettings, Rule, ServerSettings, Unrouted
from nportpy.network.addresses import Address
from nportpy.protocols.modbus.functions import check_request, may_broadcast
from nportpy.protocols.modbus.pdu import EXCEPTION_BIT, ExceptionCode
from nportpy.throttle import Throttle

BROADCAST: Final = 0
"""The unit id that means all units (MODBUS over Serial Line V1.02, 2.2)."""

DEVICE_ITSELF: Final = 255
"""The unit id for whoever answers the TCP connection (MODBUS Messaging on TCP/IP V1.0b, 4.4.2.1)."""

_REMEMBERED: Final = 256  # what rules have decided, for each client: pollers ask the same few questions for ever

log = logging.getLogger(__name__)


class Target(Protocol):
    """Whom a router hands questions to: a bus (bus.py)."""

    def enter(self, client: Hashable, asker: Asker) -> Use:
        """A client will ask here; what it has had of the bus is counted there."""

    def ask(self, question: Question) -> None:
        """See to it that the question is answered; its unit is the one on the line."""

    def leave(self, client: Hashable) -> None:
        """A client has gone: what it has asked and was not sent yet never will be."""

    def refused(self, question: Question, why: str) -> None:
        """A rule refuses a question that would have come here."""


Find = Callable[[str | ServerSettings], Target | None]
"""The bus of a port's name, or of a server elsewhere; None if there is none (yet)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a router knows: its settings, and which buses are there. Exchanged as a whole.

    Attributes:
        settings: what it was made from.
        ways: for each of the 256 unit ids the bus and the unit id there; None: no way, or a broadcast.
        absent: unit ids that have a route, but whose bus is not there.
        names: for unit ids that are taken for others, all that the unit goes by.
        targets: all buses, each once.
    """

    settings: RoutingSettings
    ways: tuple[tuple[Target, int] | None, ...]
    absent: frozenset[int]
    names: dict[int, frozenset[int]]
    targets: tuple[Target, ...]

    @classmethod
    def make(cls, settings: RoutingSettings, find: Find) -> "Plan":
        """Look every bus of the routes up."""
        ways: list[tuple[Target, int] | None] = [None] * 256
        absent: set[int] = set()
        names: dict[int, frozenset[int]] = {}
        targets: dict[Target, None] = {}
        for route in settings.routes:
            target = find(route.to)
            if target is not None:
                targets[target] = None
            for unit in route.units:
                there = route.unit_there(unit)
                if there is None:
                    continue
                if target is None:
                    absent.add(unit)
                else:
                    ways[unit] = target, there
        # 255 first: 0 may be taken for it.
        for unit, other in ((DEVICE_ITSELF, settings.unit255), (BROADCAST, settings.unit0)):
            if other is not None:
                ways[unit] = ways[other]
                absent = absent | {unit} if other in absent else absent - {unit}
                names[unit] = names.get(other, frozenset((other,))) | {unit}
        if settings.unit0 is None:
            ways[BROADCAST] = None
            absent.discard(BROADCAST)
        return cls(settings, tuple(ways), frozenset(absent), names, tuple(targets))

    def is_broadcast(self, unit: int) -> bool:
        """Whether a client's unit id means all units."""
        return unit == BROADCAST and self.settings.unit0 is None


# Pollers ask the same few questions for ever.
@lru_cache(maxsize=1024)
def fault(pdu: bytes) -> int:
    """The exception code that a PDU deserves whoever it is for; 0: there is nothing wrong with it."""
    if not 1 <= pdu[0] < EXCEPTION_BIT:
        return ExceptionCode.ILLEGAL_FUNCTION
    try:
        check_request(pdu)
    except ProtocolError:
        return ExceptionCode.ILLEGAL_DATA_VALUE
    return 0


class Router:
    """Hands requests to buses by their unit id. One for each service.

    Attributes:
        name: what it is called in logs.
        service: what it is called where clients are told apart.
        refused: requests that came to no bus, by reason: forbidden, ignored, no_route, malformed.
        refused_by: those that a rule refused, by its number and the client's role: see `ServiceStatus`.
        plan: what visitors go by; another one after each `refresh` and `configure`.
    """

    def __init__(
        self,
        name: str,
        settings: RoutingSettings,
        find: Find,
        clock: Callable[[], float] = time.monotonic,
        service: str = "",
    ) -> None:
        """Nothing is looked up before `refresh`: until then no bus is there. `clock` is for the log only."""
        self.name = name
        self.service = service or name
        self.refused: Counter[str] = Counter()
        self.refused_by: Counter[tuple[int, str]] = Counter()
        self.plan = Plan.make(settings, lambda _: None)
        self._find = find
        self._clock = clock
        self._throttle = Throttle()

    def refresh(self) -> None:
        """Look the buses up anew: lines have come or gone."""
        self.configure(self.plan.settings)

    def configure(self, settings: RoutingSettings) -> None:
        """Go by other settings from now on, and look the buses up; visitors stay. What is under way goes on."""
        if settings.rules != self.plan.settings.rules:  # their numbers are others
            self.refused_by.clear()
        self.plan = Plan.make(settings, self._find)

    def visitor(self, client: Hashable, address: Address | None, name: str = "") -> "Visitor":
        """A client's way in.

        Args:
            client: who it is, to take turns with others.
            address: where it is; None: here, as a master on a line is.
            name: what people know it by; empty for its address, or for the service's name.
        """
        host = self.service if address is None else str(address)
        return Visitor(self, client, address, Asker(name or host, host, self.service))

    def count_refused(self, rule: Rule, role: str | None) -> None:
        """Count a request that this rule has refused. Roles that no rule names are one: a stranger chose them."""
        settings = self.plan.settings
        matchings = [each.matching for each in settings.rules] + [each.matching for each in settings.priorities]
        named = {name for matching in matchings for name in matching.roles}
        shown = "" if role is None else "NULL" if not role else role if role in named else "other"
        self.refused_by[settings.rules.index(rule) + 1, shown] += 1

    def say_refused(
        self, address: Address | None, unit: int, function: int, refusal: Refusal, role: str | None = None
    ) -> None:
        """One log line per client, unit and function, and minute."""
        more = self._throttle.allow((address, unit, function), self._clock())
        if more is not None:
            client = "master" if address is None else str(address)
            extra = {"service": self.name, "client": client, "unit": unit, "function": function, "result": str(refusal)}
            if role is not None:
                extra["role"] = role or "NULL"
            log.warning("request refused by a rule", extra=extra | ({"more": more} if more else {}))


class Visitor:
    """One client of a router."""

    __slots__ = ("_address", "_asked", "_asker", "_client", "_decide", "_plan", "_role", "_router", "_rules", "_ways")

    def __init__(self, router: Router, client: Hashable, address: Address | None, asker: Asker) -> None:
        """`Router.visitor` makes them."""
        self._router = router
        self._client = client
        self._address = address
        self._role: str | None = None
        self._asker = asker
        self._asked: dict[Target, Use] = {}
        self._follow(router.plan)

    def has_role(self, role: str) -> None:
        """The client's certificate gives it this role; "" is the NULL role."""
        self._role = role
        self._follow(self._router.plan)

    def _follow(self, plan: Plan) -> None:
        self._plan = plan
        self._ways = plan.ways
        rules = self._rules = concerning(plan.settings.rules, self._address, self._role)
        priorities = concerning(plan.settings.priorities, self._address, self._role)
        self._decide: Callable[[int, bytes], Refusal | Priority | None] | None = None
        if rules or priorities:
            self._decide = lru_cache(_REMEMBERED)(partial(_decide, plan, rules, priorities))

    def ask(self, question: Question) -> None:
        """Have a question answered: by the unit, or by the gateway itself with an exception, or by nobody.

        The answer is empty where nobody is to be answered: that is so after a broadcast, too. From here on the
        question's unit is the one on the line.
        """
        router = self._router
        if self._plan is not router.plan:
            self._follow(router.plan)
        if code := fault(question.pdu):
            self.refused("malformed")
            _refuse(question, code)
            return
        way = self._ways[question.unit]
        if way is None:
            self._ask_many_or_none(question)
            return
        if self._decide is not None and not self._admits(question, self._decide):
            return
        target, question.unit = way
        use = self._asked.get(target) or self._enter(target)
        use.requests += 1
        use.last = question
        question.use = use
        target.ask(question)

    def refused(self, reason: str, count: int = 1) -> None:
        """Count requests of this client that come to no bus."""
        self._router.refused[reason] += count
        self._asker.refused += count
        if not self._asked:  # its buses are to know of it all the same
            for target in self._plan.targets:
                self._enter(target)

    def _enter(self, target: Target) -> Use:
        use = self._asked[target] = target.enter(self._client, self._asker)
        return use

    def routed(self, unit: int) -> bool:
        """Whether a bus that is there has the unit; for a broadcast, whether there is any."""
        plan = self._router.plan
        return plan.ways[unit] is not None or (plan.is_broadcast(unit) and bool(plan.targets))

    def leave(self) -> None:
        """The client asks no more and hears no more; questions under way may still call `done`."""
        asked, self._asked = self._asked, {}
        for target in asked:
            target.leave(self._client)

    def _ask_many_or_none(self, question: Question) -> None:
        """A broadcast, or a unit that no bus has."""
        plan = self._plan
        if plan.is_broadcast(question.unit) and plan.targets and may_broadcast(question.pdu):
            if self._decide is None or self._admits(question, self._decide):
                uses = {target: self._asked.get(target) or self._enter(target) for target in plan.targets}
                _broadcast(question, uses)
            return
        silent = plan.settings.unrouted is Unrouted.SILENCE and question.unit not in plan.absent
        self.refused("no_route")
        _refuse(question, 0 if silent else ExceptionCode.GATEWAY_PATH_UNAVAILABLE)

    def _admits(self, question: Question, decide: Callable[[int, bytes], Refusal | Priority | None]) -> bool:
        """Whether the rules let a question pass; it has its priority then, and is answered otherwise."""
        decision = decide(question.unit, question.pdu)
        if isinstance(decision, Refusal):
            if (way := self._ways[question.unit]) is not None:
                way[0].refused(question, decision)
            if rule := refusing(self._rules, *_judged(self._plan, question.unit, question.pdu)):
                self._router.count_refused(rule, self._role)
            self._router.say_refused(self._address, question.unit, question.pdu[0], decision, self._role)
            code = ExceptionCode.ILLEGAL_FUNCTION if decision is Refusal.FORBIDDEN else 0
            self.refused(decision)
            _refuse(question, code)
            return False
        if decision is not None:
            question.priority = decision
        return True


def _refuse(question: Question, code: int) -> None:
    """Answer a question with an exception; code 0: with nothing."""
    question.done(question, bytes((question.pdu[0] | EXCEPTION_BIT, code)) if code else b"")


def _decide(
    plan: Plan, rules: tuple[Rule, ...], priorities: tuple[PriorityRule, ...], unit: int, pdu: bytes
) -> Refusal | Priority | None:
    """What becomes of a request: it is refused, or gets a priority, or keeps the one that it has."""
    asked, units, broadcast = _judged(plan, unit, pdu)
    return judge(rules, asked, units, broadcast) or urgency(priorities, asked, units)


def _judged(plan: Plan, unit: int, pdu: bytes) -> tuple[Asked, frozenset[int], bool]:
    """A request as rules see it: what it asks, the ids of its unit, and whether it is for all."""
    return look_at(pdu), plan.names.get(unit) or frozenset((unit,)), plan.is_broadcast(unit)


def _broadcast(question: Question, uses: Mapping[Target, Use]) -> None:
    """Ask every target, and answer with nothing when the last has ended, however they did."""
    left = len(uses)

    def ended(_part: Question, _answer: bytes) -> None:
        nonlocal left
        left -= 1
        if not left:
            question.done(question, b"")

    for target, use in uses.items():
        part = Question(question.client, BROADCAST, question.pdu, ended, question.priority)
        part.use = use
        use.requests += 1
        use.last = part
        target.ask(part)
