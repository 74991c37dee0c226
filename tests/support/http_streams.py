"""An HTTP client on the loop under test, for answers that go on: threads would make virtual time stand still."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


class Answer:
    """An answer that is read as it comes."""

    def __init__(self, reader: asyncio.StreamReader, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers
        self._reader = reader
        self._rest = b""

    async def some(self) -> bytes:
        """The next piece; empty at the end."""
        if self.headers.get("transfer-encoding") != "chunked":
            return await self._reader.read(65536)
        with contextlib.suppress(asyncio.IncompleteReadError):
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            data = await self._reader.readexactly(size)
            await self._reader.readexactly(2)
            return data
        return b""

    async def all(self) -> bytes:
        pieces = []
        while piece := await self.some():
            pieces.append(piece)
        return b"".join(pieces)

    async def row(self) -> dict[str, Any]:
        """The next line of NDJSON that is not empty."""
        while True:
            line, newline, rest = self._rest.partition(b"\n")
            if newline:
                self._rest = rest
                if line:
                    found: dict[str, Any] = json.loads(line)
                    return found
                continue
            piece = await self.some()
            assert piece, "the stream has ended"
            self._rest += piece

    async def rows(self) -> list[Any]:
        """All that come until the end."""
        return [json.loads(line) for line in (await self.all()).splitlines() if line]

    async def problem(self) -> str:
        detail: str = json.loads(await self.all())["detail"]
        return detail


@asynccontextmanager
async def asking(port: int, path: str, method: str = "GET", **headers: str) -> AsyncIterator[Answer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        lines = [f"{method} {path} HTTP/1.1", f"Host: localhost:{port}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        found = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        yield Answer(reader, int(head[0].split()[1]), found)
    finally:
        writer.close()
