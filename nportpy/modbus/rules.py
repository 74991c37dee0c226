"""Who may ask what, and how urgent it is: the first rule that matches decides.

A rule that lets a request pass must mean all of it, and one that refuses it need only mean a part:

    request                          a rule lets it pass if           a rule refuses it if
    of known registers or bits       all of them lie in its span      one of them lies in its span
    of registers that nobody knows   it has no span                   it has any span, or none
    of none of the four tables       it has no span                   it has no span
    broadcast                        it names unit 0, or no units     it names any units, or none

So what may be written is not a way to what may not, and neither is a vendor's function or a broadcast. `read-only`
lets requests pass that are known to change nothing, and refuses all others. Registers that nobody knows are those of
functions that are not public, of 21, 24 and of diagnostics that change something, and of requests that go beyond
address 65535: devices disagree about where those end.
"""

from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple, TypeVar

from nportpy.line.turns import Priority
from nportpy.modbus.settings import Action, Matching, PriorityRule, Rule
from nportpy.network.addresses import Address
from nportpy.protocols.modbus.functions import Span, is_repeatable, read_span, write_span
from nportpy.protocols.modbus.pdu import FunctionCode

ADDRESSES: Final = 65536
"""Each table has so many (MODBUS Application Protocol V1.1b3, 4.4)."""

# Python 3.11 calls a function for each member that is looked up by its name: judging would take twice the time.
_READ_WRITE: Final = Action.READ_WRITE
_READ_ONLY: Final = Action.READ_ONLY

_AnyRule = TypeVar("_AnyRule", Rule, PriorityRule)


class Refusal(StrEnum):
    """How a rule refuses a request; the value is what it is counted as."""

    FORBIDDEN = "forbidden"  # exception 01
    IGNORED = "ignored"  # no answer


class Asked(NamedTuple):
    """What rules want to know of a request's PDU.

    Attributes:
        function: its function code.
        harmless: it is known to change nothing.
        spans: what it touches, none or more; None: nobody knows.
    """

    function: int
    harmless: bool
    spans: tuple[Span, ...] | None


# Pollers ask the same few questions for ever.
@lru_cache(maxsize=1024)
def look_at(pdu: bytes) -> Asked:
    """What rules want to know of a PDU that `check_request` has passed."""
    harmless = is_repeatable(pdu)
    spans = tuple(span for span in (read_span(pdu), write_span(pdu)) if span is not None)
    # A FIFO queue (6.18) is made of registers, but which they are only the device knows.
    hidden = not spans and (not harmless or pdu[0] == FunctionCode.READ_FIFO_QUEUE)
    if hidden or any(span.address + span.quantity > ADDRESSES for span in spans):
        return Asked(pdu[0], harmless, None)
    return Asked(pdu[0], harmless, spans)


def concerning(rules: Iterable[_AnyRule], address: Address | None, role: str | None = None) -> tuple[_AnyRule, ...]:
    """The rules that can match requests of a client.

    None is a client without address, or without certificate: rules for networks, or for roles, are not its. The role of
    a certificate that names none is "".

    They stay in their order. Those for other functions or units are among them.
    """
    return tuple(rule for rule in rules if _is_for(rule.matching, address, role))


def _is_for(matching: Matching, address: Address | None, role: str | None) -> bool:
    if matching.roles and role not in matching.roles:
        return False
    if not matching.clients:
        return True
    return address is not None and any(address in network for network in matching.clients)


def judge(rules: Iterable[Rule], asked: Asked, units: frozenset[int], broadcast: bool = False) -> Refusal | None:
    """Say whether a request may pass.

    Args:
        rules: those that concern its client.
        asked: what it is.
        units: the ids that its unit goes by: as the client wrote it, and what that is taken for.
        broadcast: it is for all units of the lines.

    Returns:
        None: it may.
    """
    rule = refusing(rules, asked, units, broadcast)
    if rule is None:
        return None
    return Refusal.IGNORED if rule.action is Action.IGNORE else Refusal.FORBIDDEN


def refusing(rules: Iterable[Rule], asked: Asked, units: frozenset[int], broadcast: bool = False) -> Rule | None:
    """The rule by which a request may not pass; None: it may. The arguments are those of `judge`."""
    for rule in rules:
        matching, action = rule.matching, rule.action
        if matching.functions and asked.function not in matching.functions:
            continue
        passes = action is _READ_WRITE or (action is _READ_ONLY and asked.harmless)
        everybody = broadcast and not passes
        if matching.units and not everybody and matching.units.isdisjoint(units):
            continue
        if matching.span is not None and not (_within if passes else _may_touch)(asked.spans, matching.span):
            continue
        return None if passes else rule
    return None


def urgency(rules: Iterable[PriorityRule], asked: Asked, units: frozenset[int]) -> Priority | None:
    """The priority that the first matching rule gives a request; None if there is no such rule.

    A rule with a span matches what is known to touch it. The arguments are those of `judge`.
    """
    for rule in rules:
        matching = rule.matching
        if matching.functions and asked.function not in matching.functions:
            continue
        if matching.units and matching.units.isdisjoint(units):
            continue
        if matching.span is None or (asked.spans is not None and _may_touch(asked.spans, matching.span)):
            return rule.priority
    return None


def _may_touch(spans: tuple[Span, ...] | None, limits: Span) -> bool:
    """Whether a part of one of the spans is inside `limits`, as far as anybody knows."""
    if spans is None:
        return True
    table, address, quantity = limits
    for span in spans:
        if span.table == table and span.address < address + quantity and address < span.address + span.quantity:
            return True
    return False


def _within(spans: tuple[Span, ...] | None, limits: Span) -> bool:
    """Whether there are spans, and all of them are known to be inside `limits`."""
    if not spans:
        return False
    table, address, quantity = limits
    for span in spans:
        if span.table != table or span.address < address or span.address + span.quantity > address + quantity:
            return False
    return True
