"""A FLUSH of unsent bytes, which waits to see whether the client goes on.

A Linux driver sends one when a program throws its output away, and one at every close, a millisecond or two before
both connections end; with O_NONBLOCK, which pyserial leaves on, it has not waited for a single byte to leave before
that. The two look the same, so nothing is thrown away before it is known which it was: who goes on, or says nothing
for a while, meant it, and whoever leaves did not. It is acknowledged at once, so no driver waits for this.
"""

import math

from nportpy.protocols.realcom.line import Line


class HeldFlush:
    """At most one, as every command is a sign that the client goes on."""

    __slots__ = ("_at", "_before", "_line", "_wait")

    def __init__(self, line: Line, wait: float) -> None:
        """`wait` is how many seconds of nothing mean that the client did not close."""
        self._line = line
        self._wait = wait
        self._at: float | None = None
        self._before = 0  # bytes that were in the data connection when it came, and have not been taken yet

    @property
    def held(self) -> bool:
        """Whether there is one."""
        return self._at is not None

    def hold(self, now: float, *, closing: bool) -> None:
        """It came. A client that has asked as one that closes is not taken for one that stays, however late it goes."""
        self._before = self._line.unread()
        self._at = math.inf if closing else now + self._wait

    def data_came(self, size: int) -> None:
        """So many bytes came on the data connection and go to the line after this."""
        if self._at is not None:
            self._before -= size
            if self._before < 0:
                self.obey()

    def expire(self, now: float) -> None:
        """Obey it if its time has come."""
        if self._at is not None and now >= self._at:
            self.obey()

    def deadline(self) -> float | None:
        """When to call `expire`."""
        return None if self._at == math.inf else self._at

    def obey(self) -> None:
        """The client goes on: throw the bytes away, if there is a flush."""
        if self._at is not None:
            self._at = None
            self._line.purge(received=False, unsent=True)

    def drop(self) -> bool:
        """The client has left: forget it; whether there was one."""
        held, self._at = self.held, None
        return held
