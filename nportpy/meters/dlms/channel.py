"""What carries APDUs to one meter: HDLC on a leased line (hdlc_channel.py), or the TCP wrapper (tcp_channel.py)."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Channel(Protocol):
    """The way to one meter. One question at a time; whatever ends one early ends the connection, too.

    Attributes:
        whom: the meter and the client, for messages.
    """

    whom: str

    @property
    def connected(self) -> bool:
        """Whether there is a connection that the meter has not forgotten yet, as far as can be known here."""

    def hold(self) -> AbstractAsyncContextManager[None]:
        """Have the way to oneself. The rest is done while it is held.

        Raises:
            LineError: it was not to be had.
        """

    async def connect(self) -> None:
        """Connect anew.

        Raises:
            MeterSilent: nothing answers.
            NoHdlc, AssociationRefused: it does not want to be connected to.
            LineError: the line is gone, or no longer held.
        """

    async def exchange(self, apdu: bytes, within: float, *, secret: bool = False) -> bytes:
        """The answer to `apdu`, which begins within so many seconds; `secret`: no trace shows them.

        Raises:
            ConnectionLost: there is none.
            AnswerTooLong: it is longer than allowed.
            LineError: the line is gone, or no longer held.
        """

    async def another(self, within: float) -> bytes:
        """What came was not the answer: the next APDU that the meter has. Raises what `exchange` does."""

    def abandon(self) -> None:
        """Forget the connection, without a word. It need not be held for this."""

    async def disconnect(self) -> None:
        """Say goodbye, as far as the meter still hears; forget the connection in any case.

        Raises:
            LineError: the line is gone, or no longer held.
        """
