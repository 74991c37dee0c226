"""A line with requests on it, what is at its far end, and clients that write down how their requests ended."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from nportpy.line.arbiter import Line
from nportpy.line.transaction import Transactions
from nportpy.line.transaction_base import TransactionSettings, TransactionStatus
from nportpy.line.turns import Outcome, Request, Result
from nportpy.linesettings import LineSettings
from nportpy.port.loopback import Cable
from nportpy.protocols.modbus import mbap
from nportpy.protocols.modbus.exchange import Echo, Exchange
from nportpy.protocols.modbus.rtu import Frame
from nportpy.protocols.modbus.rtu_reply import ReplyFinder
from tests.support.lines import running

READ = b"\x03\x00\x00\x00\x01"
WRITE = b"\x06\x00\x01\x00\x02"


def read(address: int, count: int = 1) -> bytes:
    """The request to read registers."""
    return b"\x03" + address.to_bytes(2) + count.to_bytes(2)


def registers(address: int) -> bytes:
    """What a good unit answers to a request for one."""
    return b"\x03\x02" + address.to_bytes(2)


class NoWire:
    """A wire that leads nowhere: what is put on it is in `out`."""

    up = True

    def __init__(self, settings: LineSettings) -> None:
        self.settings = settings
        self.out: list[bytes] = []

    def put(self, data: bytes) -> None:
        self.out.append(data)

    def take_back(self) -> int:
        return 0

    def unsent(self) -> int:
        return 0

    def left(self) -> bool:
        return True

    def give_up(self, reason: str) -> None: ...


class Asker:
    """A client of the bus: `ends` has the results in the order in which they came."""

    def __init__(self, bus: Transactions) -> None:
        self.bus = bus
        self.ends: list[tuple[Request, Result]] = []
        self.asked = 0
        self._ended: set[Request] = set()
        self._another = asyncio.Event()

    def ask(self, unit: int = 1, pdu: bytes = READ, **fields: float | bool) -> Request:
        request = Request(self, unit, pdu, self.done, **fields)  # type: ignore[arg-type]  # names are checked by use
        self.asked += 1
        self.bus.submit(request)
        return request

    def done(self, request: Request, result: Result) -> None:
        assert request not in self._ended, "ended twice"
        self._ended.add(request)
        self.ends.append((request, result))
        self._another.set()

    @property
    def outcomes(self) -> list[Outcome]:
        return [result.outcome for _, result in self.ends]

    async def ended(self, count: int | None = None) -> None:
        async with asyncio.timeout(3600):
            while len(self.ends) < (self.asked if count is None else count):
                self._another.clear()
                await self._another.wait()


class Units:
    """What is at the far end: it sends what `answer` says to each chunk that it hears, after that many seconds."""

    def __init__(self, cable: Cable, answer: Callable[[bytes], list[tuple[float, bytes]]]) -> None:
        self.cable = cable
        self.answer = answer
        self.heard: list[tuple[float, bytes]] = []
        self.last = 0.0  # when a byte passed last
        self.quiet: list[float] = []  # before each frame
        cable.far._receiver = self

    def data_received(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.quiet.append(loop.time() - self.last)
        self.heard.append((loop.time(), data))
        self.last = loop.time()
        for delay, reply in self.answer(data):
            loop.call_later(delay, self._say, reply)

    def _say(self, reply: bytes) -> None:
        self.last = asyncio.get_running_loop().time()
        self.cable.far.write(reply)

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def port_lost(self, error: Exception) -> None: ...


def reply(frame: bytes) -> bytes:
    """What a good unit answers: registers that count up from the address, a coil that is off, the echo of a write."""
    unit, pdu = frame[0], frame[1:-2]
    if pdu[0] == 3:
        address, count = int.from_bytes(pdu[1:3]), int.from_bytes(pdu[3:5])
        data = b"".join(((address + index) % 65536).to_bytes(2) for index in range(count))
        return Frame(unit, bytes((3, len(data))) + data).encode()
    if pdu[0] == 1:
        return Frame(unit, b"\x01\x01\x00").encode()
    return frame


def mbap_reply(frame: bytes) -> bytes:
    """The same of a Modbus TCP server."""
    adu = mbap.parse_datagram(frame)
    return mbap.encode(adu.transaction, adu.unit, reply(Frame(adu.unit, adu.pdu).encode())[1:-2])


@asynccontextmanager
async def a_bus(
    cable: Cable,
    settings: TransactionSettings | None = None,
    line: LineSettings | None = None,
    echo: Echo = Echo.NO,
    exchange: Exchange | None = None,
) -> AsyncIterator[tuple[Line, Transactions]]:
    async with running(cable, line or LineSettings(115200)) as owner:
        bus = owner.transact(exchange or ReplyFinder(echo), settings or TransactionSettings())
        await asyncio.sleep(0.01)
        yield owner, bus


async def late_answers(trials: int, seed: int = 1) -> TransactionStatus:
    """Ask so often, of units of which many answer too late, and see that no answer is given to another's request.

    The requests differ in their address only, and an answer tells which it belongs to. Virtual time is meant for it.
    """
    cable, chance = Cable(), random.Random(seed)
    Units(cable, lambda data: [(chance.choice((0.001, 0.001, 0.13, 0.09)), reply(data))])
    async with a_bus(cable) as (_, bus):
        askers = [Asker(bus) for _ in range(4)]
        for number in range(trials // 4):
            for asker in askers:
                asker.ends.clear()
                asker.asked = 0
                unit = chance.choice((1, 1, 2))
                asker.ask(unit, read(chance.randrange(65536)), timeout=0.1, retries=number % 2)
            for asker in askers:
                await asker.ended()
                for request, result in asker.ends:
                    if result.outcome is Outcome.ANSWERED:
                        assert result.answer == registers(int.from_bytes(request.pdu[1:3]))
                    else:
                        assert result.outcome is Outcome.NO_ANSWER
        await asyncio.sleep(1)
        return bus.status()
