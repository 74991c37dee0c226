"""RFC 2217 within TLS, `rfc2217s://HOST:PORT`: pyserial's handler with a socket that encrypts."""

import socket
import ssl
import threading
from typing import Any, Final
from urllib.parse import urlsplit

import serial.rfc2217

from nportpy.network.tls_contexts import read_table
from nportpy.network.tls_settings import TlsSettings
from nportpy.network.tls_transport import why

_RECORD: Final = 16384  # the largest (RFC 8446, 5.1)


class SecureSocket:
    """A connected socket that speaks TLS, for one thread that reads beside others that write.

    `ssl.SSLSocket` is not: before Python 3.13 two threads in it at once meet in one object of OpenSSL's unguarded.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, server_name: str) -> None:
        """Shake hands.

        Raises:
            OSError: the far end is not believed, or does not believe us.
        """
        self._socket = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self._lock = threading.Lock()  # of the state of TLS
        self._sending = threading.Lock()  # records leave in the order in which they were numbered
        try:
            while not self._shake_hands():
                data = sock.recv(_RECORD)
                if not data:
                    raise ConnectionResetError("the far end closed the connection")
                self._incoming.write(data)
        finally:
            sock.sendall(self._outgoing.read())  # the end of the handshake, or an alert

    def _shake_hands(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._socket.sendall(self._outgoing.read())
            return False
        return True

    def recv(self, size: int) -> bytes:
        """As a socket's."""
        while True:
            with self._lock:
                try:
                    return self._tls.read(size)
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLZeroReturnError:
                    return b""
            data = self._socket.recv(_RECORD)
            if not data:
                return b""
            with self._lock:
                self._incoming.write(data)

    def sendall(self, data: bytes) -> None:
        """As a socket's."""
        with self._sending:
            with self._lock:
                self._tls.write(data)
                encrypted = self._outgoing.read()
            self._socket.sendall(encrypted)

    def __getattr__(self, name: str) -> Any:
        """Whatever else a socket can: of the one below."""
        return getattr(self._socket, name)


class SecureSerial(serial.rfc2217.Serial):
    """pyserial connects, and goes on with what becomes of the socket here."""

    def __init__(self, url: str, tls: TlsSettings | None, timeout: float) -> None:
        """`url` begins with rfc2217s://. Not open yet.

        Raises:
            TlsFileError: a file of `tls` is bad.
        """
        table = read_table(tls or TlsSettings(""))
        self._context = table.client
        self._server_name = table.server_name or urlsplit(url).hostname or ""
        self._secured: SecureSocket | None = None
        super().__init__(None, timeout=timeout, write_timeout=None)
        self.port = url.replace("rfc2217s://", "rfc2217://", 1)

    @property
    def _socket(self) -> SecureSocket | None:
        return self._secured

    @_socket.setter
    def _socket(self, sock: socket.socket | None) -> None:
        if sock is None:
            self._secured = None
            return
        try:
            self._secured = SecureSocket(sock, self._context, self._server_name)
        except BaseException as error:
            sock.close()
            raise OSError(0, why(error)) from error
