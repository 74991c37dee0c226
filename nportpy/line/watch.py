"""Watches modem lines and error counters while somebody asked for them, and at no other time.

The driver is asked every 50 ms, or every second where a tap alone wants it for later: TIOCMIWAIT would need a thread
for each line, and several USB drivers lack it. At 50 ms a change is told within 100 ms; a pulse shorter than that may
go unseen.
"""

import asyncio
from typing import Protocol

from nportpy.linesettings import ModemLines, UartCounters

INTERVAL = 0.05


class Watcher(Protocol):
    """Who is told."""

    def line_state(self, modem: ModemLines, errors: UartCounters) -> None:
        """The modem lines now, and the errors since the last time."""


class Watched(Protocol):
    """What can be watched."""

    def modem_lines(self) -> ModemLines:
        """The modem lines now."""

    def counters(self) -> UartCounters:
        """The error counters now."""

    def watchable(self) -> bool:
        """Whether looking can tell anything: the line is up and its driver knows modem lines or errors."""


class Watch:
    """Tells those who asked when something changed."""

    def __init__(self, line: Watched) -> None:
        """Nobody watches at first."""
        self._line = line
        self._clients: dict[Watcher, float] = {}  # and how often each wants to know, in seconds
        self._timer: asyncio.TimerHandle | None = None
        self._modem = ModemLines(0)
        self._counters = UartCounters()

    def add(self, client: Watcher, interval: float = INTERVAL) -> None:
        """Tell `client` of changes from now on, or from now on at another interval."""
        if self._clients.get(client) != interval:
            self._clients[client] = interval
            if self._timer is None:
                self.restart()
            elif interval == min(self._clients.values()):
                self._timer.cancel()
                self._arm()

    def remove(self, client: Watcher) -> None:
        """Tell it no longer."""
        if client in self._clients:
            del self._clients[client]
            if not self._clients:
                self._stop()

    def restart(self) -> None:
        """The line came or went: begin from what it shows now."""
        self._stop()
        if self._clients and self._line.watchable():
            self._modem, self._counters = self._line.modem_lines(), self._line.counters()
            self._arm()

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(min(self._clients.values()), self._look)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if not self._line.watchable():
            return
        modem, counters = self._line.modem_lines(), self._line.counters()
        errors = counters.since(self._counters)
        if modem != self._modem or errors != _NONE:
            self._modem, self._counters = modem, counters
            for client in tuple(self._clients):
                client.line_state(modem, errors)
        if self._clients and self._timer is None:
            self._arm()


_NONE = UartCounters()
