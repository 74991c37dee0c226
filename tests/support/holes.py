"""A way through which packets can vanish: a proxy that stops to carry and says nothing, as a dropped packet is."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Hole:
    """In front of `target`, a port of 127.0.0.1.

    Attributes:
        port: where clients connect.
        open: nothing goes through, in either way, and connections stay; new ones are taken and hear nothing.
        refuses: new connections end at once.
        delay: seconds of one way.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.open = self.refuses = False
        self.delay = 0.0
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: asyncio.TaskGroup | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Hole"]:
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            server = await asyncio.start_server(self._take, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            try:
                yield self
            finally:
                server.close()
                for writer in self._writers:
                    writer.transport.abort()
                for task in asyncio.all_tasks():
                    if task.get_name() == "through the hole":
                        task.cancel()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        self._writers.add(writer)
        try:
            there, onward = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(onward)
        assert self._tasks is not None
        for source, sink in ((reader, onward), (there, writer)):
            self._tasks.create_task(self._carry(source, sink), name="through the hole")

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                if self.delay:
                    await asyncio.sleep(self.delay)
                if self.open:  # what is lost is lost: no byte after it may come through on this connection
                    await asyncio.Event().wait()
                sink.write(data)
                await sink.drain()
        if self.open:
            await asyncio.Event().wait()
        sink.transport.abort()
