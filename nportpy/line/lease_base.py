"""What holders of a lease see of the line, and what leases need of the line that owns the wire.

The discipline itself is lease.py.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from nportpy.line.stream import Stream
from nportpy.linesettings import LineSettings
from nportpy.protocols.capture.records import Kind

if TYPE_CHECKING:
    from nportpy.line.transaction import Transactions


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


class Lender(Protocol):
    """What leases need from the line that owns the wire."""

    name: str
    received: int
    sent: int
    stream: Stream
    transactions: "Transactions | None"

    @property
    def up(self) -> bool:
        """Whether the device is there."""

    @property
    def settings(self) -> LineSettings:
        """Those for its clients."""

    def put(self, data: bytes) -> None:
        """Send `data`."""

    def keep_secret(self, secret: bool) -> None:
        """What is sent from now on, and heard, is for nobody to see; or is again."""

    def unsent(self) -> int:
        """Bytes that have not left, of anybody."""

    def left(self) -> bool:
        """Whether all that was put has left the UART."""

    def take_back(self) -> int:
        """Throw away what has not left the port; how many bytes that was."""

    def listen(self, on: bool) -> None:
        """Read what the kernel holds back, or leave it there again."""

    def lend(self, hear: Callable[[bytes], None]) -> None:
        """Have `hear` hear the device until `reclaim`."""

    def set_device(self, wish: LineSettings) -> LineSettings:
        """Set the device; what is in effect then. Raises LineUnsupported, LineDown."""

    def note(self, kind: Kind, about: object) -> None:
        """Have the tap record something."""

    def reclaim(self) -> None:
        """The wire is the line's own again, and set as its clients want it."""
