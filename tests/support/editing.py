"""A gateway that runs from a file which may be edited, on two lines in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from nportpy import config
from nportpy.cli import candidate
from nportpy.editing import files
from nportpy.editing.editor import Trial
from nportpy.editing.impact import Affected
from nportpy.gateway.running import Gateway
from nportpy.port.loopback import Cable, opener_of
from tests.support.free_ports import free_ports
from tests.support.serving import Served, until


class At(Served):
    """A gateway with a file."""

    def __init__(self, gateway: Gateway, task: asyncio.Task[None], file: Path, ports: dict[str, int]) -> None:
        super().__init__(gateway, task)
        self.file = file
        self.ports = ports
        self.editor = gateway._editor

    @property
    def tag(self) -> str:
        return files.tag(self.file.read_bytes())

    def text(self, *changes: tuple[str, str]) -> str:
        text = self.file.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        return text

    async def apply(self, text: str, **more: Any) -> Trial:
        trial = await self.editor.apply(text, self.tag, **({"by": "anna", "why": ""} | more))
        before = self.gateway.status().reloads
        await until(lambda: self.gateway.status().reloads > before)
        return trial

    async def impact(self, text: str) -> dict[tuple[str, str, str], Affected]:
        found = await self.editor.check(text)
        assert not found.faults, found.said
        return {(each.part, each.port, each.name): each for each in self.gateway._desk.impact(found.settings)}


FILE = """# Comments stay.
[gateway]
name = "pi-07"  # ours
listen = "127.0.0.1"
drain = "0s"

[http]
listen = "127.0.0.1:{http}"
console = "edit"

[port.a]
device = "/dev/a"
[port.a.raw]
listen = {a}
max_clients = 4
[port.a.rfc2217]
listen = {com}

[port.b]
device = "/dev/b"
[port.b.raw]
listen = {b}
[port.b.modbus]
listen = {modbus}

[modbus.plant]
listen = {plant}
routes = [{{ units = "1-31", port = "b" }}]
"""


@asynccontextmanager
async def edited(folder: Path, *, console: str = "edit") -> AsyncIterator[At]:
    names = ("http", "a", "com", "b", "modbus", "plant", "spare")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    file = folder / "nportpy.toml"
    file.write_text(FILE.format(**ports).replace('"edit"', f'"{console}"'))
    cables = [Cable("/dev/a"), Cable("/dev/b")]
    gateway = Gateway(
        config.parse(file.read_text(), str(file)), opener=opener_of(*cables), file=str(file), checker=candidate.answer,
    )  # fmt: skip
    async with asyncio.TaskGroup() as tasks:
        at = At(gateway, tasks.create_task(gateway.run()), file, ports)
        try:
            await gateway.ready.wait()
            await until(lambda: all(line.state == "up" for line in gateway.status().lines))
            yield at
        finally:
            gateway.stop()
            async with asyncio.timeout(30):
                await asyncio.wait([at.task])
