"""The stream discipline: many listen, writes go out whole and in order of arrival.

Back-pressure. From the line: a client that cannot take more says `hold`. If it is alone, the line is no longer
read, so that flow control or the kernel's buffer holds the device back and nothing is lost; if it is not alone,
the line goes on for the others and the client's own allowance counts (modes/base.py drops it when that is full).
Towards the line: while the port's buffer is full, each client that writes is told to stop, and all are told when
there is room again.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Protocol

from nportpy.linesettings import ModemLines, UartCounters


class IdleLevels(StrEnum):
    """What DTR and RTS are while no client is there."""

    KEEP = "keep"  # as they are
    HIGH = "high"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How streams share a line.

    Attributes:
        flush_on_first: throw away what the kernel holds when the first client comes. Otherwise the line is not
            read while nobody listens, so that the first client gets what the kernel (4 KiB) could keep.
        linger: seconds that unsent bytes of clients that have gone may wait for a line that takes none of them
            (flow control) before they are purged. A line that is merely slow gets all of them.
        buffer: bytes of the line that are kept in memory while no client listens, the newest, for the first that comes;
            0: none. Then nothing is flushed, and the line is always read.
        idle_levels: what DTR and RTS are while no client is there. Unless they are kept as they are, both go up with
            the first one that comes; those that flow control moves are left to it.
    """

    flush_on_first: bool = True
    linger: float = 3.0
    buffer: int = 0
    idle_levels: IdleLevels = IdleLevels.KEEP


class Change(Enum):
    """What changed at a line other than its bytes."""

    SETTINGS = auto()  # speed, format or flow control
    CONTROL = auto()  # break, DTR or RTS
    CONTROLLER = auto()  # who may change all that


class StreamClient(Protocol):
    """Somebody who listens to a line and may write to it. Called from the event loop; must not raise."""

    def line_data(self, data: bytes) -> None:
        """Bytes came from the line."""

    def line_full(self) -> None:
        """What was just written is accepted, but do not write more for now."""

    def line_ready(self) -> None:
        """Write again."""

    def line_up(self) -> None:
        """The device is there again."""

    def line_down(self) -> None:
        """The device has gone."""

    def line_changed(self, change: Change) -> None:
        """Somebody else changed the line's settings."""

    def line_state(self, modem: ModemLines, errors: UartCounters) -> None:
        """Modem lines now, and what went wrong on the line since the last call; only for those who watch."""


class Wire(Protocol):
    """What the stream needs from the line that owns the wire."""

    @property
    def up(self) -> bool:
        """Whether the device is there."""

    def put(self, data: bytes) -> None:
        """Send `data`."""

    def hold_reading(self, hold: bool) -> None:
        """Stop reading the device, or read it again."""

    def flush_received(self) -> None:
        """Throw away what the kernel has received."""

    def unsent(self) -> int:
        """Bytes that wait to be sent."""

    def purge_unsent(self) -> None:
        """Throw those away."""


class Stream:
    """The clients of one line.

    Attributes:
        clients: who listens, in order of arrival.
        unheard: bytes that came while nobody listened.
    """

    def __init__(self, wire: Wire, settings: StreamSettings) -> None:
        """Without clients at first."""
        self.clients: list[StreamClient] = []
        self.unheard = 0
        self._wire = wire
        self._put: Callable[[bytes], None] = wire.put
        self._shared = False  # with requests (transaction.py): the line is always read
        self._settings = settings
        self._held: set[StreamClient] = set()
        self._told_to_stop: list[StreamClient] = []
        self._full = False
        self._waits = False  # for a request on the line
        self._linger: asyncio.TimerHandle | None = None

    @property
    def alone(self) -> bool:
        """Whether there is only one client: then the line itself waits for it."""
        return len(self.clients) == 1 and not self._shared

    def share(self, put: Callable[[bytes], None]) -> None:
        """Requests use the line too. What is written goes through `put`, and the line never waits for a client."""
        self._put = put
        self._shared = True
        self._weigh()

    def join(self, client: StreamClient) -> None:
        """Listen from now on."""
        if not self.clients and self._settings.flush_on_first and not self._shared:
            self._wire.flush_received()
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        self.clients.append(client)
        self._weigh()

    def leave(self, client: StreamClient) -> None:
        """Listen no longer. What was written goes out, as `linger` allows if nobody else is there."""
        self.clients.remove(client)
        self._held.discard(client)
        if client in self._told_to_stop:
            self._told_to_stop.remove(client)
        self._weigh()
        if not self.clients and self._wire.unsent():
            if self._wire.up:
                self._wait_for_line()
            else:
                self._wire.purge_unsent()

    def deliver(self, data: bytes) -> None:
        """Bytes from the line, for everybody."""
        clients = self.clients
        if len(clients) == 1:
            clients[0].line_data(data)
        elif clients:
            for client in tuple(clients):
                client.line_data(data)
        else:
            self.unheard += len(data)

    def write(self, client: StreamClient, data: bytes) -> None:
        """Send `data` whole, after all that was written before."""
        self._put(data)
        if (self._full or self._waits) and client not in self._told_to_stop:
            self._told_to_stop.append(client)
            client.line_full()

    def hold(self, client: StreamClient) -> None:
        """The client cannot take more. One that has left says so in vain."""
        if client in self.clients:
            self._held.add(client)
            self._weigh()

    def release(self, client: StreamClient) -> None:
        """The client can take more again."""
        self._held.discard(client)
        self._weigh()

    def wire_full(self) -> None:
        """The port's buffer is full."""
        self._full = True

    def wire_ready(self) -> None:
        """The port's buffer has room."""
        self._full = False
        self._go_on()

    def wait_for_turn(self) -> None:
        """What was just written is kept until a request is through with the line."""
        self._waits = True

    def turn_came(self) -> None:
        """It has been sent."""
        self._waits = False
        self._go_on()

    def _go_on(self) -> None:
        if self._full or self._waits:
            return
        told, self._told_to_stop = self._told_to_stop, []
        for client in told:
            client.line_ready()

    def wire_up(self) -> None:
        """The device is there."""
        self._weigh()
        for client in tuple(self.clients):
            client.line_up()

    def wire_down(self) -> None:
        """The device has gone, and what waited in its buffer with it."""
        for client in tuple(self.clients):
            client.line_down()
        self.wire_ready()

    def changed(self, change: Change, by: StreamClient | None) -> None:
        """Tell everybody but `by` of a change."""
        for client in tuple(self.clients):
            if client is not by:
                client.line_changed(change)

    def _weigh(self) -> None:
        """Read the line, or leave it to flow control."""
        if self._shared:
            self._wire.hold_reading(False)
        elif self.clients:
            self._wire.hold_reading(len(self.clients) == 1 and self.clients[0] in self._held)
        else:
            self._wire.hold_reading(not self._settings.flush_on_first)

    def _wait_for_line(self) -> None:
        unsent = self._wire.unsent()
        loop = asyncio.get_running_loop()
        self._linger = loop.call_later(self._settings.linger, self._look_at_line, unsent)

    def _look_at_line(self, before: int) -> None:
        self._linger = None
        now = self._wire.unsent()
        if 0 < now < before:
            self._wait_for_line()
        elif now:
            self._wire.purge_unsent()
