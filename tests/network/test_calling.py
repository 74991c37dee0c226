"""Connections that we make: each address of a name, and the one who meets itself."""

import asyncio
import socket
from typing import Any

import pytest

from nportpy.network.calling import call
from tests.support.calls import deaf, hosts
from tests.support.free_ports import free_port


async def test_each_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = socket.getaddrinfo
    with deaf() as nobody:
        async with hosts() as (host,):

            def several(name: str, port: int, *args: Any, **more: Any) -> Any:
                found = [*look_up("127.0.0.1", nobody.port, *args, **more)]
                found += look_up("127.0.0.1", free_port(), *args, **more)
                return found + look_up("127.0.0.1", port, *args, **more)

            monkeypatch.setattr(socket, "getaddrinfo", several)
            before = asyncio.get_running_loop().time()
            with await call("plant.example", host.port, 0, 3.0, 0.0):
                assert 0.9 < asyncio.get_running_loop().time() - before < 1.5
            with pytest.raises(TimeoutError):
                await call("plant.example", free_port(), 0, 3.0, 0.0)


async def test_nobody_meets_itself() -> None:
    """A port of this machine where nobody listens, called from that port: the kernel joins the socket to itself."""
    port = free_port()
    with pytest.raises(ConnectionRefusedError):
        await call("127.0.0.1", port, port, 3.0, 0.0)
