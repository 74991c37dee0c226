"""Ethernet modem: the serial line dials TCP connections with AT commands, as an NPort's mode of that name.

`ATD host:port` calls, connections to `listen` ring, `+++` comes back to commands; nportpy/protocols/at.py has the
commands.
"""

import asyncio
import logging
import re
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, assert_never

from nportpy import __version__
from nportpy.line.arbiter import Line
from nportpy.line.stream import Change
from nportpy.linesettings import Flow, ModemLines, UartCounters
from nportpy.modes.modem_base import Carrier, ModemSettings
from nportpy.modes.modem_call import Call
from nportpy.network.access import AccessLimits
from nportpy.network.addresses import Address, Destination, Endpoint, address_of, peer_of
from nportpy.network.calling import call, outcome, reason
from nportpy.network.connection import Stop
from nportpy.network.listener import Listener, first_opening
from nportpy.network.service import WhenDown
from nportpy.protocols import at
from nportpy.protocols.at import AtModem, Result, State
from nportpy.status import End, ServiceStatus
from nportpy.throttle import Throttle

if TYPE_CHECKING:  # a gateway without TLS need not import what it takes
    from nportpy.network.tls_door import Door

_PUNCTUATION = re.compile(r"[\s().,/-]")  # of telephone numbers
_RESULTS = {"refused": Result.BUSY, "timeout": Result.NO_ANSWER}

log = logging.getLogger(__name__)


class Modem:
    """A modem on a line, until it is told to stop.

    Attributes:
        line: where its terminal is.
        service: its name in metrics and logs.
        settings: how it behaves.
    """

    def __init__(
        self,
        line: Line,
        service: str,
        settings: ModemSettings,
        sockets: Sequence[socket.socket],
        access: AccessLimits,
        throttle: Throttle,
        door: "Door | None" = None,
    ) -> None:
        """Nobody is answered before `run`. `sockets` listen already, where the settings say.

        Raises:
            ValueError: `init` is not understood; `at.check_init` says the same before.
        """
        self.line = line
        self.service = service
        self.settings = replace(settings, max_clients=1, half_close=0.0)
        self._at = AtModem(
            init=settings.init,
            answer_time=settings.answer_time,
            ring_every=settings.ring_every,
            about=f"nportpy {__version__} {line.name}",
        )
        self._listener = Listener(
            self, service, self.settings, partial(self._call, incoming=True), sockets, access, throttle, door=door
        )
        self._results: Counter[str] = Counter()  # of calls that we made
        self._dropped = 0
        self._calls: list[Call] = []  # that we made
        self._current: Call | None = None  # the one that the terminal talks with, or that rings
        self._dialled: at.Dial | None = None  # the last number; None if it was given up
        self._answering: Call | None = None  # whom the terminal waits for
        self._calling: asyncio.Task[None] | None = None
        self._book = _book(settings)
        self._carrier: bool | None = None  # as it is shown
        self._ready = False  # the terminal's DTR
        self._full = False
        self._holding = False
        self._hushed = False
        self._timer: asyncio.TimerHandle | None = None
        self._ending = End.SHUTDOWN
        self._stopping = asyncio.Event()
        self._tasks: asyncio.TaskGroup

    # What the gateway asks.

    def certificates_changed(self) -> None:
        """Who would not be let in any more goes."""
        self._listener.certificates_changed()

    @property
    def trouble(self) -> str:
        """Why nobody can call although it listens; empty: they can."""
        return self._listener.trouble

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where calls come in."""
        return self._listener.endpoints

    @property
    def sessions(self) -> Sequence[Call]:
        """Calls, however they came about."""
        return [*(session for session in self._listener.sessions if isinstance(session, Call)), *self._calls]

    async def run(self) -> None:
        """Serve until `stop`, and until the last call has ended."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                await first_opening(self.line, self._stopping)
                self.line.stream.join(self)
                self.line.watch.add(self)
                self.line_up()
                tasks.create_task(self._listener.run(), name=f"{self.service} listening")
                await self._stopping.wait()
            finally:
                self.hush()
                self._listener.stop(self._ending)
                for session in tuple(self._calls):
                    session.finish(self._ending)
                if self._timer is not None:
                    self._timer.cancel()
                self.line.watch.remove(self)
                if self in self.line.stream.clients:
                    self.line.stream.leave(self)
        self._show_carrier(True)

    def hush(self) -> None:
        """Take and make no calls any more, and take nothing more from those that are there."""
        self._hushed = True
        self._listener.hush()
        if self._calling is not None:
            self._calling.cancel()
        for session in self._calls:
            session.stop(Stop.ENDING)

    def configure(self, settings: ModemSettings) -> None:
        """Other limits, lists and numbers from now on; a call that is allowed goes on."""
        self.settings = replace(settings, max_clients=1, half_close=0.0)
        self._book = _book(settings)
        self._listener.configure(self.settings)
        for session in self._calls:
            session.configure(self.settings)

    def add(self, sock: socket.socket) -> None:
        """Take calls there, too."""
        self._listener.add(sock)

    def accepted(self) -> int:
        """What the other side says is on its way to the line at once, or waits for ATO."""
        return 0

    def stop(self, end: End = End.SHUTDOWN) -> None:
        """End; `run` returns then."""
        self._ending = end
        self._stopping.set()

    def status(self) -> ServiceStatus:
        """A snapshot; `results` are those of calls that came in, and of those that we made (see TcpClient)."""
        status = self._listener.status()
        results = Counter(status.results) + self._results
        clients = tuple(session.status() for session in self.sessions)
        return replace(status, clients=clients, results=dict(results), dropped=status.dropped + self._dropped)

    # What the listener asks of its backend.

    @property
    def name(self) -> str:
        """The port's."""
        return self.line.name

    @property
    def up(self) -> bool:
        """Whether a call can come in: the line is there, and we are not calling somebody ourselves."""
        return self.line.up and not self._calls and self._at.state is not State.DIALLING

    @property
    def tried(self) -> asyncio.Event:
        """See `Line`."""
        return self.line.tried

    def _call(self, sock: socket.socket, peer: Endpoint, address: Address, *, incoming: bool) -> Call:
        stream = self.line.stream
        return Call(
            self, self.name, self.settings, lambda: stream.waits_for(self), sock, peer, address, incoming=incoming
        )

    # What calls tell.

    def came(self, call: Call) -> None:
        """See `Phone`."""
        busy = self._current is not None or self._at.state is not State.IDLE
        if busy if call.incoming else call is not self._answering:
            call.finish(End.KICKED, at_once=True)
            return
        self._current = call
        now = asyncio.get_running_loop().time()
        if call.incoming:
            self._do(self._at.called(now))
        else:
            self._at.connected(now)
            self._do([])

    def went(self, call: Call) -> None:
        """See `Phone`."""
        if call is self._current:
            self._current = None
            self._at.lost()
            self._do([])

    def spoke(self, data: bytes) -> None:
        """See `Phone`."""
        self.line.stream.write(self, data)

    def eased(self) -> None:
        """See `Phone`."""
        self._weigh()

    def activity(self) -> tuple[int, ...]:
        """See `Phone`."""
        return (self.line.received, self.line.sent)

    # What the line tells.

    def line_data(self, data: bytes) -> None:
        """What the terminal sent."""
        self._do(self._at.feed(data, asyncio.get_running_loop().time()))

    def line_full(self) -> None:
        """The line does not keep up."""
        self._full = True
        if self._current is not None:
            self._current.stop(Stop.LINE_FULL)
        self._weigh()

    def line_ready(self) -> None:
        """It does again."""
        self._full = False
        if self._current is not None:
            self._current.go(Stop.LINE_FULL)
        self._weigh()

    def line_up(self) -> None:
        """The device is there."""
        self._at.speed = self.line.settings.baudrate
        self._ready = bool(self.line.modem_lines() & ModemLines.DSR)
        if self._current is not None:
            self._current.go(Stop.LINE_DOWN)
        self._do([])

    def line_down(self) -> None:
        """The device has gone, and with it its call, unless that is to wait."""
        if self._current is not None and self.settings.when_down is WhenDown.HOLD:
            self._current.stop(Stop.LINE_DOWN)
            return
        call, self._current = self._current, None
        if call is not None:
            call.finish(End.LINE_DOWN)
        self._do(self._at.reset())

    def line_changed(self, change: Change) -> None:
        """Somebody else set the line."""
        if change is Change.SETTINGS:
            self._at.speed = self.line.settings.baudrate

    def line_state(self, modem: ModemLines, errors: UartCounters) -> None:  # noqa: ARG002 - nobody asks for errors
        """Modem lines have moved: the terminal's DTR is at our DSR."""
        before, self._ready = self._ready, bool(modem & ModemLines.DSR)
        if before and not self._ready:
            self._do(self._at.terminal_gone())

    def _weigh(self) -> None:
        """Read the line, or leave it to flow control: while the call, or the line itself for an echo, is full."""
        talking = self._current is not None and self._at.state is State.ONLINE
        held = self._current.held if talking and self._current is not None else self._full
        if held != self._holding:
            self._holding = held
            (self.line.stream.hold if held else self.line.stream.release)(self)

    # What the modem does.

    def _do(self, events: list[at.Event]) -> None:
        """Do what the commands ask for, and show what has become of them."""
        for event in events:
            match event:
                case at.Data(data):
                    if self._current is not None:
                        self._current.send(data)
                case at.Dial():
                    self._dial(event)
                case at.GiveUp():
                    self._dialled = self._answering = None
                    if self._calling is not None:
                        self._calling.cancel()
                case at.HangUp():
                    self._hang_up()
                case at.Answer():
                    pass  # it is listened to below
                case _:
                    assert_never(event)
        if output := self._at.take_output():
            self.line.stream.write(self, output)
        self._show_carrier(self._at.carrier)
        self._wait()
        if self._current is not None:
            self._current.listen(self._at.state is State.ONLINE)
        self._weigh()

    def _hang_up(self) -> None:
        call, self._current = self._current, None
        if call is not None:
            call.finish(End.CLOSED)

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._at.deadline()
        if deadline is not None:
            loop = asyncio.get_running_loop()  # a timer may be early by the clock's resolution
            self._timer = loop.call_later(max(deadline - loop.time(), 0.001), self._expire)

    def _expire(self) -> None:
        self._timer = None
        self._do(self._at.expire(asyncio.get_running_loop().time()))

    def _show_carrier(self, on: bool) -> None:
        if on == self._carrier:
            return
        self._carrier = on
        flow = (self.line.settings.flow, self.line.settings.flow_in)
        if self.settings.carrier is Carrier.DTR and Flow.DSRDTR not in flow:
            self.line.set_modem_lines(dtr=on, by=self)
        elif self.settings.carrier is Carrier.RTS and Flow.RTSCTS not in flow:
            self.line.set_modem_lines(rts=on, by=self)

    # Dialling.

    def _dial(self, dial: at.Dial) -> None:
        place = self._book.get(_PUNCTUATION.sub("", dial.number))
        if (
            place is None
            and (pair := at.place_of(dial.number.replace(" ", ""), self.settings.default_port)) is not None
        ):
            place = Destination(*pair)
        if place is None or self._hushed:
            self._at.failed(Result.ERROR if place is None else Result.NO_CARRIER)
            return
        self._dialled = dial
        self._calling = self._tasks.create_task(self._connect(dial, place), name=f"{self.service} {place}")

    async def _connect(self, dial: at.Dial, place: Destination) -> None:
        extra: dict[str, object] = {"port": self.name, "service": self.service, "destination": str(place)}
        try:
            sock = await call(place.host, place.port, place.local_port, dial.limit, self.settings.alive_check)
        except OSError as error:
            self._results[outcome(error)] += 1
            log.info("host cannot be reached", extra=extra | {"reason": reason(error)})
            self._failed(dial, _RESULTS.get(outcome(error), Result.NO_CARRIER))
            return
        self._calling = None
        peer = peer_of(sock.getpeername())
        session = self._call(sock, peer, address_of(peer.host), incoming=False)
        self._answering = session if self._dialled is dial else None
        try:
            await asyncio.get_running_loop().create_connection(lambda: session, sock=sock)
        except OSError as error:  # gone at once
            sock.close()
            self._results[outcome(error)] += 1
            self._failed(dial, Result.NO_CARRIER)
            return
        self._results["connected"] += 1
        log.info("host connected", extra=extra)
        self._calls.append(session)
        try:
            await self._attend(session)
        finally:
            if not session.ended.done():
                session.finish(End.SHUTDOWN, at_once=True)
            self._calls.remove(session)
            self._account(session, extra)

    def _failed(self, dial: at.Dial, result: Result) -> None:
        if self._dialled is dial:
            self._calling = None
            self._at.failed(result)
            self._do([])

    async def _attend(self, session: Call) -> None:
        """Much may have changed since it was called."""
        if self._stopping.is_set():
            session.finish(self._ending)
        elif self._hushed:
            session.stop(Stop.ENDING)
        await session.ended

    def _account(self, session: Call, extra: dict[str, object]) -> None:
        end = session.end or End.ERROR
        self._results[end] += 1
        self._dropped += session.dropped
        seconds = round(max(0.0, asyncio.get_running_loop().time() - session.started), 1)
        facts = {"result": str(end), "seconds": seconds, "received": session.received, "sent": session.sent}
        log.info("host gone", extra=extra | facts)


def _book(settings: ModemSettings) -> dict[str, Destination]:
    """Whom numbers mean."""
    return {_PUNCTUATION.sub("", each.dialled): each.to for each in settings.numbers}
