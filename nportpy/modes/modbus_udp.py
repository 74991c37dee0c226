"""Modbus over UDP: the frames of Modbus TCP, one in each datagram.

No standard has it, but clients do. There are no connections: an address and port that something came from is a
client, for fair turns and limits, until it is the one that has been idle longest and another needs its place. What is
lost is lost, as UDP has it: the client asks again.

So what is set for connections, their inactivity or what happens when there are too many, has no meaning here, and the
limits over all services do not count these clients.
"""

import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from nportpy.errors import ProtocolError
from nportpy.modbus.question import Question
from nportpy.modbus.routing import Router, Visitor
from nportpy.modes.modbus import Asked, busy, complain
from nportpy.modes.modbus_base import ModbusSettings
from nportpy.network.addresses import Ancillary, address_of, barred_by, peer_of, reply_from
from nportpy.network.datagram_service import DatagramService
from nportpy.network.datagrams import Correspondent, Name
from nportpy.network.listener import Backend
from nportpy.protocols.modbus import mbap
from nportpy.status import End, ServiceStatus
from nportpy.throttle import Throttle

_LARGEST = 512  # a datagram that fills this is no frame, whatever more it had


@dataclass(slots=True, eq=False)
class Client(Correspondent):
    """An address and port that requests come from."""

    visitor: Visitor = field(init=False)
    under_way: int = 0
    forgotten: bool = False


@dataclass(slots=True, eq=False, kw_only=True)
class _Datagram(Asked):
    """A request, who sent it, and the way back."""

    of: Client
    sock: socket.socket
    name: Name
    ancillary: Ancillary


class ModbusUdp(DatagramService):
    """Answers datagrams for one service. See `DatagramService`.

    Attributes:
        results: clients by how they turned out; `kicked` are those that were forgotten for others.
        unsent: answers that the network did not take.
    """

    largest = _LARGEST

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
        super().__init__(backend, service, sockets, throttle)
        self.settings = settings
        self.unsent = 0
        self._router = router
        self._clients: dict[Name, Client] = {}  # the one that has been idle longest comes first

    def _end(self) -> None:
        for name in tuple(self._clients):
            self._forget(name, self._ending)

    @property
    def sessions(self) -> list[Client]:
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
            refused_by=dict(self._router.refused_by),
        )

    # From the network.

    def _take(self, sock: socket.socket, data: bytes, ancillary: Ancillary, name: Name) -> None:
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
            client.visitor.refused("queue_full")
            self._answered(question, busy(pdu))
        else:
            client.visitor.ask(question)

    def _admits(self, name: Name) -> bool:
        address = address_of(name[0])
        barring = barred_by(address, self.settings.allow)
        if not barring:
            return True
        result = "refused_allow"
        self.results[result] += 1
        self._say("client refused", address, {"client": str(peer_of(name)), "result": result, "list": barring})
        return False

    def _welcome(self, name: Name) -> Client:
        while len(self._clients) >= self.settings.max_clients:
            self._forget(next(iter(self._clients)), End.KICKED)
        client = self._clients[name] = Client(peer_of(name))
        client.visitor = self._router.visitor(client, address_of(name[0]), str(client.peer))
        self.results["accepted"] += 1
        return client

    def _forget(self, name: Name, end: End) -> None:
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
            self._say("cannot answer", ("send", error.errno), {"client": str(client.peer)}, error)
