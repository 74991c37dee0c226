"""A gateway that speaks Modbus: its services, simulated units on cables and pseudo-terminals, and a client."""

import asyncio
import os
import struct
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from nportpy.gateway.plans import RouterPlan
from nportpy.linesettings import LineSettings
from nportpy.modbus.settings import Framing, Route, RoutingSettings, ServerSettings
from nportpy.modes.modbus_base import Access, ModbusSettings
from nportpy.port.loopback import Cable
from nportpy.protocols.modbus import mbap
from nportpy.simulator.bus import Bus
from nportpy.simulator.device import Device
from nportpy.simulator.memory import MemoryLine
from nportpy.simulator.store import Store
from nportpy.simulator.terminal import TerminalLine, run_lines
from nportpy.simulator.unpaced import UnpacedWire
from nportpy.simulator.wire import PacedWire
from nportpy.status import BusStatus
from tests.support.serving import ANY_PORT, Client, Served

# Services.


def modbus(to: str = "cable", protocol: Access = Access.TCP, **changes: Any) -> ModbusSettings:
    """A service whose requests all go to one line, unless its routing is given."""
    fields: dict[str, Any] = {"listen": ANY_PORT, "protocol": protocol, "routing": RoutingSettings.whole(to)}
    return ModbusSettings(**(fields | changes))


def route(units: int | Iterable[int], to: str | ServerSettings, **more: int) -> Route:
    return Route(frozenset((units,) if isinstance(units, int) else units), to, **more)


def router(*routes: Route, name: str = "plant", **changes: Any) -> RouterPlan:
    """A `[modbus.NAME]`; `changes` are of its routing."""
    return RouterPlan(name, modbus(routing=RoutingSettings(routes, **changes)))


# Units. What they hold says whose it is: see nportpy/simulator/store.py.


def units(*numbers: int, framing: Framing = Framing.RTU, delay: float = 0.0, eager: bool = True) -> Bus:
    """A bus with these units; an eager one does not wait for the silence after a request."""
    return Bus({number: Store(number) for number in numbers}, framing=framing, delay=delay, eager=eager)


def holding(unit: int, address: int, count: int = 1) -> list[int]:
    """What a unit's holding registers hold at first."""
    return [(256 * unit + at) % 65536 for at in range(address, address + count)]


def attach(cable: Cable, device: Device, line: LineSettings | None = None) -> UnpacedWire | PacedWire:
    """Put a device at the far end of a cable; with `line`, characters take their time."""
    wire = UnpacedWire(device) if line is None else PacedWire(device, line)
    memory = MemoryLine(wire)
    cable.far._receiver = memory
    memory.attach(cable.far)
    return wire


@contextmanager
def on_terminal(device: Device, line: LineSettings | None = None) -> Iterator[str]:
    """A device on a pseudo-terminal, as its path; with `line`, characters take their time."""
    terminal = TerminalLine(UnpacedWire(device) if line is None else PacedWire(device, line))
    stopped, stop = os.pipe()
    thread = threading.Thread(target=run_lines, args=([terminal], stopped))
    thread.start()
    try:
        yield terminal.path
    finally:
        os.close(stop)
        thread.join(30)
        os.close(stopped)
        terminal.close()


# A client.


class Asker(Client):
    """A Modbus TCP client with any number of requests under way.

    Attributes:
        order: transaction ids of the answers as they came.
    """

    def __init__(self) -> None:
        super().__init__()
        self.order: list[int] = []
        self._reader = mbap.Reader()
        self._asked: dict[int, tuple[int, asyncio.Future[bytes]]] = {}
        self._last = 0

    def ask(self, pdu: bytes, unit: int = 1) -> asyncio.Future[bytes]:
        """Send a request; the PDU of its answer comes later."""
        self._last = self._last % 65535 + 1
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked[self._last] = unit, answer
        self.send(mbap.encode(self._last, unit, pdu))
        return answer

    async def read(self, address: int, count: int = 1, unit: int = 1) -> list[int] | int:
        """Holding registers, or an exception code."""
        answer = await self.ask(read(address, count), unit)
        return registers(answer) if answer[0] == 3 else answer[1]

    def data_received(self, data: bytes) -> None:
        for event in self._reader.feed(data):
            assert isinstance(event, mbap.Adu)
            unit, answer = self._asked.pop(event.transaction)  # nothing is answered twice
            assert event.unit == unit
            self.order.append(event.transaction)
            if not answer.cancelled():
                answer.set_result(event.pdu)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for _, answer in self._asked.values():
            answer.cancel()


async def asker(served: Served, service: str = "modbus", port: str = "cable", **kind: Any) -> Asker:
    """A client that the service has let in."""
    return await served._connected(Asker, service, port, **kind)


def read(address: int, count: int = 1) -> bytes:
    return struct.pack(">BHH", 3, address, count)


def write(address: int, value: int) -> bytes:
    return struct.pack(">BHH", 6, address, value)


def registers(answer: bytes) -> list[int]:
    assert answer[0] in (3, 4, 23), answer.hex()
    return list(struct.unpack(f">{answer[1] // 2}H", answer[2:]))


def outcomes(bus: BusStatus) -> dict[str, int]:
    """Requests by result, those of all units and functions added up."""
    found: Counter[str] = Counter()
    for (_, _, result), count in bus.requests.items():
        found[result] += count
    return dict(found)
