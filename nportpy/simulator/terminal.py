"""Simulated lines on pseudo-terminals, for programs that open a device.

A pseudo-terminal has no wire time of its own; the wire brings it. select(2) waits with microseconds, where poll and
epoll of Python round to milliseconds.
"""

import os
import select
import signal
import termios
import time
import tty
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from nportpy.simulator.unpaced import UNPACED_CAPACITY
from nportpy.simulator.wire import PacedWire, Wire

LATENESS = 0.0001
"""What a process commonly wakes late, in seconds (timer slack and scheduling). The wait for a deadline ends so much
earlier, and what is then left of it is spent looking at the clock."""

FOLLOW = 0.005
"""Seconds between two looks at the speed that a gateway has set, while something is under way: a meter answers 20 ms
after it has chosen another one at the earliest."""

LOOK = 0.1
"""Seconds between two looks at whether a line without wire time shall end."""

_SPEEDS = {
    getattr(termios, f"B{speed}"): speed
    for speed in (300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400)
}


class RunningLine(Protocol):
    """A line that has a descriptor to wait for.

    Attributes:
        path: what to open.
    """

    path: str

    @property
    def master(self) -> int:
        """That: it may be another one after each `run`."""

    def wants(self, now: float) -> tuple[bool, bool, float | None]:
        """What to wait for: readable, writable, and until when."""

    def run(self, now: float, readable: bool) -> None:
        """Let happen what is due."""

    def close(self) -> None:
        """Give back what is open."""


class TerminalLine:
    """One line: the gateway opens `path`, the wire is at the other end.

    The gateway's end is kept open here as well, so that the line survives the gateway's closing it. Where the
    gateway does not read, the line waits: nothing is lost, as with hardware flow control.

    A pseudo-terminal knows the speed that the gateway has set, and no format: that stays what it is on the wire.

    Attributes:
        path: the device to open: the link, or the pseudo-terminal itself.
    """

    def __init__(self, wire: Wire, link: str = "") -> None:
        """Open a pseudo-terminal.

        Args:
            wire: what is behind it.
            link: a symbolic link to make to it; one that is there already is replaced, anything else is not.

        Raises:
            OSError: there are no more pseudo-terminals, or the link cannot be made.
        """
        self._wire = wire
        self._tuned = wire if isinstance(wire, PacedWire) and wire.settings else None
        self._link = link
        self._unsent = b""  # to the gateway; bounded, as nothing is taken from it meanwhile
        self.master, self._slave = os.openpty()
        try:
            tty.setraw(self._slave)  # no echo by the terminal before somebody opens it
            os.set_blocking(self.master, False)
            self.path = os.ttyname(self._slave)
            if link:
                if os.path.islink(link):
                    os.unlink(link)
                os.symlink(self.path, link)
                self.path = link
        except OSError:
            self._close_terminal()
            raise

    def close(self) -> None:
        """Close the pseudo-terminal and take the link away."""
        if self._link:
            with suppress(FileNotFoundError):
                os.unlink(self._link)
        self._close_terminal()

    def _close_terminal(self) -> None:
        os.close(self._slave)
        os.close(self.master)

    def wants(self, now: float) -> tuple[bool, bool, float | None]:
        """What to wait for: readable, writable, and until when."""
        deadline = self._wire.deadline()
        if self._tuned is not None and deadline is not None:
            deadline = min(deadline, now + FOLLOW)
        return not self._unsent and self._wire.room(now) > 0, bool(self._unsent), deadline

    def run(self, now: float, readable: bool) -> None:
        """Let the wire take what the gateway sent, and the gateway have what arrived."""
        if self._tuned is not None:
            self._follow(self._tuned, now)
        if readable and (room := self._wire.room(now)):
            self._wire.send(os.read(self.master, room), now)
        unsent = self._wire.receive(now)
        if self._unsent:
            unsent = self._unsent + unsent
        if unsent:
            try:  # noqa: SIM105 - cheaper than a context manager, and this is the way of every answer
                unsent = unsent[os.write(self.master, unsent) :]
            except BlockingIOError:
                pass
            self._unsent = unsent

    def _follow(self, wire: PacedWire, now: float) -> None:
        """Set the wire to the speed that the gateway has set its end to."""
        speed = _SPEEDS.get(termios.tcgetattr(self.master)[5])
        settings = wire.settings
        if speed and settings and speed != settings.baudrate:
            wire.configure(replace(settings, baudrate=speed), now)

    def exchange(self, data: bytes, now: float) -> bool:
        """`run` with what was read, on a wire without time and with nothing unsent; whether nothing waits then."""
        wire = self._wire
        wire.send(data, now)
        answer = wire.receive(now)
        if answer:
            sent = os.write(self.master, answer)
            if sent < len(answer):
                self._unsent = answer[sent:]
                return False
        return wire.deadline() is None

    def counts(self) -> Mapping[str, float | None]:
        """What the wire and its device have counted, by name."""
        return self._wire.counts()


def run_lines(lines: Sequence[RunningLine], stop: int) -> None:
    """Run lines until the descriptor `stop` is readable or at its end."""
    readable: list[int] = []
    while stop not in readable:
        now = time.monotonic()
        readers, writers, until = [stop], [], float("inf")
        for line in lines:
            line.run(now, line.master in readable)
            reads, writes, deadline = line.wants(now)
            descriptor = line.master
            if reads:
                readers.append(descriptor)
            if writes:
                writers.append(descriptor)
            until = until if deadline is None else min(until, deadline)
        timeout = None if until == float("inf") else max(0.0, until - time.monotonic() - LATENESS)
        readable = select.select(readers, writers, [], timeout)[0]
        while not readable and 0 < until - time.monotonic() <= LATENESS:
            pass


class _StoppedError(Exception):
    """The descriptor that ends everything has been seen."""


def run_unpaced_line(line: TerminalLine, stop: int) -> None:
    """Run one line without wire time until the descriptor `stop` is readable or at its end, at the least cost.

    It waits in the read itself. A timer's signal interrupts that now and then to look at `stop`, and to let the
    handlers run of signals that came just before the wait began.
    """

    def look(*_: object) -> None:
        if select.select([stop], [], [], 0)[0]:
            raise _StoppedError

    os.set_blocking(line.master, True)
    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, LOOK, LOOK)
    read, master, monotonic, exchange = os.read, line.master, time.monotonic, line.exchange
    try:
        while True:
            if not exchange(read(master, UNPACED_CAPACITY), monotonic()):
                _settle(line)
    except _StoppedError:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _settle(line: TerminalLine) -> None:
    """Run a line until nothing waits on it but the next request."""
    while True:
        now = time.monotonic()
        reads, writes, deadline = line.wants(now)
        if reads and deadline is None:
            return
        timeout = None if deadline is None else max(0.0, deadline - now)
        readable = select.select([line.master] * reads, [line.master] * writes, [], timeout)[0]
        line.run(time.monotonic(), bool(readable))
