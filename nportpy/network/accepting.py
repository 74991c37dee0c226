"""Accepting connections: some each time the loop wakes up, and a rest where descriptors or memory have run out."""

import asyncio
import socket
from collections.abc import Callable, Iterable
from typing import Any, Final

_PER_WAKE_UP: Final = 64
_PAUSE: Final = 1.0  # after running out of descriptors


class Accepting:
    """Accepts on sockets that listen already, from `begin` to `end`."""

    def __init__(self, came: Callable[[socket.socket, Any], None], failed: Callable[[OSError], None]) -> None:
        """Nothing is accepted yet.

        Args:
            came: takes a connection and the address that it came from, as `accept` names it.
            failed: hears why none can be accepted for a moment.
        """
        self._came = came
        self._failed = failed
        self._on = False
        self._sockets: list[socket.socket] = []

    def begin(self, sockets: Iterable[socket.socket]) -> None:
        """Accept on these."""
        self._on = True
        for sock in sockets:
            self.add(sock)

    def add(self, sock: socket.socket) -> None:
        """Accept there, too, if at all."""
        if self._on:
            self._sockets.append(sock)
            asyncio.get_running_loop().add_reader(sock.fileno(), self._accept, sock)

    def end(self) -> None:
        """Accept no more. The sockets stay."""
        self._on = False
        while self._sockets:
            asyncio.get_running_loop().remove_reader(self._sockets.pop().fileno())

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_PER_WAKE_UP):
            try:
                sock, name = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._rest(listening, error)
                return
            self._came(sock, name)

    def _rest(self, listening: socket.socket, error: OSError) -> None:
        """Out of descriptors or memory: whoever listens outlives it, and does not spin meanwhile."""
        loop = asyncio.get_running_loop()
        self._failed(error)
        loop.remove_reader(listening.fileno())

        def again() -> None:
            if self._on:
                loop.add_reader(listening.fileno(), self._accept, listening)

        loop.call_later(_PAUSE, again)
