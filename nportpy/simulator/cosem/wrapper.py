"""COSEM over TCP: the wrapper of 8 bytes before each APDU, and a meter that listens (Green Book 7.3, IEC 62056-47)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from nportpy.simulator.cosem.meter import Meter

VERSION = 1
HEADER = 8
PORT = 4059
"""The registered port."""


@dataclass(frozen=True, slots=True)
class Wrapped:
    """An APDU in its wrapper: from one wPort to another; a client's is its address, a server's its upper one."""

    source: int
    destination: int
    apdu: bytes

    def encode(self) -> bytes:
        """With the wrapper."""
        numbers = (VERSION, self.source, self.destination, len(self.apdu))
        return b"".join(number.to_bytes(2, "big") for number in numbers) + self.apdu


class Reader:
    """Finds wrapped APDUs in what comes over a connection."""

    def __init__(self) -> None:
        """Nothing has come."""
        self._heard = bytearray()

    def feed(self, data: bytes) -> list[Wrapped] | None:
        """Those that `data` completes; None: it is another protocol, and nothing after it can be read."""
        self._heard += data
        found = []
        while len(self._heard) >= HEADER:
            version, source, destination, size = (
                int.from_bytes(self._heard[at : at + 2], "big") for at in range(0, HEADER, 2)
            )
            if version != VERSION:
                return None
            if len(self._heard) < HEADER + size:
                break
            found.append(Wrapped(source, destination, bytes(self._heard[HEADER : HEADER + size])))
            del self._heard[: HEADER + size]
        return found


class WrappedMeter:
    """A meter with one TCP connection at a time, as Ethernet modules have it.

    Attributes:
        requests: APDUs that came.
        answers: those that were answered.
    """

    def __init__(self, meter: Meter) -> None:
        """Not connected."""
        self.requests = 0
        self.answers = 0
        self._meter = meter
        self._connected = False

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection; a second one at the same time is closed."""
        if self._connected:
            writer.close()
            return
        self._connected = True
        try:
            await self._answer(reader, writer)
        except OSError:
            pass  # the client is gone
        finally:
            self._connected = False
            self._meter.server.close()
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found = Reader()
        while data := await reader.read(4096):
            wrapped = found.feed(data)
            if wrapped is None:
                return
            for request in wrapped:
                self.requests += 1
                apdu = self._served(request)
                if apdu is None:
                    continue
                self.answers += 1
                await asyncio.sleep(self._meter.settings.delay)
                writer.write(Wrapped(request.destination, request.source, apdu).encode())
                await writer.drain()

    def _served(self, request: Wrapped) -> bytes | None:
        meter = self._meter
        if request.destination != meter.settings.address.upper or not meter.server.knows(request.source):
            return None
        return meter.server.serve(request.apdu, request.source, asyncio.get_running_loop().time())


@asynccontextmanager
async def listening(meter: Meter, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[tuple[str, int]]:
    """A meter on TCP, inside; its address.

    Raises:
        OSError: it cannot listen there.
    """
    wrapped = WrappedMeter(meter)
    server = await asyncio.start_server(wrapped.converse, host, port)
    try:
        yield server.sockets[0].getsockname()[:2]
    finally:
        server.close()
        if hasattr(server, "close_clients"):  # from Python 3.13 on, where the next line waits for them
            server.close_clients()
        await server.wait_closed()
