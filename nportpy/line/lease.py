"""The third way to hold the wire: the line alone, for several exchanges. What its holders see of it."""

from typing import Protocol

from nportpy.linesettings import LineSettings


class Leased(Protocol):
    """The line alone, while it is held."""

    @property
    def settings(self) -> LineSettings:
        """Those in effect."""

    async def configure(self, wish: LineSettings) -> None:
        """Set the line once what was written has left the wire.

        Raises:
            LineUnsupported: the driver cannot.
            LineDown: the device is gone.
        """

    def write(self, data: bytes) -> None:
        """Send `data`, whole and at once.

        Raises:
            LineDown: the device is gone.
        """

    async def sent(self) -> None:
        """Wait until what was written has left the UART."""

    async def read(self, within: float) -> bytes:
        """What came since the last call; waits `within` seconds for the first byte; empty if none came.

        Raises:
            LineDown: the device is gone.
        """

    def discard(self) -> None:
        """Throw away what came and was not read."""

    async def give_way(self) -> None:
        """Between two exchanges: let streams and requests that wait have the wire; the own settings are back after."""
