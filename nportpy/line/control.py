"""Who controls a line, and how its configured settings come back when nobody does any more."""

import asyncio
from typing import Protocol

from nportpy.line.stream import Change, Stream, StreamClient
from nportpy.linesettings import LineSettings


class Controlled(Protocol):
    """What is controlled: a line."""

    @property
    def settings(self) -> LineSettings:
        """In effect."""

    @property
    def stream(self) -> Stream:
        """Whose clients are told who controls."""

    @property
    def linger(self) -> float:
        """Seconds that a line which takes nothing holds up what clients have left behind."""

    def configure(self, wish: LineSettings) -> LineSettings:
        """Change the settings."""

    def set_break(self, on: bool) -> None:
        """Start or end a break."""

    def unsent(self) -> int:
        """Bytes that wait to be sent."""

    def all_sent(self) -> bool:
        """Whether the line may be changed."""

    def time_to_send(self) -> float:
        """Seconds after which it is worth looking again."""


class Control:
    """The clients that would control a line, in order of arrival: the first one does."""

    def __init__(self, line: Controlled, configured: LineSettings) -> None:
        """Nobody at first; the line is as it is `configured`."""
        self._line = line
        self._configured = configured
        self._controllers: list[StreamClient] = []
        self._listening_on: set[StreamClient] = set()  # asked for the settings in effect, and will ask no more
        self._restoring: asyncio.TimerHandle | None = None

    def enter(self, client: StreamClient) -> None:
        """Stand in line for control of the settings."""
        self._controllers.append(client)

    def give_way(self, client: StreamClient) -> None:
        """Let the next one control the line, but keep it as it is: this client asks no more and still listens."""
        if client in self._controllers:
            self._stand_back(client)
            self._listening_on.add(client)

    def leave(self, client: StreamClient) -> None:
        """Give control up. When nobody is left, the line goes back to what the configuration says."""
        if client in self._controllers:
            self._stand_back(client)
        elif client in self._listening_on:
            self._listening_on.remove(client)
        else:
            return
        if not self._controllers and not self._listening_on:
            self._line.set_break(False)
            self._restore(self._line.unsent(), asyncio.get_running_loop().time())

    def belongs_to(self, client: StreamClient) -> bool:
        """Whether the client came first of those who would control the line."""
        return bool(self._controllers) and self._controllers[0] is client

    def _stand_back(self, client: StreamClient) -> None:
        first = self._controllers[0] is client
        self._controllers.remove(client)
        if first and self._controllers:
            self._line.stream.changed(Change.CONTROLLER, client)

    def _restore(self, unsent: int, since: float) -> None:
        """Put the configured settings back once the last client's bytes have left at its own, or do not move.

        `unsent` bytes have been waiting since `since`.
        """
        if self._restoring is not None:
            self._restoring.cancel()
            self._restoring = None
        line = self._line
        if self._controllers or self._listening_on or line.settings == self._configured:
            return
        loop = asyncio.get_running_loop()
        if line.unsent() != unsent:
            unsent, since = line.unsent(), loop.time()
        if line.all_sent() or loop.time() - since >= line.linger:
            line.configure(self._configured)
        else:
            self._restoring = loop.call_later(line.time_to_send(), self._restore, unsent, since)
