"""The ways to a meter: what a client is made with.

DlmsClient(settings, OverLine(lambda: line.lease("station mains", settings.line, limit=60)))
DlmsClient(settings, OverTcp(Endpoint("192.0.2.7", WRAPPER_PORT)))
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from nportpy.line.lease_base import Leased
from nportpy.meters.dlms.channel import Channel
from nportpy.meters.dlms.settings import DlmsSettings
from nportpy.network.addresses import Endpoint

Lease = Callable[[], AbstractAsyncContextManager[Leased]]
"""Takes the line alone, for one call of the client."""


class OverLine:
    """HDLC on a serial line, alone on it for one call of the client at a time."""

    def __init__(self, lease: Lease) -> None:
        """`lease` takes the line, with the settings that HDLC is spoken at."""
        self._lease = lease

    def channel(self, settings: DlmsSettings, name: str) -> Channel:
        """The way to the meter of `settings`; `name` is for messages."""
        from nportpy.meters.dlms.hdlc_channel import HdlcChannel

        return HdlcChannel(self._lease, settings, name)


class OverTcp:
    """The wrapper of IEC 62056-47 on a TCP connection, which stays open between the calls."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Call the meter, or a gateway that speaks for several, at `endpoint`."""
        self._endpoint = endpoint

    def channel(self, settings: DlmsSettings, name: str) -> Channel:
        """The way to the meter of `settings`; `name` is for messages."""
        from nportpy.meters.dlms.tcp_channel import TcpChannel

        return TcpChannel(self._endpoint, settings, name)
