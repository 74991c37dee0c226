"""UDP: the line's bytes in datagrams to many, and datagrams of many to the line, as an NPort's mode of that name.

There are no connections: what is lost is lost. An address and port that something came from is a client, until it is
the one that has been silent longest and another needs its place. While the line takes no more, nothing is read: then
the kernel keeps what fits into the socket's buffer, and counts what it drops.
"""

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable, Sequence

from nportpy.line.arbiter import Line
from nportpy.line.stream import Change
from nportpy.linesettings import ModemLines, UartCounters
from nportpy.modes.udp_base import LARGEST_PAYLOAD, Accept, UdpSettings
from nportpy.network.addresses import Address, Ancillary, address_of, allowed, barred_by, peer_of, reply_from
from nportpy.network.datagram_service import DatagramService
from nportpy.network.datagrams import Name, Sender, dropped, is_from, name_on
from nportpy.network.multicast import Leaving, Multicast, versions
from nportpy.network.service import Direction
from nportpy.status import End, ServiceStatus
from nportpy.throttle import Throttle

_REMEMBERED = 32  # senders

log = logging.getLogger(__name__)


class UdpMode(DatagramService):
    """Datagrams for one service. See `DatagramService`.

    Attributes:
        line: where they go, and what is sent in them.
        results: datagrams from the network that were refused, those for it that it did not take (unsent), and
            senders: `kicked` are those that were forgotten for others.
    """

    largest = LARGEST_PAYLOAD

    def __init__(
        self,
        line: Line,
        service: str,
        settings: UdpSettings,
        sockets: Sequence[socket.socket],
        throttle: Throttle,
    ) -> None:
        """Nothing is read before `run`; the sockets, from `listen_datagrams`, stay the caller's."""
        super().__init__(line, service, sockets, throttle)
        self.line = line
        self.settings = settings
        self._multicast: Multicast | None = None
        self._targets: list[tuple[Callable[[bytes, Name], int], Name]] = []
        self._peers = frozenset(address for each in settings.destinations for address in each.addresses())
        self._senders: dict[Name, Sender] = {}  # the one that has been silent longest comes first
        self._last: Sender | None = None
        self._overrun = 0
        self._listening = False
        self._full = False

    def _opened(self) -> None:
        self._overrun = -sum(map(dropped, self._open))  # those of others who had the sockets before

    def _begin(self) -> None:
        settings = self.settings
        for sock in self._open:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        leaving = Leaving(settings.multicast_interface, settings.multicast_ttl, settings.multicast_loop)
        self._multicast = Multicast(self._open, settings.groups, leaving, self._throttle, **self._extra())
        self._targets = [
            (sock.sendto, name_on(sock, address, each.port))
            for each in settings.destinations
            for address in each.addresses()
            for sock in self._sockets_for(address)
        ]
        self._listening = True
        self.line.stream.join(self, packing=settings.packing, hears=settings.direction is not Direction.TO_LINE)
        self._read_on()

    def _sockets_for(self, address: Address) -> list[socket.socket]:
        """The one to send from; none if all are of another kind."""
        found = [sock for sock in self._open if address.version in versions(sock)][:1]
        if not found and self._open:
            log.error("no address to send from", extra=self._extra() | {"destination": str(address)})
        return found

    def _end(self) -> None:
        if self._listening:
            self._listening = False
            self.line.stream.leave(self)
        if self._multicast is not None:
            self._multicast.close()
        while self._senders:
            self._forget(next(iter(self._senders)), self._ending)
        self._overrun = self.overrun

    def configure(self, settings: UdpSettings) -> None:
        """Other limits and lists from now on; who is allowed no more is forgotten."""
        self.settings = settings
        for name in [name for name in self._senders if not allowed(address_of(name[0]), settings.allow)]:
            self._forget(name, End.NOT_ALLOWED)

    def accepted(self) -> int:
        """Datagrams are on their way to the line at once."""
        return 0

    @property
    def sessions(self) -> list[Sender]:
        """Who sent datagrams lately; the one that has been silent longest comes first."""
        return list(self._senders.values())

    @property
    def overrun(self) -> int:
        """Datagrams that the kernel dropped, as the line took no more."""
        return self._overrun + sum(map(dropped, self._open))

    def status(self) -> ServiceStatus:
        """A snapshot."""
        return ServiceStatus(
            port=self.line.name,
            service=self.service,
            listen=tuple(str(endpoint) for endpoint in self.endpoints),
            clients=tuple(sender.status() for sender in self._senders.values()),
            results=dict(self.results + Counter(refused_full=self.overrun)),
            dropped=0,
        )

    # To the network. The line's stream calls these.

    def line_data(self, data: bytes) -> None:
        try:
            self._send(data)
        except Exception as error:
            self._fail("sending failed", error)

    def line_full(self) -> None:
        self._full = True
        self._read_no_more()

    def line_ready(self) -> None:
        self._full = False
        self._read_on()

    def line_up(self) -> None:
        """Whether it is there is looked at for each datagram."""

    def line_down(self) -> None:
        """Likewise."""

    def line_changed(self, change: Change) -> None:
        """Datagrams have no way to tell it."""

    def line_state(self, modem: ModemLines, errors: UartCounters) -> None:
        """Nor this."""

    def _send(self, data: bytes) -> None:
        most = self.settings.max_datagram
        if len(data) <= most:
            self._send_whole(data)
        else:
            for start in range(0, len(data), most):
                self._send_whole(data[start : start + most])

    def _send_whole(self, data: bytes) -> None:
        if not self._targets:
            self._send_back(data)
        for send, name in self._targets:
            try:
                send(data, name)
            except OSError as error:
                self._unsent(name, error)

    def _send_back(self, data: bytes) -> None:
        """To whoever spoke last, from the address that it spoke to."""
        last = self._last
        if last is None or not self.settings.reply_to_last:
            return
        if asyncio.get_running_loop().time() - last.heard > self.settings.reply_time:
            self._last = None
            return
        try:
            last.sock.sendmsg((data,), reply_from(last.ancillary), 0, last.name)
            last.sent += len(data)
        except OSError as error:
            self._unsent(last.name, error)

    def _unsent(self, name: Name, error: OSError) -> None:
        self.results["unsent"] += 1
        self._say("datagram not sent", ("send", name, error.errno), {"client": str(peer_of(name))}, error)

    # From the network.

    def _must_wait(self) -> bool:
        return self._full

    def _take(self, sock: socket.socket, data: bytes, ancillary: Ancillary, name: Name) -> None:
        sender = self._senders.pop(name, None) or self._welcome(sock, name)
        if sender is None:
            return
        self._senders[name] = self._last = sender
        sender.sock, sender.ancillary = sock, ancillary
        sender.heard = asyncio.get_running_loop().time()
        if not self.line.up:
            self.results["refused_down"] += 1
        elif data and self.settings.direction is not Direction.TO_NETWORK:
            sender.received += len(data)
            self.line.stream.write(self, data)

    def _welcome(self, sock: socket.socket, name: Name) -> Sender | None:
        """Somebody who was not heard lately; None if it must not be heard."""
        address = address_of(name[0])
        if any(is_from(own, name) for own in self._open):  # our own broadcast comes back to us
            return None
        mine = self.settings.accept is Accept.ANYONE or address in self._peers
        if not mine or not allowed(address, self.settings.allow):
            self.results["refused_allow"] += 1
            extra: dict[str, object] = {"client": str(peer_of(name)), "result": "refused_allow"}
            extra["list"] = barred_by(address, self.settings.allow) or "destinations"
            self._say("client refused", address, extra)
            return None
        while len(self._senders) >= _REMEMBERED:
            self._forget(next(iter(self._senders)), End.KICKED)
        self.results["accepted"] += 1
        return Sender(peer_of(name), name, sock)

    def _forget(self, name: Name, end: End) -> None:
        if self._senders.pop(name) is self._last and end is not End.KICKED:
            self._last = None
        self.results[end] += 1
