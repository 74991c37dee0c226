"""The gateway as the console has it: see `Desk` (console/desk.py)."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from nportpy.editing.editor import Editor
from nportpy.editing.impact import Impact
from nportpy.gateway.lines import RunningPort, Servers
from nportpy.gateway.services import Services
from nportpy.line.arbiter import Line
from nportpy.services.archived import Archived
from nportpy.services.audit import Audit
from nportpy.services.recent import Recent
from nportpy.status import End, GatewayStatus

if TYPE_CHECKING:  # a gateway without Modbus, or whose console nobody opens, need not import what it takes
    from nportpy.console.desk import Moment
    from nportpy.modbus.bus import Bus
    from nportpy.services.gate import Gate


class GatewayDesk:
    """See `Desk`.

    Attributes:
        recent: the last records of the log.
        audit: who did what.
        gate: who says who may what, while HTTP is on.
        actions: what was done from the console, by action and result.
        editor: changes the configuration file.
        impact: what would come of other settings.
    """

    def __init__(
        self,
        status: Callable[[], GatewayStatus],
        archive: Callable[[], Archived | None],
        ports: Callable[[], Mapping[str, RunningPort]],
        servers: Servers,
        services: Callable[[], Iterable[Services]],
        moments: "Callable[[], list[Moment]]",
        audit: Audit,
        file: str | None,
        editor: Editor,
        impact: Callable[[Any], Impact],
    ) -> None:
        """Of what a gateway has now."""
        self.editor = editor
        self.impact = impact
        self.recent = Recent()
        self.audit = audit
        self.gate: Gate | None = None
        self.actions: Counter[tuple[str, str]] = Counter()
        self.status = status
        self.archive = archive
        self.moments = moments
        self._ports = ports
        self._servers = servers
        self._services = services
        self._file = file

    def lines(self) -> dict[str, Line]:
        """See `Desk`."""
        return {name: port.line for name, port in self._ports().items()}

    def buses(self) -> "dict[str, Bus]":
        """See `Desk`."""
        found = [port.bus for port in self._ports().values() if port.bus is not None]
        return {bus.status().name: bus for bus in [*found, *self._servers.buses()]}

    def file(self) -> str | None:
        """See `Desk`."""
        return self._file

    def end_client(self, port: str, service: str, client: str) -> bool:
        """See `Desk`."""
        for services in self._services():
            for running in services.running:
                if services.name == port and running.runs.service == service:
                    for session in tuple(running.runs.sessions):
                        if str(session.peer) == client:
                            session.finish(End.KICKED, at_once=True)
                            return True
        return False

    def count(self, action: str, result: str) -> None:
        """See `Desk`."""
        self.actions[action, result] += 1
