import asyncio
import os
import threading
import time
from contextlib import suppress

import pytest

from tests.support.clock import VirtualLoop


async def test_virtual_time_jumps() -> None:
    started, real = asyncio.get_running_loop().time(), time.monotonic()
    await asyncio.sleep(3600)
    assert asyncio.get_running_loop().time() - started == pytest.approx(3600, abs=0.01)
    assert time.monotonic() - real < 5


async def test_virtual_time_waits_for_threads() -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with asyncio.timeout(1):
        await asyncio.to_thread(time.sleep, 0.05)
    assert loop.time() - started < 1


def test_t2_virtual_time_waits_for_the_end_of_threads() -> None:
    """A loop that ends while a thread works waits for it, whatever limit asyncio's Runner sets."""
    finished = threading.Event()

    def work() -> None:
        time.sleep(0.1)
        finished.set()

    async def leave() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.to_thread(work)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(leave())
    assert finished.is_set()


async def test_sockets_work_on_virtual_time() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100))
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with asyncio.timeout(1):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"hello")
        assert await reader.read(100) == b"hello"
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


@pytest.mark.real
async def test_real_time_runs_on_both_loops(loop_name: str) -> None:
    name = type(asyncio.get_running_loop()).__module__
    assert name.startswith("uvloop" if loop_name == "uvloop" else "asyncio")
    assert os.getpid()
