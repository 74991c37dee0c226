"""Modbus over UDP: the frames of Modbus TCP, one in each datagram.

No standard has it, but clients do. There are no connections: an address and port that something came from is a
client, for fair turns and limits, until it is the one that has been idle longest and another needs its place. What is
lost is lost, as UDP has it: the client asks again.

So what is set for connections, their inactivity or what happens when there are too many, has no meaning here, and the
limits over all services do not count these clients.
"""

import asyncio
import contextlib
import logging
import socket
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from nportpy.errors import ProtocolError
from nportpy.modbus.question import Question
from nportpy.modbus.routing import Router, Visitor
from nportpy.modes.modbus import Asked, busy, complain
from nportpy.modes.modbus_base import ModbusSettings
from nportpy.network.addresses import Ancillary, Endpoint, address_of, barred_by, local_endpoint, peer_of, reply_from
from nportpy.network.datagrams import another
from nportpy.network.listener import Backend, first_opening
from nportpy.protocols.modbus import mbap
from nportpy.status import ClientStatus, End, ServiceStatus
from nportpy.throttle import Throttle

_DATAGRAMS_PER_WAKE_UP = 64
_LARGEST = 512  # a datagram that fills this is no frame, whatever more it had
_CONTROL = 256  # bytes for what comes beside a datagram

_Name = tuple[str, int] | tuple[str, int, int, int]  # as the socket module has it: IPv4 or IPv6

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Correspondent:
    """A client: an address and port that requests come from."""

    peer: Endpoint
    visitor: Visitor = field(init=False)
    since: float = field(default_factory=time.time)
    received: int = 0
    sent: int = 0
    under_way: int = 0
    forgotten: bool = False

    def status(self) -> ClientStatus:
        """A snapshot."""
        return ClientStatus(
            address=self.peer.host,
            port=self.peer.port,
            since=self.since,
            state="open",
            received=self.received,
            sent=self.sent,
            waiting=0,
            controls=False,
        )


@dataclass(slots=True, eq=False, kw_only=True)
class _Datagram(Asked):
    """A request, who sent it, and the way back."""

    of: Correspondent
    sock: socket.socket
    name: _Name
    ancillary: Ancillary


class ModbusUdp:
    """Answers datagrams for one service until it is told to stop. The gateway treats it as a `Listener`.

    Attributes:
        backend: what it is there for.
        endpoints: where it listens.
        results: clients by how they turned out; `kicked` are those that were forgotten for others.
        unsent: answers that the network did not take.
    """

    def __init__(
        self,
        backend: Backend,
        service: str,
        settings: ModbusSettings,
        router: Router,
        sockets: Sequence[socket.socket],
        throttle: Throttle,
    ) -> None:
        """Nothing is read before `run`; the sockets, from `listen_datagrams`, stay the caller's."""
        self.backend = backend
        self.service = service
        self.settings = settings
        self.endpoints = tuple(local_endpoint(sock) for sock in sockets)
        self.results: Counter[str] = Counter()
        self.unsent = 0
        self._router = router
        self._sockets = sockets
        self._throttle = throttle
        self._clients: dict[_Name, Correspondent] = {}  # the one that has been idle longest comes first
        self._reading: list[socket.socket] = []
        self._hushed = False
        self._ending = End.SHUTDOWN
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Serve until `stop`."""
        with contextlib.ExitStack() as ours:
            sockets = [another(sock, ours) for sock in self._sockets]
            try:
                await first_opening(self.backend, self._stopping)
                if not self._hushed:
                    self._reading = sockets
                    for sock in sockets:
                        asyncio.get_running_loop().add_reader(sock.fileno(), self._read, sock)
                await self._stopping.wait()
            finally:
                self._read_no_more()
                for name in tuple(self._clients):
                    self._forget(name, self._ending)

    def hush(self) -> None:
        """Take no more requests; what was asked is answered yet."""
        self._hushed = True
        self._read_no_more()

    def stop(self, end: End = End.SHUTDOWN) -> None:
        """Answer nothing from now on; `run` returns."""
        self._ending = end
        self._stopping.set()

    @property
    def sessions(self) -> list[Correspondent]:
        """The clients that are remembered; the one that has been idle longest comes first."""
        return list(self._clients.values())

    def configure(self, settings: ModbusSettings) -> None:
        """Other limits and lists from now on; who is allowed no more is forgotten."""
        self.settings = settings
        for name in [name for name in self._clients if barred_by(address_of(name[0]), settings.allow)]:
            self._forget(name, End.NOT_ALLOWED)

    def accepted(self) -> int:
        """Requests under way."""
        return sum(client.under_way for client in self._clients.values())

    def status(self) -> ServiceStatus:
        """A snapshot."""
        return ServiceStatus(
            port=self.backend.name,
            service=self.service,
            listen=tuple(str(endpoint) for endpoint in self.endpoints),
            clients=tuple(client.status() for client in self._clients.values()),
            results=dict(self.results + Counter(unsent=self.unsent)),
            dropped=0,
            refused=dict(self._router.refused),
        )

    # From the network.

    def _read_no_more(self) -> None:
        for sock in self._reading:
            asyncio.get_running_loop().remove_reader(sock.fileno())
        self._reading = []

    def _read(self, sock: socket.socket) -> None:
        for _ in range(_DATAGRAMS_PER_WAKE_UP):
            try:
                data, ancillary, _, name = sock.recvmsg(_LARGEST, _CONTROL)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:  # what the network says of an answer, mostly
                self._say("cannot receive", error)
                return
            try:
                self._take(sock, data, ancillary, name)
            except Exception as error:
                extra = self._extra() | {"client": str(peer_of(name))}
                log.error("a request failed", exc_info=error, extra=extra)

    def _take(self, sock: socket.socket, data: bytes, ancillary: Ancillary, name: _Name) -> None:
        client = self._clients.get(name)
        if client is None and not self._admits(name):
            return
        try:
            transaction, unit, pdu = mbap.parse_datagram(data)
        except ProtocolError:
            self._router.refused["malformed"] += 1
            complain(self._throttle, self.backend.name, peer_of(name), address_of(name[0]), data, "no frame")
            return
        if client is None:
            client = self._welcome(name)
        else:
            self._clients[name] = self._clients.pop(name)
        client.received += len(data)
        client.under_way += 1
        question = _Datagram(
            client,
            unit,
            pdu,
            self._answered,
            transaction=transaction,
            written=unit,
            of=client,
            sock=sock,
            name=name,
            ancillary=ancillary,
        )
        if client.under_way > self.settings.outstanding:
            self._router.refused["queue_full"] += 1
            self._answered(question, busy(pdu))
        else:
            client.visitor.ask(question)

    def _admits(self, name: _Name) -> bool:
        address = address_of(name[0])
        barring = barred_by(address, self.settings.allow)
        if not barring:
            return True
        result = "refused_allow"
        self.results[result] += 1
        more = self._throttle.allow(address, asyncio.get_running_loop().time())
        if more is not None:
            extra = self._extra() | {"client": str(peer_of(name)), "result": result, "list": barring}
            log.warning("client refused", extra=extra | ({"more": more} if more else {}))
        return False

    def _welcome(self, name: _Name) -> Correspondent:
        while len(self._clients) >= self.settings.max_clients:
            self._forget(next(iter(self._clients)), End.KICKED)
        client = self._clients[name] = Correspondent(peer_of(name))
        client.visitor = self._router.visitor(client, address_of(name[0]))
        self.results["accepted"] += 1
        return client

    def _forget(self, name: _Name, end: End) -> None:
        client = self._clients.pop(name)
        client.forgotten = True
        self.results[end] += 1
        client.visitor.leave()

    # To the network.

    def _answered(self, question: Question, pdu: bytes) -> None:
        assert isinstance(question, _Datagram)
        client = question.of
        client.under_way -= 1
        if not pdu or client.forgotten:
            return
        data = mbap.encode(question.transaction, question.written, pdu)
        try:
            question.sock.sendmsg((data,), reply_from(question.ancillary), 0, question.name)
            client.sent += len(data)
        except OSError as error:
            self.unsent += 1
            self._say("cannot answer", error)

    def _say(self, what: str, error: OSError) -> None:
        if self._throttle.allow((what, self.service), asyncio.get_running_loop().time()) is not None:
            log.warning(what, extra=self._extra() | {"reason": error.strerror})

    def _extra(self) -> dict[str, object]:
        return {"port": self.backend.name, "service": self.service}
