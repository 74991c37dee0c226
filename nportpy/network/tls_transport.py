"""TLS on a connection: a transport above a transport, the same on every event loop.

The loops' own would cut a refused client off before it hears why, and end both directions when a peer ends one;
asyncio's has a buffer of 256 KiB for each besides. This one sends its alerts, leaves our direction open after a peer's
close_notify (RFC 8446, 6.1), and keeps nothing: what is written is encrypted at once and waits in the connection's own
buffer.

Nothing of the peer's is handed on before somebody has taken the connection over: between the handshake and that there
may be a queue.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any, Final, cast

from nportpy.errors import ProtocolError
from nportpy.network.tls_settings import Identity
from nportpy.protocols.x509 import certificate

_READ_SIZE: Final = 16384  # the largest record (RFC 8446, 5.1)
_LEAVE_TIME: Final = 1.0  # for a peer to fetch the alert that ends it


class TlsTransport(asyncio.Transport):
    """A connection that speaks TLS; `shake_hands` makes them.

    Attributes:
        identity: who the peer is; None: it showed no certificate.
        lost: why the connection ended before it was taken over; None: it has not.
    """

    def __init__(self, wire: asyncio.Transport, tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO):
        """`wire` is what it goes over."""
        super().__init__()
        self.identity: Identity | None = None
        self.lost: Exception | None = None
        self._wire = wire
        self._tls = tls
        self._incoming = incoming
        self._outgoing = outgoing
        self._protocol: asyncio.Protocol | None = None
        self._paused = True
        self._ended = False  # the peer's direction, and that was told
        self._wire_ended = False  # likewise, of the connection below
        self._failure: Exception | None = None
        self._closing = False

    # Between the handshake and whoever takes the connection over.

    def hand_over(self, protocol: asyncio.Protocol) -> None:
        """Let somebody have the connection: it is `connection_made` for them.

        Raises:
            OSError: it has ended meanwhile.
        """
        if self.lost is not None:
            raise ConnectionResetError(str(self.lost)) from self.lost
        self._protocol = protocol
        self.resume_reading()
        protocol.connection_made(self)

    # The transport that others see.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing or not data:
            return
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            self._fail(error)
            return
        self._wire.write(self._outgoing.read())

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def pause_reading(self) -> None:
        if not self._paused:
            self._paused = True
            if not self._wire_ended and not self._wire.is_closing():
                self._wire.pause_reading()

    def resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            if not self._wire_ended and not self._wire.is_closing():
                self._wire.resume_reading()
            asyncio.get_running_loop().call_soon(self._read)  # what was decrypted and not handed on

    def is_reading(self) -> bool:
        return not self._paused

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._wire.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._wire.get_write_buffer_size()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Say that we send no more; the peer may go on."""
        if not self._closing:
            self._say_goodbye()
            self._wire.write_eof()

    def is_closing(self) -> bool:
        return self._closing or self._wire.is_closing()

    def close(self) -> None:
        """Say that we send no more, and end both directions once that has left. The peer need not answer."""
        if not self._closing:
            self._say_goodbye()
            self._closing = True
            self._wire.close()

    def abort(self) -> None:
        self._closing = True
        self._wire.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object":
            return self._tls
        if name == "sslcontext":
            return self._tls.context
        return self._wire.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    # What the wire tells; `_Wire` calls these.

    def fed(self, data: bytes) -> None:
        """Something came."""
        if not self._ended:
            self._incoming.write(data)
            self._read()

    def fed_eof(self) -> None:
        """The peer has closed its direction; with or without saying so by TLS."""
        self._wire_ended = True
        self._incoming.write_eof()
        self._read()

    def wire_lost(self, error: Exception | None) -> None:
        """The connection is over."""
        self._closing = True
        error = self._failure or error
        self.lost = error or ConnectionResetError("closed by the peer")
        if self._protocol is not None:
            self._protocol.connection_lost(error)

    def held(self, *, up: bool) -> None:
        """The wire's buffer is full, or has room again."""
        if self._protocol is not None:
            (self._protocol.pause_writing if up else self._protocol.resume_writing)()

    def _read(self) -> None:
        incoming = self._incoming
        while not self._paused and not self._ended and not self._closing and self._protocol is not None:
            if not incoming.pending and not incoming.eof:  # a read takes whole records
                break  # to ask in vain would cost an exception
            try:
                data = self._tls.read(_READ_SIZE)
            except ssl.SSLWantReadError:
                break
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                self._end()
                break
            except ssl.SSLError as error:
                self._fail(error)
                return
            if not data:
                self._end()
                break
            self._protocol.data_received(data)
        if self._outgoing.pending and not self._wire.is_closing():  # a KeyUpdate is answered
            self._wire.write(self._outgoing.read())

    def _end(self) -> None:
        """The peer sends no more."""
        self._ended = True
        assert self._protocol is not None
        if not self._protocol.eof_received():
            self.close()

    def _say_goodbye(self) -> None:
        with contextlib.suppress(ssl.SSLError):  # it waits for the peer's own, and we do not
            self._tls.unwrap()
        if self._outgoing.pending and not self._wire.is_closing():
            self._wire.write(self._outgoing.read())

    def _fail(self, error: ssl.SSLError) -> None:
        """The peer broke TLS: it is told, and the connection ends."""
        self._closing = True
        if self._outgoing.pending and not self._wire.is_closing():
            self._wire.write(self._outgoing.read())
        self._wire.close()
        self._failure = error


class _Wire(asyncio.Protocol):
    """What the connection below TLS tells: first the handshake, then the transport above."""

    def __init__(self, context: ssl.SSLContext, server_name: str | None, loop: asyncio.AbstractEventLoop) -> None:
        """`server_name`: whom we call; None: we are called."""
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls: ssl.SSLObject | None = None  # who says nothing costs no more than a connection
        self._context = context
        self._server_name = server_name
        self.done: asyncio.Future[TlsTransport] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()
        self.wire: asyncio.Transport
        self._above: TlsTransport | None = None
        self._refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.wire = cast(asyncio.Transport, transport)
        if self._server_name is not None:
            self._step()

    def data_received(self, data: bytes) -> None:
        if self._above is not None:
            self._above.fed(data)
        elif not self._refused:
            self.incoming.write(data)
            self._step()

    def eof_received(self) -> bool:
        if self._above is not None:
            self._above.fed_eof()
            return True  # our direction is ours to close
        if not self._refused:
            self._finish(ConnectionResetError("the peer closed the connection"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.gone.done():
            self.gone.set_result(None)
        if self._above is not None:
            self._above.wire_lost(exc)
        else:
            self._finish(exc or ConnectionResetError("the peer closed the connection"))

    def pause_writing(self) -> None:
        if self._above is not None:
            self._above.held(up=True)

    def resume_writing(self) -> None:
        if self._above is not None:
            self._above.held(up=False)

    def _step(self) -> None:
        """Go on with the handshake as far as what has come allows."""
        if self.tls is None:
            name = self._server_name
            self.tls = self._context.wrap_bio(self.incoming, self.outgoing, name is None, name)
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            self._refuse(error)
        except Exception as error:  # a callback of ours
            self._refuse(ssl.SSLError(str(error)))
        else:
            self._flush()
            self._above = TlsTransport(self.wire, self.tls, self.incoming, self.outgoing)
            self._above.identity = identity_of(self.tls.getpeercert(binary_form=True))
            self.wire.pause_reading()
            self._finish(None)

    def _flush(self) -> None:
        if self.outgoing.pending and not self.wire.is_closing():
            self.wire.write(self.outgoing.read())

    def _refuse(self, error: ssl.SSLError) -> None:
        """Send the alert, and leave it time to arrive: to close with something unread would overtake it."""
        self._refused = True
        if error.reason == "HTTP_REQUEST":
            self.outgoing.read()
            self.wire.write(_TOLD)
        self._flush()
        if not self.wire.is_closing():
            self.wire.write_eof()
            asyncio.get_running_loop().call_later(_LEAVE_TIME, self.wire.abort)
        self._finish(error)

    def _finish(self, error: Exception | None) -> None:
        if self.done.done():
            return
        if error is None:
            assert self._above is not None
            self.done.set_result(self._above)
        else:
            self.done.set_exception(error)


Connect = Callable[[Callable[[], asyncio.Protocol]], Any]
"""Makes a transport with a protocol: the loop's `connect_accepted_socket` or `create_connection` on a socket."""


async def shake_hands(connect: Connect, context: ssl.SSLContext, server_name: str | None = None) -> TlsTransport:
    """A connection that speaks TLS, not taken over yet. Cancelled midway, it leaves none behind.

    Args:
        connect: makes the connection below.
        context: who we are, and whom we believe.
        server_name: the name, or address, that the certificate of whom we call must be for; None: we are called.

    Raises:
        ssl.SSLError: there is no agreement, or one does not believe the other; see `why`.
        OSError: the connection ended.
    """
    wire = _Wire(context, server_name, asyncio.get_running_loop())
    await connect(lambda: wire)
    try:
        try:
            return await wire.done
        except ssl.SSLError:
            await wire.gone
            raise
    except BaseException:
        wire.wire.abort()
        raise


def identity_of(der: bytes | None) -> Identity | None:
    """Who a certificate that was verified belongs to; None: there is none."""
    if not der:
        return None
    try:
        found = certificate(der)
    except ProtocolError:  # OpenSSL takes what we cannot read
        return Identity("unreadable certificate", "", der)
    return Identity(found.name, found.role, der)


_TOLD: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
    b"This port speaks TLS: https:// instead of http://\n"
)
"""What a client hears that speaks HTTP where TLS is spoken."""

_REASONS: Final = {
    "WRONG_VERSION_NUMBER": "it does not speak TLS",
    "HTTP_REQUEST": "it speaks plain HTTP: https:// is what is spoken here",
    "NO_SHARED_CIPHER": "no cipher suite in common",
    "UNSUPPORTED_PROTOCOL": "its versions of TLS are too old",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it showed no certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not believe our certificate: it does not know who signed it",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it does not believe our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it says that our certificate has expired",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not believe our certificate",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a certificate of ours",
    "TLSV1_ALERT_PROTOCOL_VERSION": "no version of TLS in common",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it refuses: no cipher suite in common, or it wants a certificate of ours",
    "UNEXPECTED_EOF_WHILE_READING": "it closed the connection",
}


def why(error: BaseException) -> str:
    """Why there is no TLS with somebody, in words for a log: OpenSSL's where there are no better ones."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not accepted: {error.verify_message}"
        case ssl.SSLError(reason=str(reason)) if reason in _REASONS:
            return _REASONS[reason]
        case ssl.SSLError(reason=str(reason)) if reason:
            return reason.replace("_", " ").lower()
        case TimeoutError():
            return "no handshake in time"
        case OSError(strerror=str(text)) if text:
            return text
    return str(error) or type(error).__name__
