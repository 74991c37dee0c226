"""A Line on a cable, running, and clients that write down what they are told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nportpy.line.arbiter import Line
from nportpy.line.stream import Change
from nportpy.line.stream_base import StreamSettings
from nportpy.linesettings import LineSettings, ModemLines, UartCounters
from nportpy.port.base import Opener, PortSettings
from nportpy.port.loopback import Cable


class Client:
    """A StreamClient that keeps everything."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.calls: list[str] = []
        self.changes: list[Change] = []
        self.states: list[tuple[ModemLines, UartCounters]] = []

    def line_data(self, data: bytes) -> None:
        self.heard += data

    def line_full(self) -> None:
        self.calls.append("full")

    def line_ready(self) -> None:
        self.calls.append("ready")

    def line_up(self) -> None:
        self.calls.append("up")

    def line_down(self) -> None:
        self.calls.append("down")

    def line_changed(self, change: Change) -> None:
        self.changes.append(change)

    def line_state(self, modem: ModemLines, errors: UartCounters) -> None:
        self.states.append((modem, errors))


@asynccontextmanager
async def running(
    cable: Cable,
    settings: LineSettings | None = None,
    stream: StreamSettings | None = None,
    *,
    opener: Opener | None = None,
) -> AsyncIterator[Line]:
    """A line that keeps the cable's device open, from its first attempt on; closed in the end."""
    port = PortSettings(cable.name, settings or LineSettings())
    line = Line("meters", port, stream or StreamSettings(), opener or cable.opener)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(line.run())
        await line.tried.wait()
        try:
            yield line
        finally:
            task.cancel()
    assert line.state == "closed"
    assert cable.near is None
