"""Simulated lines on pseudo-terminals, for programs that open a device.

A pseudo-terminal has no wire time of its own; the wire brings it. select(2) waits with microseconds, where poll and
epoll of Python round to milliseconds. Where characters take no time, that is enough, and poll costs less.
"""

import math
import os
import select
import time
import tty
from collections.abc import Mapping, Sequence
from contextlib import suppress

from nportpy.simulator.wire import Wire

LATENESS = 0.0001
"""What a process commonly wakes late, in seconds (timer slack and scheduling). The wait for a deadline ends so much
earlier, and what is then left of it is spent looking at the clock."""


class TerminalLine:
    """One line: the gateway opens `path`, the wire is at the other end.

    The gateway's end is kept open here as well, so that the line survives the gateway's closing it. Where the
    gateway does not read, the line waits: nothing is lost, as with hardware flow control.

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
        return not self._unsent and self._wire.room(now) > 0, bool(self._unsent), self._wire.deadline()

    def run(self, now: float, readable: bool) -> None:
        """Let the wire take what the gateway sent, and the gateway have what arrived."""
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

    def counts(self) -> Mapping[str, float | None]:
        """What the wire and its device have counted, by name."""
        return self._wire.counts()


def run_lines(lines: Sequence[TerminalLine], stop: int) -> None:
    """Run lines until the descriptor `stop` is readable or at its end."""
    by_descriptor = {line.master: line for line in lines}
    readable: list[int] = []
    while stop not in readable:
        now = time.monotonic()
        readers, writers, until = [stop], [], float("inf")
        for descriptor, line in by_descriptor.items():
            line.run(now, descriptor in readable)
            reads, writes, deadline = line.wants(now)
            if reads:
                readers.append(descriptor)
            if writes:
                writers.append(descriptor)
            until = until if deadline is None else min(until, deadline)
        timeout = None if until == float("inf") else max(0.0, until - time.monotonic() - LATENESS)
        readable = select.select(readers, writers, [], timeout)[0]
        while not readable and 0 < until - time.monotonic() <= LATENESS:
            pass


def run_unpaced_lines(lines: Sequence[TerminalLine], stop: int) -> None:
    """Run lines without wire time until the descriptor `stop` is readable or at its end.

    Only a line on which something happened is looked at; deadlines are met to the millisecond.
    """
    by_descriptor = {line.master: line for line in lines}
    poller = select.poll()
    poller.register(stop, select.POLLIN)
    waits = dict.fromkeys(by_descriptor, select.POLLIN)
    for descriptor, events in waits.items():
        poller.register(descriptor, events)
    deadlines: dict[int, float] = {}
    now = time.monotonic()
    while True:
        timeout = max(0, math.ceil((min(deadlines.values()) - now) * 1000)) if deadlines else None
        ready = poller.poll(timeout)
        now = time.monotonic()
        if not ready:
            ready = [(descriptor, 0) for descriptor, deadline in deadlines.items() if deadline <= now]
        for descriptor, happened in ready:
            if descriptor == stop:
                return
            line = by_descriptor[descriptor]
            line.run(now, bool(happened & select.POLLIN))
            reads, writes, deadline = line.wants(now)
            events = (select.POLLIN if reads else 0) | (select.POLLOUT if writes else 0)
            if events != waits[descriptor]:
                waits[descriptor] = events
                poller.modify(descriptor, events)
            if deadline is None:
                deadlines.pop(descriptor, None)
            else:
                deadlines[descriptor] = deadline
