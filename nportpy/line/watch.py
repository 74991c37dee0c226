"""Watches modem lines and error counters while somebody asked for them, and at no other time.

The driver is asked every 50 ms: TIOCMIWAIT would need a thread for each line, and several USB drivers lack it.
A change is thus told within 100 ms; a pulse shorter than 50 ms may go unseen.
"""

import asyncio
from typing import Protocol

from nportpy.line.stream import StreamClient
from nportpy.linesettings import ModemLines, UartCounters

INTERVAL = 0.05


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
        self._clients: list[StreamClient] = []
        self._timer: asyncio.TimerHandle | None = None
        self._modem = ModemLines(0)
        self._counters = UartCounters()

    def add(self, client: StreamClient) -> None:
        """Tell `client` of changes from now on."""
        if client not in self._clients:
            self._clients.append(client)
            if self._timer is None:
                self.restart()

    def remove(self, client: StreamClient) -> None:
        """Tell it no longer."""
        if client in self._clients:
            self._clients.remove(client)
            if not self._clients:
                self._stop()

    def restart(self) -> None:
        """The line came or went: begin from what it shows now."""
        self._stop()
        if self._clients and self._line.watchable():
            self._modem, self._counters = self._line.modem_lines(), self._line.counters()
            self._arm()

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._look)

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
