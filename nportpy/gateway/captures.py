"""Who may watch which line: the lines' taps, their flight recorders, and what is written to files.

What HTTP makes of it is capture_pages.py, which is imported when somebody first asks.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Final

from nportpy.gateway.capture_settings import CaptureSettings
from nportpy.gateway.lines import RunningPort, Servers
from nportpy.status import RecordingStatus

if TYPE_CHECKING:
    from aiohttp import web

    from nportpy.console.desk import Moment
    from nportpy.gateway.capture_pages import CapturePages
    from nportpy.gateway.recording import Recording
    from nportpy.line.arbiter import Line
    from nportpy.line.recorder import FlightRecorder
    from nportpy.services.audit import Audit
    from nportpy.services.pages import Found

_ROOTS: Final = ("/api/v1/captures", "/api/v1/ports/")


def watchable(ports: Mapping[str, RunningPort], servers: Servers) -> "dict[str, Line | None]":
    """All lines by their names: ports, and what is asked elsewhere; None for a port that nobody may watch."""
    found = {line.name: line for line in servers.lines()}
    return found | {name: port.line if port.plan.monitor else None for name, port in ports.items()}


@dataclass(slots=True)
class Watched:
    """A line that may be watched: its recorder, and who writes it to files."""

    line: "Line"
    recorder: "FlightRecorder"
    recording: "Recording | None" = None


class Captures:
    """Of all lines: ports, and servers and lines elsewhere that are asked. See `Pages` (services/pages.py).

    Attributes:
        settings: who may watch, and what is kept.
        audit: hears who watches.
    """

    def __init__(self, lines: "Callable[[], Mapping[str, Line | None]]", audit: "Audit") -> None:
        """Nothing is kept.

        Args:
            lines: those that there are, by name; None for one that nobody may watch.
            audit: hears who watches.
        """
        self.audit = audit
        self.settings = CaptureSettings()
        self._lines = lines
        self._watched: dict[str, Watched] = {}
        self._pages: CapturePages | None = None

    def names(self) -> list[str]:
        """The lines that there are."""
        return list(self._lines())

    def find(self, name: str) -> Watched | None:
        """A line that may be watched; None: there is none of that name, or its port forbids it."""
        line = self._lines().get(name)
        if line is None:
            return None
        found = self._watched.get(name)
        if found is None or found.line is not line:
            # Here, because a gateway on which nobody looks need not import what that takes.
            from nportpy.line.recorder import FlightRecorder

            found = self._watched[name] = Watched(line, FlightRecorder(line.tap()))
        return found

    def forbidden(self, name: str) -> bool:
        """Whether a port is there that forbids it."""
        lines = self._lines()
        return name in lines and lines[name] is None

    async def change(self, settings: CaptureSettings, tasks: asyncio.TaskGroup) -> None:
        """Go over to other settings, or to other ports."""
        self.settings = settings
        lines = self._lines()
        for name in [name for name, each in self._watched.items() if lines.get(name) is not each.line]:
            gone = self._watched.pop(name)
            await self._forget(gone)
            gone.line.tap().dismiss()  # its line has gone, or nobody may watch it any more
        if not settings.keep and not settings.directory and not self._watched:
            return  # nobody has asked for anything: no line needs a tap
        for name in lines:
            watched = self.find(name)
            if watched is not None:
                watched.recorder.configure(settings.keep, settings.freeze_on)
                await self._record(watched, settings, tasks)

    async def stop(self) -> None:
        """Finish what is being written."""
        for watched in self._watched.values():
            await self._forget(watched)
        self._watched.clear()

    def status(self) -> tuple[RecordingStatus, ...]:
        """Of each line that is recorded to files."""
        return tuple(each.recording.status() for each in self._watched.values() if each.recording is not None)

    def moments(self) -> "list[Moment]":
        """See `Desk` (console/desk.py)."""
        from nportpy.gateway.moments import moments

        found = [(name, watched) for name in self.names() if (watched := self._watched.get(name)) is not None]
        return moments((name, watched) for name, watched in found if not self.forbidden(name))

    async def _record(self, watched: Watched, settings: CaptureSettings, tasks: asyncio.TaskGroup) -> None:
        name = watched.line.name
        wanted = bool(settings.directory) and (not settings.record or name in settings.record)
        place = (settings.directory, settings.files, settings.size)
        if watched.recording is not None and (not wanted or watched.recording.place != place):
            await watched.recording.stop()
            watched.recording = None
        if wanted and watched.recording is None:
            from nportpy.gateway.recording import Recording

            watched.recording = Recording(watched.line, *place)
            watched.recording.start(tasks)

    async def _forget(self, watched: Watched) -> None:
        watched.recorder.configure(0, frozenset())
        watched.recorder.close()
        if watched.recording is not None:
            await watched.recording.stop()
            watched.recording = None

    async def route(self, request: "web.BaseRequest") -> "Found | None":
        """See `Pages`."""
        if not request.path.startswith(_ROOTS):
            return None
        if self._pages is None:
            await asyncio.to_thread(import_module, "nportpy.gateway.capture_pages")
            from nportpy.gateway.capture_pages import CapturePages

            self._pages = self._pages or CapturePages(self)
        return await self._pages.route(request)
