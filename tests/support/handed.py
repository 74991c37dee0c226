"""Requests that are handed to a site without a socket between: aiohttp's parser and all of the site, but no network."""

import asyncio
import json
from typing import Any

from nportpy.network.tls_settings import Identity
from nportpy.services.site import Site
from tests.support.api import Answered, answered


class Wire(asyncio.Transport):
    """What a client's connection is written to, and where it comes from."""

    def __init__(self, peer: str, local: str, identity: Identity | None) -> None:
        super().__init__()
        self.identity = identity
        self.written = bytearray()
        self.closed = asyncio.Event()
        self._names = {"peername": (peer, 40000), "sockname": (local, 9550)}

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._names.get(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed.is_set()

    def close(self) -> None:
        self.closed.set()

    abort = close

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def hand(
    site: Site,
    path: str,
    body: object = None,
    method: str = "",
    *,
    peer: str = "127.0.0.1",
    local: str = "127.0.0.1",
    host: str | None = "localhost",
    identity: Identity | None = None,
    **headers: str,
) -> Answered:
    """Ask once; a `body` is sent as JSON, by POST unless another method is named."""
    sent = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{method or ('GET' if body is None else 'POST')} {path} HTTP/1.1", "Connection: close"]
    lines += [] if host is None else [f"Host: {host}"]
    if body is not None:
        lines += [f"Content-Length: {len(sent)}"]
        lines += [] if "Content_Type" in headers else ["Content-Type: application/json"]
    lines += [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
    wire, connection = Wire(peer, local, identity), site.accept()
    connection.connection_made(wire)
    assert isinstance(connection, asyncio.Protocol)
    connection.data_received("\r\n".join([*lines, "", ""]).encode() + sent)
    try:
        await wire.closed.wait()
    finally:
        connection.connection_lost(None)
    return answered(bytes(wire.written))
