"""A Port on a connection that speaks TLS, `tls://HOST:PORT` or `raws://HOST:PORT`. See tcp.py.

The first is a server with MODBUS/TCP Security, the second a serial line elsewhere, as plain bytes.

What was written is encrypted at once, each record numbered after the one before: nothing of it can be purged any more.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final

from nportpy.errors import LineDown
from nportpy.network.calling import call
from nportpy.network.tls_contexts import Table, TlsFileError, read_table
from nportpy.network.tls_settings import TlsSettings
from nportpy.network.tls_transport import why
from nportpy.port.base import PortReceiver, PortSettings
from nportpy.port.tcp import ALIVE_CHECK, CONNECT_TIME, READ_SIZE, TcpPort, place_of, reason_of

_RECORD: Final = 16384  # the largest (RFC 8446, 5.1)


class _Engine:
    """TLS between memory and memory."""

    def __init__(self, context: ssl.SSLContext, server_name: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self.ended = False

    def shake_hands(self) -> bool:
        """Go on as far as what has come allows; whether it is done."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def encrypt(self, data: bytes) -> bytes:
        self._tls.write(data)
        return self._outgoing.read()

    def decrypt(self, data: bytes) -> bytes:
        """What a piece of the stream completes."""
        self._incoming.write(data)
        found = []
        try:
            while self._incoming.pending or self._tls.pending():
                if piece := self._tls.read(_RECORD):
                    found.append(piece)
                else:
                    self.ended = True
                    break
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        return b"".join(found)

    def take(self, data: bytes) -> None:
        """A piece of the stream, during the handshake."""
        self._incoming.write(data)

    def output(self) -> bytes:
        """What is to be sent."""
        return self._outgoing.read()


async def open_tls(settings: PortSettings, receiver: PortReceiver, table: Table) -> "TlsPort":
    """Connect, and see that the far end is who it should be. Cancelled midway, it leaves no connection behind.

    Raises:
        LineDown: the far end is not there, or not believed, or does not believe us.
    """
    loop = asyncio.get_running_loop()
    try:
        host, port = place_of(settings.device, settings.device.partition(":")[0])
        sock = await call(host, port, 0, CONNECT_TIME, ALIVE_CHECK)
    except (OSError, ValueError) as error:
        raise LineDown(f"{settings.device}: {reason_of(error)}") from error
    try:
        engine = _Engine(table.client, table.server_name or host)
        async with asyncio.timeout(CONNECT_TIME):
            await _shake_hands(loop, sock, engine)
    except OSError as error:
        sock.close()
        raise LineDown(f"{settings.device}: {why(error)}") from error
    except BaseException:
        sock.close()
        raise
    return TlsPort(loop, sock, settings, receiver, engine)


async def open_raws(settings: PortSettings, receiver: PortReceiver) -> "TlsPort":
    """Connect to a serial line elsewhere that is plain bytes within TLS, `raws://HOST:PORT`. See `open_tls`."""
    try:
        table = read_table(settings.tls or TlsSettings(""))
    except TlsFileError as error:
        raise LineDown(f"{settings.device}: {error.reason}") from error
    return await open_tls(settings, receiver, table)


async def _shake_hands(loop: asyncio.AbstractEventLoop, sock: socket.socket, engine: _Engine) -> None:
    try:
        while not engine.shake_hands():
            await _send(loop, sock, engine.output())
            await _ready(loop.add_reader, loop.remove_reader, sock)
            data = sock.recv(READ_SIZE)
            if not data:
                raise ConnectionResetError("the far end closed the connection")
            engine.take(data)
    finally:
        await _send(loop, sock, engine.output())  # the end of the handshake, or an alert


async def _send(loop: asyncio.AbstractEventLoop, sock: socket.socket, data: bytes) -> None:
    while data:
        try:
            data = data[sock.send(data) :]
        except BlockingIOError:
            await _ready(loop.add_writer, loop.remove_writer, sock)


async def _ready(add: Callable[..., object], remove: Callable[[int], object], sock: socket.socket) -> None:
    """Wait until there is something to read, or room to write."""
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def is_ready() -> None:
        if not ready.done():
            ready.set_result(None)

    add(sock.fileno(), is_ready)
    try:
        await ready
    finally:
        remove(sock.fileno())


class TlsPort(TcpPort):
    """An open connection. See `Port`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        settings: PortSettings,
        receiver: PortReceiver,
        engine: _Engine,
    ) -> None:
        """Take over a socket on which hands were shaken."""
        self._engine = engine
        super().__init__(loop, sock, settings, receiver)
        if early := engine.decrypt(b""):  # that came with the end of the handshake
            loop.call_soon(receiver.data_received, early)

    def _read_ready(self) -> None:
        try:
            data = self._socket.recv(READ_SIZE)
            plain = self._engine.decrypt(data) if data else b""
        except (BlockingIOError, InterruptedError):
            return
        except ssl.SSLError as error:
            self._lost(ConnectionError(why(error)))
            return
        except OSError as error:
            self._lost(error)
            return
        if plain:
            self._deliver(plain)
        if (not data or self._engine.ended) and self._open:
            self._lost(None)

    def write(self, data: bytes) -> None:
        if not self._open or not data:
            super().write(data)
            return
        try:
            encrypted = self._engine.encrypt(data)
        except ssl.SSLError as error:
            self._abandoned += len(data)
            self._lost(ConnectionError(why(error)))
            return
        super().write(encrypted)

    def purge(self, *, received: bool = False, unsent: bool = False) -> int:  # noqa: ARG002 - see above
        if self._open and received:
            try:
                while data := self._socket.recv(READ_SIZE):
                    self._engine.decrypt(data)
            except OSError:  # all was read, or the end is met when reading goes on
                pass
        return 0
