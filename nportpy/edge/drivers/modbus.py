"""Modbus units as stations: through the same router and `Bus` that serve the gateway's clients.

So the poller takes turns with them in its class of priority, shares answers with whoever asks the same, is held to the
same rules, and leaves a silent unit alone as they must. A request of the lowest class whose turn has not come before
its deadline is put once more, as a client's: who never lets the line rest cannot keep stations from being read.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from nportpy.client.readings import MEANINGS
from nportpy.edge.clock import Clock
from nportpy.edge.driver import RawReading, StationSilent
from nportpy.edge.drivers.blocks import Blocks, within
from nportpy.edge.settings import StationSettings, TagSettings, Where, place_of
from nportpy.errors import ProtocolError
from nportpy.line.turns import Priority
from nportpy.modbus.bus import Bus
from nportpy.modbus.question import Question
from nportpy.modbus.routing import Router
from nportpy.modbus.settings import Route, RoutingSettings, ServerSettings
from nportpy.network.addresses import Endpoint
from nportpy.protocols.modbus.functions import Span
from nportpy.protocols.modbus.pdu import EXCEPTION_BIT, ExceptionCode
from nportpy.protocols.modbus.reads import cut, request
from nportpy.protocols.modbus.values import decode

_SILENT: Final = (ExceptionCode.GATEWAY_PATH_UNAVAILABLE, ExceptionCode.GATEWAY_TARGET_FAILED_TO_RESPOND)
_NO_TURN: Final = "the line is busy: its turn did not come in time"
_ANYWHERE: Final = ServerSettings(Endpoint("", 0))
_PARTED: Final = (ExceptionCode.ILLEGAL_DATA_ADDRESS, ExceptionCode.ILLEGAL_DATA_VALUE)


class ModbusDriver:
    """Reads a Modbus unit: see `Driver`."""

    def __init__(
        self, station: StationSettings, router: Router, clock: Clock, down: Callable[[], str] = lambda: ""
    ) -> None:
        """Ask through `router`; `clock` stamps the answers; `down` says why the line is down, if it is."""
        self.label = f"station {station.name}"
        self._down = down
        self._unit = station.unit
        self._priority = station.priority
        self._visitor = router.visitor(self, None)
        self._clock = clock
        self._blocks = Blocks(station.gap)
        self._turn = 0  # with which block to begin: another one after each round that failed

    async def read(self, tags: Sequence[TagSettings]) -> list[RawReading]:
        """See `Driver`. A round ends at its first request without an answer, unless the unit has answered in it."""
        spans = {place_of(tag).span for tag in tags}
        todo = self._blocks.reads(spans)
        turn = self._turn % len(todo)
        todo = todo[turn:] + todo[:turn]
        found: dict[Span, tuple[int, bytes]] = {}
        answered = False
        readings: list[RawReading] = []
        while todo:
            block = todo.pop(0)
            parts = [tag for tag in tags if within(place_of(tag).span, block) and place_of(tag).span not in found]
            question, pdu = await self._ask(request(block))
            at = self._clock.now()
            code = pdu[1] if pdu[0] & EXCEPTION_BIT else 0
            why = _NO_TURN if question.expired else self._reason(code) if code else ""
            if code in _SILENT and not answered:
                self._turn += 1
                raise StationSilent(why)
            answered = answered or code not in _SILENT
            if not code:
                try:
                    found |= {place_of(tag).span: (at, cut(block, pdu, place_of(tag).span)) for tag in parts}
                except ProtocolError as error:
                    readings += [RawReading(tag, at, reason=str(error)) for tag in parts]
            elif code in (*_SILENT, *_PARTED) and not question.expired and self._blocks.part(block, spans):
                todo[:0] = self._blocks.reads({place_of(tag).span for tag in parts})
            else:
                readings += [RawReading(tag, at, reason=why) for tag in parts]
        return readings + [_decoded(tag, *got) for tag in tags if (got := found.get(place_of(tag).span))]

    async def close(self) -> None:
        """See `Driver`."""
        self._visitor.leave()

    async def _ask(self, pdu: bytes) -> tuple[Question, bytes]:
        question, answer = await self._put(pdu, self._priority)
        if question.expired and self._priority is Priority.LOW:
            question, answer = await self._put(pdu, Priority.NORMAL)
        return question, answer

    async def _put(self, pdu: bytes, priority: Priority) -> tuple[Question, bytes]:
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def done(_question: Question, pdu: bytes) -> None:
            if not answer.done():  # nobody waits any more after a cancellation
                answer.set_result(pdu)

        question = Question(self, self._unit, pdu, done, priority)
        self._visitor.ask(question)
        none = bytes((pdu[0] | EXCEPTION_BIT, ExceptionCode.GATEWAY_TARGET_FAILED_TO_RESPOND))
        return question, await answer or none

    def _reason(self, code: int) -> str:
        down = self._down()
        return f"the line is down: {down}" if down else reason_of(self._unit, code)


def _decoded(tag: TagSettings, at: int, data: bytes) -> RawReading:
    place = place_of(tag)
    return RawReading(tag, at, decode(data, place.kind, place.order))


def reason_of(unit: int, code: int) -> str:
    """What an exception means to the one who reads the station's state."""
    try:
        known = ExceptionCode(code)
    except ValueError:
        return f"unit {unit} answers exception {code}, which the standard does not know"
    if known is ExceptionCode.GATEWAY_TARGET_FAILED_TO_RESPOND:
        return f"unit {unit} did not answer"
    if known is ExceptionCode.GATEWAY_PATH_UNAVAILABLE:
        return f"there is no way to unit {unit}: its line is down, or no gateway knows it"
    return f"unit {unit} answers exception {code}: {MEANINGS[known]}"


def router_of(settings: StationSettings, find: Callable[[Where], Bus | None]) -> Router:
    """The station's way to its unit: the same rules hold for it as for the line's clients."""
    # As if it were a server's: there every unit id may be, and which one is possible the configuration has seen to.
    route = Route(frozenset((settings.unit,)), _ANYWHERE)
    router = Router(
        f"station {settings.name}", RoutingSettings((route,), rules=settings.rules), lambda _: find(settings.to)
    )
    router.refresh()
    return router


def why_down(bus: Bus | None) -> str:
    """Why nobody there can be asked; empty where somebody can."""
    return "it is not served any more" if bus is None else bus.down
