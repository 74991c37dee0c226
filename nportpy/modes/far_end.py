"""The far end of a pair connection (pair.py): an RFC 2217 server whose line is joined to ours.

Bytes, modem lines, breaks and settings are carried as a null-modem cable would, if it were one: what comes in at one
end goes out at the other.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import assert_never

from nportpy.line.arbiter import Line
from nportpy.line.stream import Change, StreamClient
from nportpy.linesettings import Flow, ModemLines, UartCounters
from nportpy.modes.session import Session
from nportpy.network import tcp
from nportpy.network.addresses import address_of, peer_of
from nportpy.network.connection import contained
from nportpy.network.service import ServiceSettings
from nportpy.protocols import rfc2217_client
from nportpy.protocols.rfc2217_client import Rfc2217Client
from nportpy.status import End
from nportpy.throttle import Throttle

_INPUTS_WAIT = 1.0  # for the far end to say how its inputs are; then they are taken to be up
_BREAK_WAIT = 3.0  # for the far end to say that its break is on

_RAW = "it does not speak telnet: a raw port? [port.NAME.tcp_client] calls one; trying again"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Carried:
    """What is carried besides bytes.

    Attributes:
        modem_lines: whether modem lines are.
        dtr_from: the input, DSR or CD, that is DTR at the other end.
        break_time: seconds that a break lasts that the other end heard.
        settings: the far end's line is set to what this one is.
    """

    modem_lines: bool
    dtr_from: ModemLines
    break_time: float
    settings: bool


def show_outputs(line: Line, *, dtr: bool, rts: bool, by: StreamClient | None = None) -> None:
    """Set DTR and RTS, but for those that flow control uses."""
    flow = (line.settings.flow, line.settings.flow_in)
    line.set_modem_lines(dtr=None if Flow.DSRDTR in flow else dtr, rts=None if Flow.RTSCTS in flow else rts, by=by)


class FarEnd(Session):
    """The connection to it."""

    def __init__(
        self,
        line: Line,
        settings: ServiceSettings,
        carried: Carried,
        sock: socket.socket,
        came: Callable[["FarEnd"], None],
        went: Callable[[], None],
        throttle: Throttle,
    ) -> None:
        """`sock` is connected.

        Args:
            line: this end.
            settings: how the connection is treated.
            carried: what is carried besides bytes.
            sock: the connection.
            came: called when the far end listens to the line.
            went: called when it no longer does, just before it leaves.
            throttle: for log lines that each connection may repeat.
        """
        peer = peer_of(sock.getpeername())
        super().__init__(line, settings, sock, peer, address_of(peer.host))
        self._carried = carried
        self._came = came
        self._went = went
        self._throttle = throttle
        self._client = Rfc2217Client()
        self._kept: list[bytes] = []  # of the line, as long as the far end takes nothing
        self._kept_size = 0
        self._wants_none = False
        self._inputs: ModemLines | None = None  # of the far end, once it has said so
        self._breaking = False
        self._timers: dict[str, asyncio.TimerHandle] = {}

    # The beginning and the end.

    def opened(self) -> None:
        tcp.keep_urgent_data(self.socket)
        self._client.begin(asyncio.get_running_loop().time())
        self._flush()
        self._await_options()

    def _join(self) -> None:
        super()._join()
        self.stream.hold(self)  # until the options are settled
        self.line.watch.add(self)
        self._came(self)

    def left(self) -> None:
        self.line.watch.remove(self)
        for timer in self._timers.values():
            timer.cancel()
        self._end_break()
        self._went()

    def _later(self, key: str, seconds: float, what: Callable[[], None]) -> None:
        """Do it so many seconds from now; a timer of the same key is forgotten."""
        if key in self._timers:
            self._timers[key].cancel()
        self._timers[key] = asyncio.get_running_loop().call_later(seconds, what)

    # From the far end.

    def data_received(self, data: bytes) -> None:
        if self._client.plain_in and 0xFF not in data:
            self.received += len(data)
            self.stream.write(self, data)
        else:
            self._hear(data)

    @contained
    def _hear(self, data: bytes) -> None:
        self._obey(self._client.feed(data))

    def _await_options(self) -> None:
        deadline = self._client.deadline()
        if deadline is not None:  # a timer may be early by the clock's resolution
            self._later("options", max(deadline - asyncio.get_running_loop().time(), 0.001), self._expire)

    @contained
    def _expire(self) -> None:
        self._obey(self._client.expire(asyncio.get_running_loop().time()))
        self._await_options()

    def _obey(self, events: list[rfc2217_client.Event]) -> None:
        self._flush()
        for event in events:
            if self.end is not None:
                return
            match event:
                case rfc2217_client.Received(data):
                    self.received += len(data)
                    self.stream.write(self, data)
                case rfc2217_client.Settled(com_port, binary):
                    self._settle(com_port=com_port, binary=binary)
                case rfc2217_client.InputsAre(lines):
                    self._inputs = lines
                    self._show_inputs()
                case rfc2217_client.BreakHeard():
                    self._begin_break()
                case rfc2217_client.BreakIs(on):
                    if on:
                        self._later("far break", self._carried.break_time, self._end_far_break)
                case rfc2217_client.Suspended(on):
                    self._wants_none = on
                    self._let_through()
                case rfc2217_client.Refused(what, asked, has):
                    self._warn("the far end does otherwise than asked", what=what, asked=asked, has=has)
                case rfc2217_client.Garbage(why):
                    self._warn("telnet garbage", reason=why)
                case rfc2217_client.LineIs() | rfc2217_client.Arrived():
                    pass  # not asked for
                case _:
                    assert_never(event)

    def _settle(self, *, com_port: bool, binary: bool) -> None:
        if not binary:  # bytes would not arrive as they are
            reason = "no binary transmission: trying again" if self._client.telnet else _RAW
            self._warn("the far end does not speak RFC 2217", reason=reason)
            self.finish(End.ERROR)
            return
        if not com_port:
            self._warn("the far end does not speak RFC 2217", reason="only bytes are carried")
        self._client.ask_states()
        self._push_settings()
        self._tell_inputs(self.line.modem_lines())
        self._let_through()
        if self._inputs is None:
            self._later("inputs", _INPUTS_WAIT if com_port else 0.0, self._assume_inputs)
        else:
            self._show_inputs()

    def _warn(self, message: str, **more: Hashable) -> None:
        key = (message, self.line.name, *more.values())
        if self._throttle.allow(key, asyncio.get_running_loop().time()) is not None:
            log.warning(message, extra={"port": self.line.name, "client": str(self.peer)} | more)

    # Modem lines, breaks and settings.

    def _push_settings(self) -> None:
        """Have the far end's line set to what ours is."""
        if self._carried.settings and self._client.settled:
            self._client.set_line(self.line.settings)
            self._flush()

    def _tell_inputs(self, inputs: ModemLines) -> None:
        """Have what comes in here go out there."""
        if self._carried.modem_lines and self._client.settled:
            flow = (self.line.settings.flow, self.line.settings.flow_in)
            if Flow.DSRDTR not in flow:
                self._client.set_dtr(on=bool(inputs & self._carried.dtr_from))
            if Flow.RTSCTS not in flow:
                self._client.set_rts(on=bool(inputs & ModemLines.CTS))
            self._flush()

    @contained
    def _show_inputs(self) -> None:
        """Have what comes in there go out here."""
        if self._carried.modem_lines and self._client.settled and self._inputs is not None:
            dtr, rts = bool(self._inputs & self._carried.dtr_from), bool(self._inputs & ModemLines.CTS)
            show_outputs(self.line, dtr=dtr, rts=rts, by=self)

    def _assume_inputs(self) -> None:
        if self._inputs is None:
            self._inputs = ModemLines.CTS | self._carried.dtr_from
            self._show_inputs()

    @contained
    def line_changed(self, change: Change) -> None:
        if change is Change.SETTINGS:
            self._push_settings()
            self._tell_inputs(self.line.modem_lines())  # flow control may have let go of some
            self._show_inputs()

    @contained
    def line_state(self, modem: ModemLines, errors: UartCounters) -> None:
        self._tell_inputs(modem)
        if errors.breaks and self._client.settled:
            self._client.set_break(on=True)
            self._later("far break", _BREAK_WAIT, self._end_far_break)
            self._flush()

    @contained
    def _end_far_break(self) -> None:
        self._client.set_break(on=False)
        self._flush()

    @contained
    def _begin_break(self) -> None:
        self._breaking = True
        self.line.set_break(True, by=self)
        self._later("break", self._carried.break_time, self._end_break)

    @contained
    def _end_break(self) -> None:
        if self._breaking:
            self._breaking = False
            self.line.set_break(False, by=self)

    @contained
    def line_up(self) -> None:
        super().line_up()
        self._tell_inputs(self.line.modem_lines())

    @contained
    def line_down(self) -> None:
        super().line_down()
        self._tell_inputs(self.line.modem_lines())

    # To the far end.

    def line_data(self, data: bytes) -> None:
        try:
            self.sent += len(data)
            if self.suspended:
                self._kept.append(data)
                self._kept_size += len(data)
                self.weigh(self.waiting())
                return
            self._write(data)
            if self._held:
                self.weigh(self.waiting())
        except Exception as error:
            self.fail(error)

    def _write(self, data: bytes) -> None:
        if not self._client.plain_out or 0xFF in data:
            data = self._client.encode(data)
        self.to_client(data)

    def _flush(self) -> None:
        output = self._client.take_output()
        if output and not self.transport.is_closing():
            self.transport.write(output)

    @property
    def suspended(self) -> bool:
        """Whether the far end takes nothing for now, or not yet."""
        return self._wants_none or not self._client.settled

    def waiting(self) -> int:
        return super().waiting() + self._kept_size

    def _let_through(self) -> None:
        if self.suspended:
            self.stream.hold(self)
            return
        kept, self._kept, self._kept_size = self._kept, [], 0
        for data in kept:
            self._write(data)
        if not self._held:
            self.stream.release(self)
