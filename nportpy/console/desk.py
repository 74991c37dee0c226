"""What the console has of the gateway that it shows and acts on."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from nportpy.editing.editor import Editor
from nportpy.editing.impact import Impact
from nportpy.line.arbiter import Line
from nportpy.services.archived import Archived
from nportpy.services.audit import Audit
from nportpy.services.gate import Gate
from nportpy.services.recent import Recent
from nportpy.status import GatewayStatus

if TYPE_CHECKING:  # a gateway without Modbus need not import what it takes
    from nportpy.modbus.bus import Bus


@dataclass(frozen=True, slots=True)
class Moment:
    """What a flight recorder has frozen.

    Attributes:
        port: whose line it was.
        number: under which it can be asked for.
        cause: what happened, as in `no_answer unit 5`.
        time: when, in seconds since the epoch.
        packets: makes a capture for Wireshark of it.
    """

    port: str
    number: int
    cause: str
    time: float
    packets: Callable[[], Awaitable[bytes]]


class Desk(Protocol):
    """See the gateway's own (gateway/desk.py)."""

    @property
    def recent(self) -> Recent:
        """The last records of the log."""

    @property
    def editor(self) -> Editor:
        """Changes the configuration file."""

    @property
    def gate(self) -> Gate | None:
        """Who says who may what, while HTTP is on."""

    @property
    def audit(self) -> Audit:
        """Who did what."""

    def status(self) -> GatewayStatus:
        """A snapshot."""

    def impact(self, settings: Any) -> Impact:
        """What would come of other settings."""

    def archive(self) -> Archived | None:
        """Where samples are kept, if they are."""

    def lines(self) -> dict[str, Line]:
        """The lines, by the names of their ports."""

    def buses(self) -> "dict[str, Bus]":
        """Whom Modbus requests can be sent to, by the names of the status: a port's, or `tcp://HOST:PORT`."""

    def moments(self) -> list[Moment]:
        """What was frozen of lines that may be watched, the newest first."""

    def file(self) -> str | None:
        """Where its settings were read from, if that is a file."""

    def end_client(self, port: str, service: str, client: str) -> bool:
        """End a client's connection; False: there is no such client."""

    def count(self, action: str, result: str) -> None:
        """Somebody did something, or tried to."""
