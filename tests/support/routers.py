"""A router whose answers a test gives, and services that hand it requests."""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

from nportpy.modbus.question import Question
from nportpy.modbus.routing import Router, Visitor
from nportpy.modbus.settings import RoutingSettings
from nportpy.modes.modbus import SESSIONS
from nportpy.modes.modbus_base import Access, ModbusSettings
from nportpy.network.access import AccessLimits
from nportpy.network.addresses import Address, listen
from nportpy.network.listener import AlwaysUp, Listener
from nportpy.network.service import AccessSettings
from nportpy.throttle import Throttle
from tests.support.serving import ANY_PORT, Client, connect, until

READ = b"\x03\x00\x00\x00\x01"
WHOLE = RoutingSettings.whole("line")

Answer = Callable[[Question], bytes | None]


def echoed(question: Question) -> bytes:
    """An answer that shows what was asked."""
    return question.pdu


class Guest(Visitor):
    """A visitor of a `Scripted` router."""

    __slots__ = ("address", "client", "left", "router")

    def __init__(self, router: "Scripted", client: Hashable, address: Address | None) -> None:
        self.router = router
        self.client = client
        self.address = address
        self.left = False

    def ask(self, question: Question) -> None:
        assert not self.left
        assert question.client is self.client
        self.router.asked.append(question)
        self.router.written.append((question.unit, question.pdu))
        question.unit = 99  # as on the line
        answer = self.router.answer(question)
        if answer is not None:
            question.done(question, answer)

    def refused(self, reason: str, count: int = 1) -> None:
        self.router.refused[reason] += count

    def routed(self, unit: int) -> bool:
        return unit in self.router.units

    def leave(self) -> None:
        self.left = True


class Scripted(Router):
    """A router that answers what `answer` says: None means later, by the test itself.

    Attributes:
        asked: all questions in order.
        written: their unit ids and PDUs as they came.
        guests: who asks.
        units: which have a route.
    """

    def __init__(self, answer: Answer = echoed, routing: RoutingSettings = WHOLE) -> None:
        super().__init__("plant", routing, lambda _: None)
        self.answer = answer
        self.asked: list[Question] = []
        self.written: list[tuple[int, bytes]] = []
        self.guests: list[Guest] = []
        self.units: set[int] = set(range(10))

    def visitor(self, client: Hashable, address: Address | None, name: str = "") -> Guest:
        self.guests.append(Guest(self, client, address))
        return self.guests[-1]


def later(_question: Question) -> None:
    """The test answers itself."""


def settings(protocol: Access = Access.TCP, **changes: Any) -> ModbusSettings:
    fields: dict[str, Any] = {"listen": ANY_PORT, "protocol": protocol, "routing": WHOLE}
    return ModbusSettings(**(fields | changes))


class Asking:
    """A service on connections, its router, and a way to it."""

    def __init__(self, listener: Listener, router: Scripted) -> None:
        self.listener = listener
        self.router = router
        self.clients: list[Client] = []

    async def client(self, **kind: Any) -> Client:
        before = self.listener.results["accepted"]
        client = await connect(Client, self.listener.endpoints[0].port, **kind)
        self.clients.append(client)
        await until(lambda: self.listener.results["accepted"] > before)
        return client

    async def asks(self, count: int) -> None:
        """So many requests have come in."""
        await until(lambda: len(self.router.asked) >= count)
        assert len(self.router.asked) == count

    def results(self) -> dict[str, int]:
        return dict(self.listener.status().results)


@asynccontextmanager
async def asking(
    protocol: Access = Access.TCP, answer: Answer = echoed, backend: AlwaysUp | None = None, **changes: Any
) -> AsyncIterator[Asking]:
    """Run a service; at the end stop it, and it must leave nothing behind."""
    throttle, wanted = Throttle(), settings(protocol, **changes)
    router = Scripted(answer, wanted.routing)
    sock = listen(wanted.listen[0])
    access = AccessLimits(AccessSettings())
    make = partial(SESSIONS[protocol], router, wanted, throttle)
    listener = Listener(backend or AlwaysUp("plant"), "modbus", wanted, make, [sock], access, throttle, router.refused)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(listener.run())
            served = Asking(listener, router)
            try:
                yield served
            finally:
                listener.stop()
                for client in served.clients:
                    client.transport.abort()
    finally:
        sock.close()
    assert not listener.sessions
    assert all(guest.left for guest in router.guests)


class Wire(asyncio.Transport):
    """A transport in memory, for a connection that a test feeds itself."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        assert not self.closed
        self.written.append(cast(bytes, data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True
