"""Reverse telnet: a person's telnet program on a device's console port, as an NPort's mode of that name.

A plain network virtual terminal (RFC 854): no BINARY, no RFC 2217. For programs there are raw.py and rfc2217.py.
"""

import asyncio
import logging
import re
from collections import deque
from typing import assert_never

from nportpy.modes.reverse_telnet_base import Enter, LineEnds, ReverseTelnetSettings
from nportpy.modes.session import Session
from nportpy.network import tcp
from nportpy.network.connection import Stop, contained
from nportpy.network.service import Direction
from nportpy.protocols import telnet
from nportpy.protocols.telnet import Code, Option

_STUCK = 1.0  # a line that takes nothing for so long (flow control) does not hold a break back any longer
_CR, _IAC = 0x0D, 0xFF  # as numbers: looking for them in bytes is ten times faster
_ENTER = re.compile(rb"\r\n?")

log = logging.getLogger(__name__)


_SENT_FOR = {Enter.CR: b"\r", Enter.LF: b"\n", Enter.CRLF: b"\r\n"}


class ReverseTelnetSession(Session):
    """A telnet client."""

    settings: ReverseTelnetSettings

    def opened(self) -> None:
        tcp.keep_urgent_data(self.socket)
        us = {Option.SUPPRESS_GO_AHEAD} | ({Option.ECHO} if self.settings.echo else set())
        self._codec = telnet.TelnetCodec(us=frozenset(us), them=frozenset({Option.SUPPRESS_GO_AHEAD}))
        for option in sorted(us):
            self._codec.ask_us(option)
        self._enter = _SENT_FOR.get(self.settings.enter)
        self._after_cr = False
        self._queue: deque[telnet.Event] = deque()  # what waits for a break to be over
        self._busy = False  # with a break
        self._garbage = False
        self.transport.write(self._codec.take_output())

    # From the client.

    def data_received(self, data: bytes) -> None:
        self._take(data)

    @contained
    def _take(self, data: bytes) -> None:
        self._queue.extend(self._codec.feed(data))
        self._answer(self._codec.take_output())
        if not self._busy:
            self._work()

    @contained
    def _work(self) -> None:
        asked = False
        while self._queue:
            event = self._queue.popleft()
            match event:
                case telnet.Data(piece):
                    self._send(piece)
                case telnet.Break() if self.settings.direction is Direction.TO_NETWORK or self.line.breaking:
                    pass
                case telnet.Break():
                    self._busy = True
                    self.stop(Stop.BUSY)
                    self._begin_break(self.line.unsent(), asyncio.get_running_loop().time())
                    return
                case telnet.Command(Code.AYT):
                    if not asked:  # one answer for a row of questions
                        asked = True
                        self._answer(f"\r\n[{self.line.name}: {self.line.settings}, {self.line.state}]\r\n".encode())
                case telnet.Malformed(reason):
                    self._tell_of_garbage(reason)
                case telnet.Negotiated() | telnet.Subnegotiation() | telnet.Command():
                    pass
                case _:
                    assert_never(event)

    def _send(self, data: bytes) -> None:
        if self._enter is not None:
            if self._after_cr and data.startswith(b"\n"):
                data = data[1:]
            self._after_cr = data.endswith(b"\r")
            if _CR in data:
                data = _ENTER.sub(self._enter, data)
        if data:
            self.received += len(data)
            self.to_line(self, data)

    def _answer(self, data: bytes) -> None:
        if data and not self.transport.is_closing():
            self.transport.write(data)
            if self._held and self.waiting() > self.settings.allowance:
                self.stop(Stop.UNREAD)  # it asks and asks, and does not fetch the answers

    def resume_writing(self) -> None:
        super().resume_writing()
        self.go(Stop.UNREAD)

    def _tell_of_garbage(self, reason: str) -> None:
        """One line for all that a client sends of it."""
        if not self._garbage:
            self._garbage = True
            log.info("telnet garbage", extra={"port": self.name, "client": str(self.peer), "reason": reason})

    # Breaks. What came before has left the UART by then, and what comes behind waits: it would be lost in the break.

    @contained
    def _begin_break(self, unsent: int, since: float) -> None:
        """Begin it, if the line has taken all, or none since then."""
        loop = asyncio.get_running_loop()
        now = self.line.unsent()
        if now != unsent:
            since = loop.time()
        if self.line.all_sent() or loop.time() - since > _STUCK:
            self.line.set_break(True, by=self)
            loop.call_later(self.settings.break_time, self._end_break)
        else:
            loop.call_later(self.line.time_to_send(), self._begin_break, now, since)

    @contained
    def _end_break(self) -> None:
        self.line.set_break(False, by=self)
        self._busy = False
        while self._queue and isinstance(self._queue[0], telnet.Break):  # a key that is kept down is one break
            self._queue.popleft()
        self._work()
        if not self._busy:
            self.go(Stop.BUSY)

    def accepted(self) -> int:
        return len(self._queue)

    # To the client.

    def line_data(self, data: bytes) -> None:
        try:
            self.sent += len(data)
            if _IAC in data or _CR in data:
                data = self._encode(data)
            self.to_client(data)
            if self._held:
                self.weigh(self.waiting())
        except Exception as error:
            self.fail(error)

    def _encode(self, data: bytes) -> bytes:
        if self.settings.line_ends is LineEnds.NVT:
            return self._codec.encode(data)
        return data.replace(b"\xff", b"\xff\xff")
