"""Who we are to the other side, and how it proves who it is: from files, read at each connection.

So a changed password or a renewed certificate counts from the next connection on, without a reload.
"""

import os
import socket
import ssl

from nportpy.edge.links.base import LinkError
from nportpy.edge.settings import TlsFiles


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


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """A client's context that checks certificate and name.

    Raises:
        LinkError: a file cannot be read, or is not what it should be.
    """
    try:
        context = ssl.create_default_context(cafile=files.ca or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if files.certificate:
            context.load_cert_chain(files.certificate, files.key or None)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        named = ", ".join(path for path in (files.ca, files.certificate, files.key) if path)
        raise LinkError(f"TLS files {named}: {getattr(error, 'strerror', None) or error}") from error
    return context
