"""Connections that we make: to a host by its name or address, from a given port if need be. Linux only, see tcp(7)."""

import asyncio
import errno
import os
import socket

from nportpy.network import keepalive


async def call(host: str, port: int, local_port: int, limit: float, alive_check: float) -> socket.socket:
    """A connection to the first address of a host that takes it. Cancelled midway, it leaves none behind.

    Args:
        host: name or address; names are looked up each time.
        port: TCP port there.
        local_port: the one to call from; 0: any.
        limit: seconds in all; each address has its share of them.
        alive_check: see `keepalive.set_up`.

    Raises:
        OSError: there is none; `outcome` says what to call that.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(limit):
        try:
            places = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError as error:  # a name that nobody can have
            raise socket.gaierror(socket.EAI_NONAME, str(error)) from error
        failure: OSError | None = None
        for family, kind, protocol, _, address in places:
            try:
                async with asyncio.timeout(limit / len(places)):
                    return await _connected(
                        loop, socket.socket(family, kind, protocol), address, local_port, alive_check
                    )
            except OSError as error:
                failure = failure or error
    raise failure or OSError("the name has no address")


async def _connected(
    loop: asyncio.AbstractEventLoop,
    sock: socket.socket,
    address: tuple[object, ...],
    local_port: int,
    alive_check: float,
) -> socket.socket:
    try:
        sock.setblocking(False)
        keepalive.set_up(sock, alive_check)
        if local_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the last connection from there may linger
            sock.bind(("", local_port))
        try:
            sock.connect(address)
        except BlockingIOError:
            await _writable(loop, sock)
        _check(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def _check(sock: socket.socket) -> None:
    if number := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(number, os.strerror(number))
    if sock.getsockname() == sock.getpeername():
        # Who calls a port of its own machine again and again where nobody listens may meet itself.
        raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))


async def _writable(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    """Wait for the connection. `loop.sock_connect` would leave the descriptor in the loop for a moment longer."""
    connected: asyncio.Future[None] = loop.create_future()

    def ready() -> None:
        if not connected.done():
            connected.set_result(None)

    loop.add_writer(sock.fileno(), ready)
    try:
        await connected
    finally:
        loop.remove_writer(sock.fileno())


def outcome(error: OSError) -> str:
    """What to count a failure as: refused, timeout, unreachable, no_address or failed."""
    match error:
        case socket.gaierror():
            return "no_address"
        case ConnectionRefusedError():
            return "refused"
        case TimeoutError():
            return "timeout"
        case OSError(errno=errno.EHOSTUNREACH | errno.ENETUNREACH | errno.ENETDOWN | errno.EHOSTDOWN):
            return "unreachable"
        case _:  # of our own making, mostly: the local port is taken
            return "failed"


def reason(error: OSError) -> str:
    """What to tell the reader."""
    if isinstance(error, socket.gaierror) or not error.errno:
        return error.strerror or str(error) or "no answer in time"
    return os.strerror(error.errno)
