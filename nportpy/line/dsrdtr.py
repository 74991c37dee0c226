"""DTR/DSR flow control, done here because no Linux driver does it.

Towards the device: bytes go to the driver in slices of some 10 ms while DSR is up, so that a falling DSR is
followed within about 15 ms, the slice in the UART included. DSR is looked at every 5 ms while something waits,
and never otherwise. From the device: DTR falls while nobody reads.
"""

import asyncio
from collections.abc import Callable

from nportpy.line.port import Port, PortReceiver
from nportpy.linesettings import ModemLines

_SLICE = 0.010
_LOOK = 0.005
_HIGH_WATER = 64 * 1024
_LOW_WATER = 16 * 1024


class DsrGate:
    """Lets bytes through to `put` while the far end's DSR is up."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, port: Port, put: Callable[[bytes], None], receiver: PortReceiver
    ) -> None:
        """`receiver` is told when too much waits."""
        self._loop = loop
        self._port = port
        self._put = put
        self._receiver = receiver
        self._waiting = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._full = False

    @property
    def waiting(self) -> int:
        """Bytes that wait for DSR or for the slice before them."""
        return len(self._waiting)

    def write(self, data: bytes) -> None:
        """Send `data` when DSR lets it."""
        self._waiting += data
        if self._timer is None:
            self._look()
        if not self._full and len(self._waiting) > _HIGH_WATER:
            self._full = True
            self._receiver.pause_writing()

    def clear(self) -> None:
        """Throw away what waits."""
        self._waiting.clear()
        self._relieve()

    def hold_far_end(self) -> None:
        """Drop DTR: we cannot take more."""
        self._port.set_modem_lines(dtr=False)

    def release_far_end(self) -> None:
        """Raise DTR again."""
        self._port.set_modem_lines(dtr=True)

    def close(self) -> None:
        """Stop looking. What waits goes to the driver, as it does without flow control."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            self._put(bytes(self._waiting))
            self._waiting.clear()
        self._relieve()

    def _look(self) -> None:
        self._timer = None
        lines = self._port.modem_lines()
        if lines is None or lines & ModemLines.DSR:
            size = max(1, int(_SLICE / self._port.settings.character_time))
            queued = self._port.unsent() - len(self._waiting)
            room = size - queued
            if room > 0:
                self._put(bytes(self._waiting[:room]))
                del self._waiting[:room]
                self._relieve()
        if self._waiting:
            self._timer = self._loop.call_later(_LOOK, self._look)

    def _relieve(self) -> None:
        if self._full and len(self._waiting) <= _LOW_WATER:
            self._full = False
            self._receiver.resume_writing()
