"""Who we are to the other side, and how it proves who it is: from files, read at each connection.

So a changed password or a renewed certificate counts from the next connection on, without a reload.
"""

import os
import socket
import ssl

from nportpy.edge.links.base import LinkError
from nportpy.network.tls_contexts import TlsFileError, read_table
from nportpy.network.tls_settings import TlsSettings


def password_of(path: str) -> str:
    """The first line of a file; empty where there is none.

    Raises:
        LinkError: it cannot be read.
    """
    if not path:
        return ""
    try:
        with open(path, encoding="utf-8") as file:
            return file.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise LinkError(f"{path}: {getattr(error, 'strerror', None) or 'is not text'}") from error


def failure_of(error: Exception) -> str:
    """Why there is no connection, in words."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not accepted: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS: {error.reason or error}"
        case socket.gaierror():
            return f"its name is not known: {error.strerror}"
        case TimeoutError():
            return "no answer"
        case OSError() if error.errno is not None:
            return f"cannot connect: {os.strerror(error.errno)}"  # asyncio's own text has addresses in it
    return f"cannot connect: {error or type(error).__name__}"


def tls_context(settings: TlsSettings | None) -> ssl.SSLContext:
    """A client's context that checks certificate and name, made of what the files say now; None: the system's.

    What holds for everybody whom we call by TLS holds here, too: versions and suites, revocation lists, and that no
    dates are looked at before the clock is known. See `Table`.

    Raises:
        LinkError: a file cannot be read, or is not what it should be.
    """
    try:
        return read_table(settings or TlsSettings("")).client
    except TlsFileError as error:
        raise LinkError(f"TLS: {error.reason}") from error


class Named:
    """A context for a library that checks the host's own name, where the certificate is for another.

    It has what paho-mqtt asks of one.
    """

    check_hostname = True

    def __init__(self, context: ssl.SSLContext, server_name: str) -> None:
        """`server_name`: whom the certificate must be for; empty: whoever is called."""
        self._context = context
        self._name = server_name

    def wrap_socket(
        self, sock: socket.socket, server_hostname: str | None = None, do_handshake_on_connect: bool = True
    ) -> ssl.SSLSocket:
        """As that of `ssl.SSLContext`."""
        name = self._name or server_hostname
        return self._context.wrap_socket(sock, server_hostname=name, do_handshake_on_connect=do_handshake_on_connect)
