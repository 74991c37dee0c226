"""Calling somebody by TLS whose table no gateway keeps: the files are read for the one connection."""

import ssl

from nportpy.network.tls_contexts import TlsFileError, read_table
from nportpy.network.tls_settings import TlsSettings
from nportpy.network.tls_transport import Connect, TlsTransport, shake_hands, why


async def call_by_tls(connect: Connect, settings: TlsSettings, host: str) -> TlsTransport:
    """A connection that speaks TLS, not taken over yet. See `shake_hands`.

    Args:
        connect: makes the connection below.
        settings: whom to believe, and who we are.
        host: who is called, by name or address.

    Raises:
        ConnectionError: there is no TLS with them; the message says why.
        OSError: there is no connection.
    """
    try:
        table = read_table(settings)
        return await shake_hands(connect, table.client, table.server_name or host)
    except (ssl.SSLError, TlsFileError) as error:
        raise ConnectionError(why(error)) from error
