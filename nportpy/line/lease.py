"""The lease: the line alone, for several exchanges, with settings of its own that are put back whatever happens."""

from typing import Protocol

from nportpy.linesettings import LineSettings


class Leased(Protocol):
    """The line alone, while it is held. Times are those of the event loop.

    Once the lease is over, everything that needs the line raises: LineDown if the device went, else LeaseEnded.
    """

    @property
    def settings(self) -> LineSettings:
        """Speed, format and flow control in effect."""

    async def configure(self, wish: LineSettings) -> None:
        """Change them, once what was written has left the wire.

        Raises:
            LineUnsupported: the driver takes none of it; the settings before are in effect.
            LineDown: the device has gone.
        """

    def write(self, data: bytes, *, secret: bool = False) -> None:
        """Send `data`, whole, at once.

        Args:
            data: the bytes.
            secret: there is a password in it: a trace shows neither it nor what is heard until the next write, as the
                line may have an echo.

        Raises:
            LineDown: the device has gone.
        """

    async def sent(self) -> None:
        """Wait until what was written has left the UART.

        Raises:
            LineDown: the device has gone.
        """

    async def read(self, within: float) -> bytes:
        """What came since the last call; if nothing did, wait `within` seconds for the first byte of it.

        Returns:
            The bytes; none if none came.

        Raises:
            LineDown: the device has gone.
        """

    def discard(self) -> None:
        """Throw away what came and was not read."""

    async def give_way(self) -> None:
        """Between two exchanges: let streams and requests that wait have the wire; afterwards own settings are back.

        Costs nothing while nobody waits. What comes from the device meanwhile is for them.

        Raises:
            LineDown: the device has gone.
            LeaseEnded: the line could not be had again in time.
        """
