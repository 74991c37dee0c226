"""Discovery of NPorts, UDP port 4800: who this device is and which Real COM connections it has. It only reads.

A driver tears its connections down if nobody answers here while its line is idle, so this belongs to Real COM. What is
answered is in protocols/dsci.py; it is never more than three times what was asked, but for addresses that have
connections here, which get a list of those. Addresses can be forged, so there are limits for each and for all together.

By IPv6 a client uses other functions for the same (protocols/dsci_ipv6.py); it is told of its connections by IPv6, and
one by IPv4 of those by IPv4.
"""

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address

from nportpy import __version__
from nportpy.errors import ProtocolError
from nportpy.modes.discovery_base import DiscoverySettings
from nportpy.network.addresses import (
    Address,
    Ancillary,
    address_of,
    allowed,
    barred_by,
    local_endpoint,
    peer_of,
    reply_from,
)
from nportpy.network.interfaces import network_of, own_mac
from nportpy.protocols import dsci, dsci_ipv6
from nportpy.status import End, ServiceStatus
from nportpy.throttle import Throttle

_DATAGRAMS_PER_WAKE_UP = 64
_LARGEST = 512  # far more than any request
_CONTROL = 256  # bytes for what comes beside a datagram
_IP_PKTINFO = 8  # linux/in.h
_OF_ADDRESS = (dsci.Function.NETMASK, dsci.Function.GATEWAY, dsci.Function.NETWORK)
_NO_ADDRESS = IPv4Address(0)
_NO_ADDRESS_6 = IPv6Address(0)

_Name = tuple[str, int] | tuple[str, int, int, int]  # as the socket module has it: IPv4 or IPv6

log = logging.getLogger(__name__)


class Budget:
    """What may be answered: at most so many at once for each address and in all, and so many a second."""

    def __init__(self, burst: int = 40, rate: float = 20.0, total: int = 400, most: int = 1024) -> None:
        """All is there at first.

        Args:
            burst: answers to one address at once.
            rate: of them a second afterwards.
            total: answers to all addresses together, at once and a second.
            most: addresses that are remembered.
        """
        self._burst = burst
        self._rate = rate
        self._total = total
        self._most = most
        self._spent: dict[Address, tuple[float, float]] = {}  # when, and how much until then; the oldest comes first
        self._spent_by_all = (0.0, 0.0)

    def spend(self, address: Address, now: float) -> bool:
        """Whether there is an answer left for an address; it is spent then."""
        spent = _spent(self._spent.pop(address, (now, 0.0)), self._rate, now)
        if spent + 1 > self._burst:
            self._spent[address] = (now, spent)
            return False
        self._spent[address] = (now, spent + 1)
        if len(self._spent) > self._most:
            del self._spent[next(iter(self._spent))]
        return True

    def spend_for_all(self, now: float) -> bool:
        """Whether there is one left for whoever it is; it is spent then."""
        spent = _spent(self._spent_by_all, self._total, now)
        self._spent_by_all = (now, min(spent + 1, self._total))
        return spent + 1 <= self._total


def _spent(before: tuple[float, float], rate: float, now: float) -> float:
    at, spent = before
    return max(0.0, spent - (now - at) * rate)


class Discovery:
    """Answers until it is told to stop. The gateway treats it as a `Listener`.

    Attributes:
        service: its name in metrics and logs.
        endpoints: where it listens.
        sessions: nobody: there are no connections.
        identity: what is told of this device.
        answered: requests that were answered.
        ignored: datagrams that are no request, or one for another device.
        results: requests that were refused.
    """

    sessions: tuple[()] = ()

    def __init__(
        self,
        name: str,
        service: str,
        settings: DiscoverySettings,
        sockets: Sequence[socket.socket],
        connections: Callable[[], Iterable[dsci.Entry]],
        throttle: Throttle,
    ) -> None:
        """Nothing is read before `run`.

        Args:
            name: what metrics and logs call what it belongs to: the gateway.
            service: its name there.
            settings: what it says.
            sockets: from `listen_datagrams`; they stay the caller's.
            connections: the Real COM connections of all ports, now.
            throttle: for log lines of which there could be many.
        """
        self.service = service
        self.endpoints = tuple(local_endpoint(sock) for sock in sockets)
        self.answered = 0
        self.ignored = 0
        self.results: Counter[str] = Counter()
        device = dsci.DeviceId(settings.ap_id, settings.hardware_id, settings.mac or own_mac())
        self.identity = dsci.Identity(device, settings.name, _firmware(), settings.serial)
        self._name = name
        self._settings = settings
        self._sockets = sockets
        self._connections = connections
        self._throttle = throttle
        self._budget = Budget()
        self._hushed = False
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Answer until `stop`."""
        loop = asyncio.get_running_loop()
        try:
            if not self._hushed:
                for sock in self._sockets:
                    if sock.family == socket.AF_INET6:  # of IPv4 datagrams it says only so which address is ours
                        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
                    loop.add_reader(sock.fileno(), self._read, sock)
            await self._stopping.wait()
        finally:
            self.hush()

    def hush(self) -> None:
        """Answer nothing any more."""
        self._hushed = True
        for sock in self._sockets:
            if sock.fileno() >= 0:
                asyncio.get_running_loop().remove_reader(sock.fileno())

    def accepted(self) -> int:
        """Nothing is ever under way."""
        return 0

    def stop(self, end: End = End.SHUTDOWN) -> None:  # noqa: ARG002 - nobody is connected
        """Answer nothing from now on; `run` returns."""
        self._stopping.set()

    def status(self) -> ServiceStatus:
        """A snapshot."""
        return ServiceStatus(
            port=self._name,
            service=self.service,
            listen=tuple(str(endpoint) for endpoint in self.endpoints),
            clients=(),
            results=dict(self.results),
            dropped=0,
        )

    # From the network.

    def _read(self, sock: socket.socket) -> None:
        for _ in range(_DATAGRAMS_PER_WAKE_UP):
            try:
                data, ancillary, _, name = sock.recvmsg(_LARGEST, _CONTROL)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:  # what the network says of an answer, mostly
                self._say("cannot receive", "discovery", reason=error.strerror)
                return
            self._take(sock, data, ancillary, name)

    def _take(self, sock: socket.socket, data: bytes, ancillary: Ancillary, name: _Name) -> None:
        remote = address_of(name[0])
        if not allowed(remote, self._settings.allow):
            self._refuse(remote, name, "refused_allow", barred_by(remote, self._settings.allow))
        elif not self._budget.spend(remote, asyncio.get_running_loop().time()):
            self._refuse(remote, name, "refused_limit")
        else:
            self._answer(sock, data, ancillary, name, remote)

    def _answer(self, sock: socket.socket, data: bytes, ancillary: Ancillary, name: _Name, remote: Address) -> None:
        own = [entry for entry in self._connections() if entry.remote == remote]
        if not own and not self._budget.spend_for_all(asyncio.get_running_loop().time()):
            self._refuse(remote, name, "refused_limit")
            return
        level = socket.IPPROTO_IPV6 if remote.version == 6 else socket.IPPROTO_IP  # a dual-stack socket has both
        way_back = reply_from([each for each in ancillary if each[0] == level])
        try:
            answer = self._answer_to(data, way_back, remote.version, own)
        except ProtocolError:
            answer = None
        if answer is None:
            self.ignored += 1
            return
        try:
            sock.sendmsg((answer,), way_back, 0, name)
            self.answered += 1
        except OSError as error:
            self._say("cannot answer", "discovery", client=str(peer_of(name)), reason=error.strerror)

    def _answer_to(self, data: bytes, way_back: Ancillary, version: int, own: Sequence[dsci.Entry]) -> bytes | None:
        if version == 4:
            return self._answer_by_ipv4(data, _asked(way_back), own)
        if data[:1] == bytes((dsci_ipv6.FUNCTION,)):
            request = dsci_ipv6.parse_request(data)
            return dsci_ipv6.answer(request, self.identity.device, _asked_by_ipv6(way_back), own)
        return dsci.answer(dsci.parse_request(data), self.identity, None)

    def _answer_by_ipv4(self, data: bytes, asked: IPv4Address, own: Sequence[dsci.Entry]) -> bytes | None:
        request = dsci.parse_request(data)
        plain = dsci.Network(asked, _NO_ADDRESS, _NO_ADDRESS)
        network = network_of(asked) if request.function in _OF_ADDRESS else plain
        return dsci.answer(request, self.identity, network, own)

    def _refuse(self, remote: Address, name: _Name, result: str, barring: str = "") -> None:
        self.results[result] += 1
        facts = {"list": barring} if barring else {}
        self._say("discovery refused", remote, client=str(peer_of(name)), result=result, **facts)

    def _say(self, what: str, key: object, **facts: str | None) -> None:
        if (more := self._throttle.allow((what, key), asyncio.get_running_loop().time())) is not None:
            extra: dict[str, object] = {"port": self._name, "service": self.service, **facts}
            log.warning(what, extra=extra | ({"more": more} if more else {}))


def _asked(way_back: Ancillary) -> IPv4Address:
    """Our address that was asked: an answer must come from there and, to a search, name it."""
    return IPv4Address(way_back[0][2][4:8]) if way_back and len(way_back[0][2]) == 12 else _NO_ADDRESS


def _asked_by_ipv6(way_back: Ancillary) -> IPv6Address:
    return IPv6Address(way_back[0][2][:16]) if way_back and len(way_back[0][2]) == 20 else _NO_ADDRESS_6


def _firmware() -> int:
    """Our version as NPorts write theirs."""
    numbers = [0, 0, 0]
    for place, part in enumerate(__version__.split(".")[:3]):
        with contextlib.suppress(ValueError):
            numbers[place] = int(part)
    return dsci.firmware(*numbers)
