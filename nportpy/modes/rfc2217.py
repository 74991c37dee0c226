"""RFC 2217 server: the line's bytes in telnet, and its settings and modem lines beside them.

Data and requests are obeyed strictly in the order of the stream: a request that would change the line waits until
the bytes before it have left the UART, and what comes after it waits with it. Requests that change nothing touch
nothing. Every request is answered with the value in effect, whether it was obeyed or not.

Plain telnet programs are clients too: what they send is data, and their break key a break, whoever controls the line.
"""

import asyncio
import logging
from collections import deque
from typing import assert_never

from nportpy.line.stream import Change
from nportpy.linesettings import ModemLines, UartCounters
from nportpy.modes.comport import ComPort
from nportpy.modes.rfc2217_base import Rfc2217Settings, WhoControls
from nportpy.modes.session import Session
from nportpy.network import tcp
from nportpy.network.connection import Stop, contained
from nportpy.network.service import Direction
from nportpy.protocols import rfc2217, telnet
from nportpy.protocols.telnet import Code, Option, Side

_IAC = 0xFF  # as a number: looking for it in bytes is ten times faster than looking for b"\xff"
_US = frozenset({Option.TRANSMIT_BINARY, Option.SUPPRESS_GO_AHEAD, Option.ECHO})
_THEM = frozenset({Option.TRANSMIT_BINARY, Option.SUPPRESS_GO_AHEAD, Option.COM_PORT_OPTION})
_BREAK_TIME = 0.25  # of a telnet BREAK, which has no length of its own
_STUCK = 1.0  # a line that takes nothing for so long (flow control) does not hold requests back any longer
_FIFO = 128  # characters that a UART may have taken and still has to send, which nobody can count
_BYTES_AT_ONCE, _EVENTS_AT_ONCE = 4096, 64  # a millisecond or two of work at most before others have their turn
_POLL = 0.05  # how often the transmitter is looked at for a client that wants to hear of it

log = logging.getLogger(__name__)


class Rfc2217Session(Session):
    """An RFC 2217 client."""

    settings: Rfc2217Settings

    def opened(self) -> None:
        tcp.keep_urgent_data(self.socket)
        self._codec = telnet.TelnetCodec(us=_US, them=_THEM)
        self._working = False  # something that the client sent is not done yet
        self._input = bytearray()  # from the client and not fed to the codec yet
        self._queue: deque[telnet.Event] = deque()
        self._timer: asyncio.Handle | None = None
        self._com_port: ComPort | None = None
        self._breaking = False
        self._suspended = False
        self._kept: list[bytes] = []  # for a client that asked us to send nothing for now
        self._kept_size = 0
        self._stuck_since = 0.0
        self._stuck_at = -1
        self._garbage = False
        self._poll: asyncio.TimerHandle | None = None
        self._gone_at: float | None = None  # when the client went, or the line last moved after that
        for option in (Option.SUPPRESS_GO_AHEAD, Option.ECHO, Option.TRANSMIT_BINARY):
            self._codec.ask_us(option)
        for option in (Option.SUPPRESS_GO_AHEAD, Option.TRANSMIT_BINARY, Option.COM_PORT_OPTION):
            self._codec.ask_them(option)
        self.transport.write(self._codec.take_output())

    # From the client.

    def data_received(self, data: bytes) -> None:
        if self._codec.plain and not self._working and _IAC not in data:
            self.received += len(data)
            self.to_line(self, data)
            return
        self._input += data
        if not self._working:
            self._working = True
            self._work()

    def resume_writing(self) -> None:
        super().resume_writing()
        if Stop.UNREAD in self._stops:
            self.go(Stop.UNREAD)
            self._work()

    @contained
    def _work(self) -> None:
        """Obey what the client sent, as far as its turn has come and it fetches the answers; a portion at a time."""
        self._timer = None
        if self._gone_at is not None and not self._still_wanted(self._gone_at):
            self._forget_work()
        for _ in range(_EVENTS_AT_ONCE):
            if self._held and self.waiting() > self.settings.allowance and self._gone_at is None:
                self.stop(Stop.BUSY)
                self.stop(Stop.UNREAD)  # `resume_writing` goes on
                return
            if not self._queue and not self._feed():
                self._working = False
                self.go(Stop.BUSY)
                if self._gone_at is not None:
                    self._give_up_control()
                elif self.half_closed:
                    self.line.control.give_way(self)
                return
            event = self._queue.popleft()
            pause = self._obey(event)
            if pause is not None:
                self._queue.appendleft(event)
                self._work_later(pause)
                return
        self._work_later(0.0)

    def _feed(self) -> bool:
        """Give the codec some more of what came; whether anything is to be done then."""
        while self._input and not self._queue:
            portion = bytes(self._input[:_BYTES_AT_ONCE])
            del self._input[:_BYTES_AT_ONCE]
            self._queue.extend(self._codec.feed(portion))
            if output := self._codec.take_output():
                self._write(output)
        return bool(self._queue)

    def _work_later(self, pause: float) -> None:
        self.stop(Stop.BUSY)
        self._timer = asyncio.get_running_loop().call_later(pause, self._work)

    def _obey(self, event: telnet.Event) -> float | None:
        """Do what an event asks for; seconds to wait and ask again if its turn has not come yet."""
        match event:
            case telnet.Data(data):
                self.received += len(data)
                self.to_line(self, data)
            case telnet.Subnegotiation(Option.COM_PORT_OPTION, payload):
                return self._request(payload)
            case telnet.Break():
                return self._timed_break()
            case telnet.Negotiated(Option.COM_PORT_OPTION, Side.THEM, enabled):
                self._switch_com_port(enabled)
            case telnet.Command(Code.AYT):
                self._write(bytes((Code.IAC, Code.NOP)))  # a sign of life that is no byte of the line
            case telnet.Malformed(reason):
                self._tell_of_garbage(reason)
            case telnet.Subnegotiation() | telnet.Negotiated() | telnet.Command():
                pass
            case _:
                assert_never(event)
        return None

    def _request(self, payload: bytes) -> float | None:
        message = rfc2217.decode(payload, from_client=True)
        com_port = self._com_port
        if com_port is None:  # some clients do not wait for the option to be agreed on
            com_port = self._switch_com_port(True)
        if com_port.would_change(message) and self.may_control and (pause := self._turn()) is not None:
            return pause
        match message:
            case rfc2217.FlowcontrolSuspend():
                self._suspend()
            case rfc2217.FlowcontrolResume():
                self._resume()
            case rfc2217.PurgeData(value) if value in (rfc2217.PurgeValue.RECEIVE, rfc2217.PurgeValue.BOTH):
                self._forget_kept()
                if self.may_control:
                    self.line.stream.forget()
            case _:
                pass
        for answer in com_port.answer(message):
            self._tell(answer)
        self._watch(com_port)
        return None

    def _turn(self) -> float | None:
        """Seconds to wait until what was written before has left, or None if it has, or if the line is stuck."""
        if self.line.all_sent():
            self._stuck_at = -1
            return None
        now, unsent = asyncio.get_running_loop().time(), self.line.unsent()
        if unsent != self._stuck_at:
            self._stuck_at, self._stuck_since = unsent, now
            if self._gone_at is not None:
                self._gone_at = now
        elif now - self._stuck_since > _STUCK + _FIFO * self.line.settings.character_time:
            return None
        return self.line.time_to_send()

    def _tell_of_garbage(self, reason: str) -> None:
        """One line for all that a client sends of it."""
        if not self._garbage:
            self._garbage = True
            log.info("telnet garbage", extra={"port": self.line.name, "client": str(self.peer), "reason": reason})

    def _timed_break(self) -> float | None:
        """The break key of a telnet client, of whoever may write: it is older than any option (RFC 854, page 14)."""
        if self._breaking:
            self._breaking = False
            self.line.set_break(False, by=self)
            return None
        if self.settings.direction is Direction.TO_NETWORK or self.line.breaking:  # or it would end another's break
            return None
        if (pause := self._turn()) is not None:
            return pause
        self._breaking = True
        self.line.set_break(True, by=self)
        return _BREAK_TIME

    # Control.

    @property
    def may_control(self) -> bool:
        """Whether this client's requests are obeyed."""
        match self.settings.control:
            case WhoControls.FIRST:
                return self.line.control.belongs_to(self)
            case WhoControls.ANY:
                return True
            case WhoControls.NONE:
                return False

    def controls(self) -> bool:
        return self._com_port is not None and self.may_control

    def _switch_com_port(self, on: bool) -> ComPort:
        if self._com_port is None:
            self._com_port = ComPort(self.line, self, self.settings.signature)
        if on and not self._com_port.agreed:
            self._com_port.agreed = True
            if self.settings.control is not WhoControls.NONE:
                self.line.control.enter(self)
            self._tell(self._com_port.modem_state_now())
        elif not on:
            self._com_port.agreed = False
            self.line.control.leave(self)
        self._watch(self._com_port)
        return self._com_port

    def _watch(self, com_port: ComPort) -> None:
        """Have the line watched exactly as long as this client wants to hear of it."""
        if com_port.agreed and com_port.wants_state:
            self.line.watch.add(self)
        else:
            self.line.watch.remove(self)
        if com_port.agreed and com_port.wants_transmitter:
            if self._poll is None:
                self._poll_transmitter()
        elif self._poll is not None:
            self._poll.cancel()
            self._poll = None

    @contained
    def _poll_transmitter(self) -> None:
        if self._com_port is not None and (message := self._com_port.transmitter_changed()) is not None:
            self._tell(message)
        self._poll = asyncio.get_running_loop().call_later(_POLL, self._poll_transmitter)

    @contained
    def line_changed(self, change: Change) -> None:
        if self._com_port is not None and self._com_port.agreed and self._gone_at is None:
            for message in self._com_port.changed(change):
                self._tell(message)

    @contained
    def line_state(self, modem: ModemLines, errors: UartCounters) -> None:
        if self._com_port is not None:
            for message in self._com_port.state_changed(modem, errors):
                self._tell(message)

    @contained
    def line_up(self) -> None:
        super().line_up()
        self._tell_modem_state()

    @contained
    def line_down(self) -> None:
        super().line_down()
        self._tell_modem_state()

    def _tell_modem_state(self) -> None:
        if self._com_port is not None and self._com_port.agreed:
            for message in self._com_port.state_changed(self.line.modem_lines(), UartCounters()):
                self._tell(message)

    def _tell(self, message: rfc2217.Message) -> None:
        payload = rfc2217.encode(message, to_client=True)
        self._write(self._codec.encode_subnegotiation(Option.COM_PORT_OPTION, payload))

    def _write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    # To the client.

    def line_data(self, data: bytes) -> None:
        try:
            self.sent += len(data)
            if not self._codec.plain_out or _IAC in data:
                data = self._codec.encode(data)
            if self._suspended:
                self._keep(data)
                return
            self.to_client(data)
            if self._held:
                self.weigh(self.waiting())
        except Exception as error:
            self.fail(error)

    @property
    def suspended(self) -> bool:
        return self._suspended

    def waiting(self) -> int:
        return super().waiting() + self._kept_size

    def _keep(self, data: bytes) -> None:
        self._kept.append(data)
        self._kept_size += len(data)
        self.weigh(self.waiting())

    def _suspend(self) -> None:
        """Send no more data. Never touches the UART: ser2net switched its flow control off here."""
        self._suspended = True
        self.stream.hold(self)

    def _resume(self) -> None:
        self._suspended = False
        kept = self._kept
        self._forget_kept()
        if kept:
            self.transport.writelines(kept)
        if not self._held:
            self.stream.release(self)

    def _forget_kept(self) -> None:
        self._kept = []
        self._kept_size = 0

    # The end.

    def eof_received(self) -> bool:
        stay = super().eof_received()
        if self.half_closed and not self._working:
            # A program that closes and comes back at once with other settings must not find itself in the way.
            self.line.control.give_way(self)
        return stay

    def accepted(self) -> int:
        return len(self._queue) + len(self._input)

    def left(self) -> None:
        self._gone_at = asyncio.get_running_loop().time()
        self.line.watch.remove(self)
        if self._poll is not None:
            self._poll.cancel()
            self._poll = None
        self._forget_kept()
        if not self.line.up:
            self._forget_work()
            self._working = False
            if self._timer is not None:
                self._timer.cancel()
        if not self._working:
            self._give_up_control()
        elif self._timer is None:  # it waited for the client to fetch answers
            self._work_later(0.0)

    def _forget_work(self) -> None:
        self._queue.clear()
        self._input.clear()

    def _still_wanted(self, since: float) -> bool:
        """Whether what the client left behind is worth doing: like its bytes, as long as the line makes progress."""
        return self.line.up and asyncio.get_running_loop().time() - since <= self.line.linger

    def _give_up_control(self) -> None:
        if self._breaking:
            self._breaking = False
            self.line.set_break(False, by=self)
        self.line.control.leave(self)
