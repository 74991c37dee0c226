"""Modbus units asked from the console: through the bus that serves everybody, in turns with its other clients."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from nportpy.client.connection import Client, Overheard
from nportpy.client.readings import Reading, Wanted, take, wanted_values
from nportpy.client.scanning import Identity, identify
from nportpy.modbus.bus import Bus
from nportpy.modbus.question import Question
from nportpy.modbus.routing import fault
from nportpy.protocols.modbus.addresses import parse_range
from nportpy.protocols.modbus.pdu import EXCEPTION_BIT, ExceptionCode
from nportpy.protocols.modbus.values import Order, ValueType, encode, parse_value, show
from nportpy.protocols.modbus.writes import WRITABLE, Write, longest_write
from nportpy.protocols.modbus.writes import request as write_request

READS: Final = frozenset((1, 2, 3, 4, 7, 8, 11, 12, 17, 20, 24, 43))
"""Functions that change nothing in a unit, 8 with its sub-function 0 (MODBUS Application Protocol V1.1b3, 6)."""

_ABSENT: Final = (ExceptionCode.GATEWAY_PATH_UNAVAILABLE, ExceptionCode.GATEWAY_TARGET_FAILED_TO_RESPOND)
_ANYTHING: Final = bytes.fromhex("0300000001")


class Desk(Client):
    """One who asks a bus directly."""

    label = "console"  # as a tap calls it

    def __init__(self, bus: Bus) -> None:
        """Nothing is asked yet."""
        super().__init__("", 0.0)
        self._bus = bus

    async def ask(self, unit: int, pdu: bytes) -> bytes:
        """The PDU of the answer, which may be an exception: 0B where the unit did not answer. A broadcast has none."""
        if code := fault(pdu):
            return bytes((pdu[0] & 0x7F | EXCEPTION_BIT, code))
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def done(_question: Question, pdu: bytes) -> None:
            if not answer.done():
                answer.set_result(pdu)

        self._bus.ask(Question(self, unit, pdu, done))
        try:
            return await answer
        finally:
            self._bus.leave(self)

    def overheard(self) -> Overheard:
        """Nothing: others listen to the line."""
        return Overheard(set(), 0, 0)


def changes_nothing(pdu: bytes) -> bool:
    """Whether a request only reads."""
    return pdu[0] in READS and (pdu[0] != 8 or pdu[1:3] == b"\0\0")


async def read(bus: Bus, unit: int, text: str, kind: str, order: str) -> list[Reading]:
    """Values as `nportpy read` takes them.

    Raises:
        ValueError: it makes no sense.
    """
    wanted = wanted_values([parse_range(each) for each in text.replace(",", " ").split()], _type(kind))
    if not wanted:
        raise ValueError("no address; 41001 is the holding register 1000")
    return await take(Desk(bus), unit, wanted, Order(order), gap=0)


def written(text: str, value: str, kind: str, order: str, *, multiple: bool) -> tuple[Wanted, bytes]:
    """What is to be written where, and the request that writes it.

    Raises:
        ValueError: it makes no sense.
    """
    asked = parse_range(text)
    if asked.first.table not in WRITABLE:
        raise ValueError(f"{text} cannot be written; holding registers and coils can")
    wanted = wanted_values([asked], _type(kind))
    if len(wanted) != 1:
        raise ValueError(f"{text} are {len(wanted)} values: one at a time")
    if wanted[0].span.quantity > longest_write(asked.first.table):
        raise ValueError(f"{text} is more than a request carries")
    data = encode(parse_value(value, wanted[0].kind), wanted[0].kind, Order(order))
    return wanted[0], write_request(Write(wanted[0].span, data), multiple=multiple or wanted[0].span.quantity > 1)


async def scan(bus: Bus, first: int, last: int) -> AsyncIterator[dict[str, object]]:
    """Who is there, unit by unit."""
    desk = Desk(bus)
    for unit in range(first, last + 1):
        answer = await desk.ask(unit, _ANYTHING)
        is_there = bool(answer) and not (answer[0] & EXCEPTION_BIT and answer[1] in _ABSENT)
        found: dict[str, object] = {"unit": unit, "found": is_there}
        if is_there:
            identity = await identify(desk, unit)
            found["identity"] = _said(identity)
        yield found


def _said(identity: Identity) -> str:
    """What a unit says of itself, on one line."""
    said = [each.decode("ascii", "replace") for each in identity.objects.values()]
    if identity.server is not None:
        said = [str(identity.server)]
    return " ".join(map(show, said))


def _type(text: str) -> ValueType | None:
    return ValueType.parse(text) if text else None
