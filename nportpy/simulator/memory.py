"""A simulated line on an asyncio loop: it holds the far end of two ports that are joined in memory.

On a loop with virtual time everything arrives at its exact time; on a real one within what the loop's timers do.
"""

import asyncio
from typing import Protocol

from nportpy.errors import LineError
from nportpy.simulator.wire import Wire


class FarEnd(Protocol):
    """What a line needs of the port that it answers through; see nportpy/port/base.py."""

    def write(self, data: bytes) -> None:
        """Send `data` to the gateway."""

    def pause_reading(self) -> None:
        """Deliver nothing until `resume_reading`."""

    def resume_reading(self) -> None:
        """Undo `pause_reading`."""


class MemoryLine:
    """A `PortReceiver` that lets a wire answer.

    Open the far end's port with it as the receiver, then `attach` the port. Where the gateway does not read, the
    line waits: nothing is lost, as with hardware flow control.
    """

    def __init__(self, wire: Wire) -> None:
        """A line that is `wire`."""
        self._wire = wire
        self._port: FarEnd | None = None
        self._backlog = bytearray()  # from the gateway, not yet on the wire; bounded by pausing the port
        self._held = False  # the gateway does not read
        self._timer: asyncio.TimerHandle | None = None
        self._now = 0.0

    def attach(self, port: FarEnd) -> None:
        """Answer through `port`. Nothing may have arrived before."""
        self._port = port

    def close(self) -> None:
        """Answer no more. The port is its opener's to close."""
        self._port = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def data_received(self, data: bytes) -> None:
        """The gateway sent something."""
        self._backlog += data
        self._run(asyncio.get_running_loop().time())

    def pause_writing(self) -> None:
        """The gateway does not read: take nothing from it either."""
        self._held = True

    def resume_writing(self) -> None:
        """The gateway reads again."""
        self._held = False
        self._run(asyncio.get_running_loop().time())

    def port_lost(self, error: LineError) -> None:  # noqa: ARG002 - the reason is nothing to a wire
        """The port is gone."""
        self.close()

    def _run(self, now: float) -> None:
        if self._port is None:
            return
        # A timer may fire a rounding error early; it counts as having fired on time, and time never goes back.
        self._now = now = max(now, self._now)
        while self._backlog and not self._held and (room := self._wire.room(now)):
            self._wire.send(bytes(self._backlog[:room]), now)
            del self._backlog[:room]
        arrived = self._wire.receive(now)
        if self._backlog:
            self._port.pause_reading()
        else:
            self._port.resume_reading()
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._wire.deadline()
        self._timer = asyncio.get_running_loop().call_at(deadline, self._run, deadline) if deadline else None
        if arrived:
            self._port.write(arrived)
