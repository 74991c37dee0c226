"""Who may watch which line: the lines' taps, their flight recorders, and what is written to files.

What HTTP makes of it is capture_pages.py, which is imported when somebody first asks.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Final

from nportpy.gateway.capture_settings import CaptureSettings
from nportpy.gateway.lines import RunningPort
from nportpy.status import RecordingStatus

if TYPE_CHECKING:
    from aiohttp import web

    from nportpy.console.desk import Moment
    from nportpy.gateway.capture_pages import CapturePages
    from nportpy.gateway.recording import Recording
    from nportpy.line.recorder import FlightRecorder
    from nportpy.services.audit import Audit
    from nportpy.services.pages import Found

_ROOTS: Final = ("/api/v1/captures", "/api/v1/ports/")


@dataclass(slots=True)
class Watched:
    """A line that may be watched: its recorder, and who writes it to files."""

    port: RunningPort
    recorder: "FlightRecorder"
    recording: "Recording | None" = None


class Captures:
    """Of all ports. See `Pages` (services/pages.py).

    Attributes:
        settings: who may watch, and what is kept.
        audit: hears who watches.
    """

    def __init__(self, ports: Callable[[], Mapping[str, RunningPort]], audit: "Audit") -> None:
        """Nothing is kept."""
        self.audit = audit
        self.settings = CaptureSettings()
        self._ports = ports
        self._watched: dict[str, Watched] = {}
        self._pages: CapturePages | None = None

    def names(self) -> list[str]:
        """The ports that there are."""
        return list(self._ports())

    def find(self, name: str) -> Watched | None:
        """A line that may be watched; None: there is none of that name, or its port forbids it."""
        port = self._ports().get(name)
        if port is None or not port.plan.monitor:
            return None
        found = self._watched.get(name)
        if found is None or found.port is not port:
            # Here, because a gateway on which nobody looks need not import what that takes.
            from nportpy.line.recorder import FlightRecorder

            found = self._watched[name] = Watched(port, FlightRecorder(port.line.tap()))
        return found

    def forbidden(self, name: str) -> bool:
        """Whether a port is there that forbids it."""
        port = self._ports().get(name)
        return port is not None and not port.plan.monitor

    async def change(self, settings: CaptureSettings, tasks: asyncio.TaskGroup) -> None:
        """Go over to other settings, or to other ports."""
        self.settings = settings
        ports = self._ports()
        for name in [name for name, each in self._watched.items() if ports.get(name) is not each.port]:
            await self._forget(self._watched.pop(name))
        if not settings.keep and not settings.directory and not self._watched:
            return  # nobody has asked for anything: no line needs a tap
        for name in ports:
            watched = self.find(name)
            if watched is None:
                if name in self._watched:
                    await self._forget(forbidden := self._watched.pop(name))
                    forbidden.port.line.tap().dismiss()
                continue
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
        name = watched.port.plan.name
        wanted = bool(settings.directory) and (not settings.record or name in settings.record)
        place = (settings.directory, settings.files, settings.size)
        if watched.recording is not None and (not wanted or watched.recording.place != place):
            await watched.recording.stop()
            watched.recording = None
        if wanted and watched.recording is None:
            from nportpy.gateway.recording import Recording

            watched.recording = Recording(watched.port.line, *place)
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
