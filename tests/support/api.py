"""A program that asks the console's API, on the loop under test."""

import asyncio
import json
from typing import Any, NamedTuple


class Answered(NamedTuple):
    """What came."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


async def call(
    port: int, path: str, body: object = None, method: str = "", host: str = "localhost", **headers: str
) -> Answered:
    """Ask once; a `body` is sent as JSON, by POST unless another method is named."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        sent = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"{method or ('GET' if body is None else 'POST')} {path} HTTP/1.1", f"Host: {host}:{port}"]
        lines += ["Connection: close", f"Content-Length: {len(sent)}"]
        if body is not None and "Content_Type" not in headers:
            lines.append("Content-Type: application/json")
        lines += [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + sent)
        return answered(await reader.read())
    finally:
        writer.close()


def answered(data: bytes) -> Answered:
    """An answer as it was written."""
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *more = head.decode("latin-1").split("\r\n")
    found = dict(line.lower().split(": ", 1) for line in more if line)
    return Answered(int(first.split()[1]), found, _unchunked(rest) if "transfer-encoding" in found else rest)


def _unchunked(data: bytes) -> bytes:
    whole = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        count = int(size, 16)
        whole, data = whole + data[:count], data[count + 2 :]
    return whole
