"""RFC 2217 server: the line's bytes in telnet, and its settings and modem lines beside them.

Data and requests are obeyed strictly in the order of the stream: a request that would change the line waits until
the bytes before it have left the UART, and what comes after it waits with it. Requests that change nothing touch
nothing. Every request is answered with the value in effect, whether it was obeyed or not.
"""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from nportpy.line.stream import Change
from nportpy.linesettings import ModemLines, UartCounters
from nportpy.modes.base import ServiceSettings
from nportpy.modes.comport import ComPort
from nportpy.modes.session import Session, Stop
from nportpy.protocols import rfc2217, telnet
from nportpy.protocols.telnet import Code, Option, Side

_IAC = 0xFF  # as a number: looking for it in bytes is ten times faster than looking for b"\xff"
_US = frozenset({Option.TRANSMIT_BINARY, Option.SUPPRESS_GO_AHEAD, Option.ECHO})
_THEM = frozenset({Option.TRANSMIT_BINARY, Option.SUPPRESS_GO_AHEAD, Option.COM_PORT_OPTION})
_BREAK_TIME = 0.25  # of a telnet BREAK, which has no length of its own
_STUCK = 1.0  # a line that takes nothing for so long (flow control) does not hold requests back any longer
_POLL = 0.05  # how often the transmitter is looked at for a client that wants to hear of it

log = logging.getLogger(__name__)


class WhoControls(StrEnum):
    """Whose settings count when several clients are there."""

    FIRST = "first"  # the client that came first; the next one when it has gone
    ANY = "any"  # whoever asks last
    NONE = "none"  # nobody: the configuration rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Rfc2217Settings(ServiceSettings):
    """An RFC 2217 listener.

    Attributes:
        control: who may change settings and modem lines.
        signature: what a client that asks for our signature gets; empty: name, version and port.
    """

    control: WhoControls = WhoControls.FIRST
    signature: str = ""


class Rfc2217Session(Session):
    """An RFC 2217 client."""

    settings: Rfc2217Settings

    def opened(self) -> None:
        self._codec = telnet.TelnetCodec(us=_US, them=_THEM)
        self._queue: deque[telnet.Event] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._com_port: ComPort | None = None
        self._breaking = False
        self._suspended = False
        self._kept: list[bytes] = []  # for a client that asked us to send nothing for now
        self._kept_size = 0
        self._stuck_since = 0.0
        self._stuck_at = 0
        self._poll: asyncio.TimerHandle | None = None
        for option in (Option.SUPPRESS_GO_AHEAD, Option.ECHO, Option.TRANSMIT_BINARY):
            self._codec.ask_us(option)
        for option in (Option.SUPPRESS_GO_AHEAD, Option.TRANSMIT_BINARY, Option.COM_PORT_OPTION):
            self._codec.ask_them(option)
        self.transport.write(self._codec.take_output())

    # From the client.

    def data_received(self, data: bytes) -> None:
        if self._codec.plain and not self._queue and _IAC not in data:
            self.received += len(data)
            self.stream.write(self, data)
            return
        self._queue.extend(self._codec.feed(data))
        if output := self._codec.take_output():
            self.transport.write(output)
        if self._timer is None:
            self._work()
        if self._held and self.waiting() > self.settings.allowance:
            self.stop(Stop.UNREAD)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.go(Stop.UNREAD)

    def _work(self) -> None:
        """Obey what is queued, as far as its turn has come."""
        self._timer = None
        while self._queue:
            pause = self._obey(self._queue[0])
            if pause is not None:
                self.stop(Stop.BUSY)
                self._timer = asyncio.get_running_loop().call_later(pause, self._work)
                return
            self._queue.popleft()
        self.go(Stop.BUSY)

    def _obey(self, event: telnet.Event) -> float | None:
        """Do what an event asks for; seconds to wait and ask again if its turn has not come yet."""
        match event:
            case telnet.Data(data):
                self.received += len(data)
                self.stream.write(self, data)
            case telnet.Subnegotiation(Option.COM_PORT_OPTION, payload):
                return self._request(payload)
            case telnet.Break():
                return self._timed_break()
            case telnet.Negotiated(Option.COM_PORT_OPTION, Side.THEM, enabled):
                self._switch_com_port(enabled)
            case telnet.Command(Code.AYT):
                self.transport.write(bytes((Code.IAC, Code.NOP)))  # a sign of life that is no byte of the line
            case telnet.Malformed(reason):
                log.info("telnet garbage", extra={"port": self.line.name, "client": str(self.peer), "reason": reason})
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
            case _:
                pass
        for answer in com_port.answer(message):
            self._tell(answer)
        self._watch(com_port)
        return None

    def _turn(self) -> float | None:
        """Seconds to wait until what was written before has left, or None if it has, or if the line is stuck."""
        if self.line.all_sent():
            self._stuck_at = 0
            return None
        now, unsent = asyncio.get_running_loop().time(), self.line.unsent()
        if unsent != self._stuck_at:
            self._stuck_at, self._stuck_since = unsent, now
        elif now - self._stuck_since > _STUCK:
            return None
        return self.line.time_to_send()

    def _timed_break(self) -> float | None:
        if self._breaking:
            self._breaking = False
            self.line.set_break(False, by=self)
            return None
        if not self.may_control:
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
                return self.line.controls(self)
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
                self.line.enter_control(self)
            self._tell(self._com_port.modem_state_now())
        elif not on:
            self._com_port.agreed = False
            self.line.leave_control(self)
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

    def _poll_transmitter(self) -> None:
        if self._com_port is not None and (message := self._com_port.transmitter_changed()) is not None:
            self._tell(message)
        self._poll = asyncio.get_running_loop().call_later(_POLL, self._poll_transmitter)

    def line_changed(self, change: Change) -> None:
        if self._com_port is not None and self._com_port.agreed:
            for message in self._com_port.changed(change):
                self._tell(message)

    def line_state(self, modem: ModemLines, errors: UartCounters) -> None:
        if self._com_port is not None:
            for message in self._com_port.state_changed(modem, errors):
                self._tell(message)

    def line_up(self) -> None:
        super().line_up()
        if self._com_port is not None and self._com_port.agreed:
            for message in self._com_port.state_changed(self.line.modem_lines(), UartCounters()):
                self._tell(message)

    def _tell(self, message: rfc2217.Message) -> None:
        payload = rfc2217.encode(message, to_client=True)
        self.transport.write(self._codec.encode_subnegotiation(Option.COM_PORT_OPTION, payload))

    # To the client.

    def line_data(self, data: bytes) -> None:
        self.sent += len(data)
        if not self._codec.plain_out or _IAC in data:
            data = self._codec.encode(data)
        if self._suspended:
            self._kept.append(data)
            self._kept_size += len(data)
            self.weigh(self.waiting())
            return
        self.transport.write(data)
        if self._held:
            self.weigh(self.waiting())

    @property
    def suspended(self) -> bool:
        return self._suspended

    def waiting(self) -> int:
        return super().waiting() + self._kept_size

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
        return super().eof_received() or bool(self._queue)

    def accepted(self) -> int:
        return len(self._queue)

    def left(self) -> None:
        self.line.watch.remove(self)
        for timer in (self._timer, self._poll):
            if timer is not None:
                timer.cancel()
        # What was accepted goes out, up to the first request whose turn will not come any more.
        while self._queue and isinstance(event := self._queue.popleft(), telnet.Data):
            self.received += len(event.data)
            self.stream.write(self, event.data)
        self._queue.clear()
        if self._breaking:
            self.line.set_break(False, by=self)
        self.line.leave_control(self)
