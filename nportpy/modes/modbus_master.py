"""A Modbus master on the line whose units are elsewhere: a PLC with a serial port that asks Modbus TCP servers.

It is heard as any client of the line's stream is, and its requests go the way of those from the network. Units that
have no route are none of the gateway's business: they may be on the line, and the master talks to them.

A master waits for one answer at a time (MODBUS over Serial Line V1.02, 2.4.1). It has given up what it asked before
as soon as it asks again, and an old answer would be taken for the new one's. So only the newest request is answered,
and not later than `MasterSettings.deadline`; what comes too late is counted and dropped.
"""

import asyncio
import logging
from collections.abc import Iterable

from nportpy.line.arbiter import Line
from nportpy.line.stream import Change
from nportpy.line.timer import open_timer
from nportpy.linesettings import ModemLines, UartCounters
from nportpy.modbus.question import Question
from nportpy.modbus.routing import Router
from nportpy.modbus.settings import Framing
from nportpy.modes.modbus import Asked
from nportpy.modes.modbus_base import MasterSettings
from nportpy.network.addresses import Endpoint
from nportpy.protocols.modbus import ascii, rtu, rtu_request  # noqa: A004 - the standard's name
from nportpy.protocols.modbus.pdu import EXCEPTION_BIT, ExceptionCode
from nportpy.status import End, ServiceStatus

OWN_EXCEPTIONS = frozenset(
    (
        ExceptionCode.SERVER_DEVICE_BUSY,
        ExceptionCode.GATEWAY_PATH_UNAVAILABLE,
        ExceptionCode.GATEWAY_TARGET_FAILED_TO_RESPOND,
    )
)
"""What the gateway answers where a unit did not. A unit may say the same; nothing tells whose they are."""

log = logging.getLogger(__name__)


class ModbusMaster:
    """Serves the master on a line until it is told to stop. The gateway treats it as a `Listener` without sockets.

    Attributes:
        line: where the master is.
        late: answers that came when the master did not wait for them any more.
    """

    service = "master"
    endpoints: tuple[Endpoint, ...] = ()
    sessions: tuple[()] = ()

    def __init__(self, line: Line, settings: MasterSettings, router: Router) -> None:
        """Nothing is heard before `run`."""
        self.line = line
        self.label = f"master on {line.name}"
        self.settings = settings
        self.late = 0
        self._router = router
        self._visitor = router.visitor(self, None)
        self._finder: rtu_request.RequestFinder | ascii.RequestFinder
        if settings.framing is Framing.ASCII:
            self._finder = ascii.RequestFinder(echo=settings.echo)
        else:
            self._finder = rtu_request.RequestFinder(self._silence, settings.echo)
        self._broadcasts: set[Question] = set()  # under way
        self._under_way = 0
        self._newest: Asked | None = None  # what the master waits for
        self._asked_at = 0.0  # when that had come
        self._heard_at = 0.0  # when the last byte came
        self._expiring: asyncio.TimerHandle | None = None
        self._listening = False
        self._hushed = False
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Serve until `stop`."""
        self._timer = open_timer(self._answer)
        try:
            if not self._hushed:
                self._listening = True
                self.line.stream.join(self)
            await self._stopping.wait()
        finally:
            if self._listening:
                self._listening = False
                self.line.stream.leave(self)
            self._newest = None
            self._timer.close()
            if self._expiring is not None:
                self._expiring.cancel()
            self._visitor.leave()

    def hush(self) -> None:
        """Take no more requests; what was asked is answered yet."""
        self._hushed = True

    def configure(self, settings: MasterSettings) -> None:
        """Other limits from now on; what is under way goes on."""
        self.settings = settings

    def stop(self, end: End = End.SHUTDOWN) -> None:  # noqa: ARG002 - nobody is connected
        """Answer nothing from now on; `run` returns."""
        self._stopping.set()

    def accepted(self) -> int:
        """Requests under way, and the answer that waits for silence."""
        return self._under_way + (self._newest is not None and self._newest.answer is not None)

    def status(self) -> ServiceStatus:
        """A snapshot."""
        return ServiceStatus(
            port=self.line.name,
            service=self.service,
            listen=(),
            clients=(),
            results={"late": self.late},
            dropped=0,
            refused=dict(self._router.refused),
            refused_by=dict(self._router.refused_by),
        )

    # From the master. The line's stream calls these.

    def line_data(self, data: bytes) -> None:
        self._heard_at = now = self._timer.clock()
        try:
            frames = self._finder.feed(data, now)
            if frames:
                self._ask_all(frames)
            if self._expiring is None:
                self._wait_for_silence(now)
        except Exception as error:
            self._fail(error)

    def line_full(self) -> None:
        """One answer at a time never fills anything."""

    def line_ready(self) -> None:
        """So this means nothing."""

    def line_up(self) -> None:
        """The master asks when it likes."""

    def line_down(self) -> None:
        """Nobody waits for an answer any more."""
        self._give_up()

    def line_changed(self, change: Change) -> None:
        """The silence is reckoned anew for each answer."""

    def line_state(self, modem: ModemLines, errors: UartCounters) -> None:
        """Nothing is made of it."""

    def _wait_for_silence(self, now: float) -> None:
        when = self._finder.deadline()
        if when is None:
            self._expiring = None
        else:
            self._expiring = asyncio.get_running_loop().call_later(when - now, self._expire)

    def _expire(self) -> None:
        now = self._timer.clock()
        try:
            self._ask_all(self._finder.expire(now))
            self._wait_for_silence(now)
        except Exception as error:
            self._fail(error)

    def _ask_all(self, frames: Iterable[rtu.Frame]) -> None:
        for frame in frames:
            self._give_up()
            if self._hushed or not self._visitor.routed(frame.unit):
                continue
            question = Asked(self, frame.unit, frame.pdu, self._answered, written=frame.unit)
            if frame.unit == rtu.BROADCAST and self._router.plan.settings.unit0 is None:
                self._broadcasts.add(question)
            else:
                self._newest = question
                self._asked_at = self._heard_at
            self._under_way += 1
            self._visitor.ask(question)

    def _give_up(self) -> None:
        """The master does not wait for an answer any more."""
        question, self._newest = self._newest, None
        if question is None:
            return
        if question.answer is not None:
            self.late += 1
        elif not self._broadcasts:
            # A write that the master believes lost must not be done behind its next one.
            self._visitor.leave()
            self._visitor = self._router.visitor(self, None)

    # To the master.

    def _answered(self, question: Question, pdu: bytes) -> None:
        assert isinstance(question, Asked)
        self._under_way -= 1
        try:
            if question in self._broadcasts:
                self._broadcasts.remove(question)
            elif question is not self._newest:
                self.late += bool(pdu)
            elif not pdu or (_is_own(pdu) and not self.settings.exceptions):
                self._newest = None
            else:
                question.answer = pdu
                self._answer()
        except Exception as error:
            self._fail(error)

    def _answer(self) -> None:
        """Write the answer once the line has been silent for long enough."""
        question = self._newest
        if question is None or question.answer is None:
            return
        now = self._timer.clock()
        if now > self._asked_at + self.settings.deadline:
            self._give_up()
        elif now < (quiet_at := self._heard_at + self._silence):
            self._timer.arm(quiet_at)
        else:
            self._newest = None
            self.line.stream.write(self, self._finder.answer(question.written, question.answer))

    @property
    def _silence(self) -> float:
        """Seconds between a request and its answer. ASCII frames need none."""
        return 0.0 if self.settings.framing is Framing.ASCII else rtu.silent_interval(self.line.settings)

    def _fail(self, error: Exception) -> None:
        """A bug was met: it costs one request."""
        self._newest = None
        log.error("a request failed", exc_info=error, extra={"port": self.line.name, "service": self.service})


def _is_own(pdu: bytes) -> bool:
    return len(pdu) > 1 and pdu[0] >= EXCEPTION_BIT and pdu[1] in OWN_EXCEPTIONS
