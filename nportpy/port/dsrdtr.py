"""DTR/DSR flow control, done here because no Linux driver does it.

Towards the device: while DSR is up, the driver gets no more than the wire carries in 10 ms. DSR is looked at every
5 ms while something waits, and never otherwise, so a falling DSR is followed within 15 ms. The driver's queue alone
would not tell how much is on its way: what has moved on into the UART's own buffer (64 bytes in many) is not
counted there, so the time that the bytes take on the wire is. From the device: DTR falls while nobody reads.
"""

import asyncio
from collections.abc import Callable

from nportpy.linesettings import ModemLines
from nportpy.port.base import Port

_SLICE = 0.010
_LOOK = 0.005
_HIGH_WATER = 64 * 1024
_LOW_WATER = 16 * 1024


class DsrGate:
    """Lets bytes through to `put` while the far end's DSR is up."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        port: Port,
        put: Callable[[bytes], None],
        *,
        full: Callable[[], None],
        room: Callable[[], None],
    ) -> None:
        """`full` is called when too much waits, `room` when that is over."""
        self._loop = loop
        self._port = port
        self._put = put
        self._tell_full = full
        self._tell_room = room
        self._waiting = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._full = False
        self._busy_until = 0.0  # when the wire is free of what it has been given

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
            self._tell_full()

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

    def close(self) -> bytes:
        """Stop looking. What waited is the caller's."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waited = bytes(self._waiting)
        self.clear()
        return waited

    def _look(self) -> None:
        self._timer = None
        lines = self._port.modem_lines()
        if self._waiting and (lines is None or lines & ModemLines.DSR):
            room = self._room() if lines is not None else len(self._waiting)
            if room > 0:
                chunk = bytes(self._waiting[:room])
                del self._waiting[:room]
                self._busy_until += len(chunk) * self._port.settings.character_time
                self._put(chunk)
                self._relieve()
        if self._waiting and self._timer is None:
            self._timer = self._loop.call_later(_LOOK, self._look)

    def _room(self) -> int:
        """How many characters may go to the driver now."""
        now = self._loop.time()
        self._busy_until = max(self._busy_until, now)
        character = self._port.settings.character_time
        ahead = self._busy_until - now
        size = int((_SLICE - ahead) / character)
        if ahead <= _LOOK:
            size = max(size, 1)  # a slow line must not fall silent until the next look
        queued = self._port.unsent() - len(self._waiting)  # the driver may be slower than the wire
        return min(size, max(1, int(_SLICE / character)) - queued)

    def _relieve(self) -> None:
        if self._full and len(self._waiting) <= _LOW_WATER:
            self._full = False
            self._tell_room()
