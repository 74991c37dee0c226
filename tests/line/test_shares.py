"""Streams and requests on one line: neither keeps the other from the wire for longer than its bound."""

import asyncio
from collections.abc import Callable

import pytest

from nportpy.line.arbiter import Line
from nportpy.line.stream_output import AHEAD
from nportpy.line.transaction import LONGEST_TURN, Transactions
from nportpy.line.transaction_base import TransactionSettings
from nportpy.line.turns import Outcome
from nportpy.linesettings import Flow, LineSettings
from nportpy.port.loopback import Cable
from nportpy.protocols.modbus.rtu import Frame
from tests.support.bus import READ, Asker, Units, a_bus, reply
from tests.support.lines import Client

FRAME = Frame(1, READ).encode()
ANSWER = reply(FRAME)
JUNK = b"Z"


class Flood(Client):
    """A raw client that writes whenever it may."""

    def __init__(self, line: Line, size: int) -> None:
        super().__init__()
        self.line = line
        self.size = size
        self.written = 0
        self.going = True
        line.stream.join(self)

    def start(self) -> None:
        asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        if self.going:
            self.written += self.size
            self.line.stream.write(self, JUNK * self.size)
            if not self.calls or self.calls[-1] != "full":
                asyncio.get_running_loop().call_later(max(0.0005, self.size / 2e6), self._write)

    def line_ready(self) -> None:
        super().line_ready()
        self.start()


def unit_amid_junk(
    junk_back: bytes = b"",
) -> tuple[bytearray, Callable[[bytes], list[tuple[float, bytes]]]]:
    """A unit that finds its request in whatever comes, and what it heard; to junk it says `junk_back`, now and then."""
    heard = bytearray()

    def answer(data: bytes) -> list[tuple[float, bytes]]:
        heard.extend(data)
        if heard.endswith(FRAME):
            return [(0.01, ANSWER)]
        return [(0.02, junk_back)] if junk_back and len(heard) % 20 == 0 else []

    return heard, answer


async def poll(bus: Transactions, seconds: float, pause: float = 0.1) -> Asker:
    """A Modbus client that asks, waits for the end, and asks again."""
    asker = Asker(bus)
    until = bus.clock() + seconds
    while bus.clock() < until:
        asker.ask(deadline=bus.clock() + 5.0)
        await asker.ended()
        await asyncio.sleep(pause)
    return asker


def bound(line: LineSettings, patience: float = 1.0) -> float:
    """What a request waits for streams: its patience, what had begun by then, silence."""
    return patience + AHEAD + max(patience, AHEAD, line.character_time) + 100 * line.character_time + 0.01


@pytest.mark.parametrize("baudrate", [300, 1200, 9600, 115200, 921600])
@pytest.mark.parametrize(("clients", "size"), [(1, 65536), (1, 100), (1, 1), (8, 4096)])
@pytest.mark.sample(3)
@pytest.mark.long
async def test_f8_raw_clients_that_write_without_a_pause_leave_requests_their_share(
    baudrate: int, clients: int, size: int
) -> None:
    cable, serial = Cable(paced=baudrate < 100000), LineSettings(baudrate)
    heard, answer = unit_amid_junk()
    Units(cable, answer)
    async with a_bus(cable, line=serial) as (line, bus):
        floods = [Flood(line, size) for _ in range(clients)]
        for flood in floods:
            flood.start()
        await asyncio.sleep(1)
        asker = await poll(bus, 12)
        for flood in floods:
            flood.going = False
        assert asker.outcomes == [Outcome.ANSWERED] * asker.asked
        assert asker.asked >= 4
        assert max(result.waited for _, result in asker.ends) <= bound(serial)
        junk = heard.count(JUNK) * serial.character_time
        assert junk >= 12 * 0.35 or not cable.paced  # and the streams have theirs


@pytest.mark.parametrize("patience", [0.0, 0.1, 3.0])
@pytest.mark.long
async def test_f8_the_bound_is_patience(patience: float) -> None:
    cable, serial = Cable(paced=True), LineSettings(9600)
    heard, answer = unit_amid_junk()
    Units(cable, answer)
    async with a_bus(cable, TransactionSettings(patience=patience), serial) as (line, bus):
        Flood(line, 65536).start()
        await asyncio.sleep(1)
        asker = await poll(bus, 12, pause=0)
        assert asker.outcomes == [Outcome.ANSWERED] * asker.asked
        assert max(result.waited for _, result in asker.ends) <= bound(serial, patience)
        assert heard.count(JUNK) > 100


@pytest.mark.parametrize("waiting", [1, 10])
async def test_f8_requests_without_a_pause_leave_a_raw_client_its_byte(waiting: int) -> None:
    """It waits for the request on the line, a dead unit's too."""
    cable, serial = Cable(paced=True), LineSettings(9600)
    heard, answer = unit_amid_junk()
    Units(cable, answer)
    async with a_bus(cable, line=serial) as (line, bus):
        client = Client()
        line.stream.join(client)
        askers = [Asker(bus) for _ in range(waiting)]
        for turn in range(40):
            for asker in askers:
                asker.ask(1 if turn % 3 else 9, timeout=0.3, deadline=bus.clock() + 60)
            before, at = heard.count(JUNK), bus.clock()
            line.stream.write(client, JUNK)
            while heard.count(JUNK) == before:  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(0.001)
            assert bus.clock() - at <= 0.3 + 0.05
        for asker in askers:
            await asker.ended()


@pytest.mark.long
async def test_f8_where_both_fill_the_line_each_has_half_of_it() -> None:
    cable, serial = Cable(paced=True), LineSettings(9600)
    heard, answer = unit_amid_junk()
    Units(cable, answer)
    async with a_bus(cable, line=serial) as (line, bus):
        flood = Flood(line, 65536)
        askers = [Asker(bus) for _ in range(5)]
        flood.start()
        began, busy = bus.clock(), bus.status().busy
        gaps, last, longest = 0, bus.clock(), 0.0
        while bus.clock() < began + 20:
            for asker in askers:
                while asker.asked - len(asker.ends) < 5:
                    asker.ask(deadline=bus.clock() + 60)
            await asyncio.sleep(0.01)
            if heard.count(JUNK) != gaps:
                gaps, last = heard.count(JUNK), bus.clock()
            longest = max(longest, bus.clock() - last)
        streams = heard.count(JUNK) * serial.character_time
        assert streams / 20 == pytest.approx(0.5, abs=0.1)
        assert (bus.status().busy - busy) / 20 == pytest.approx(0.45, abs=0.1)
        assert longest <= LONGEST_TURN + 0.2
        assert all(asker.outcomes == [Outcome.ANSWERED] * len(asker.ends) for asker in askers)


@pytest.mark.parametrize("junk_back", [b"\xff", b"ZZZZ", FRAME[:4]])
@pytest.mark.long
async def test_f8_what_the_device_says_to_junk_does_not_matter(junk_back: bytes) -> None:
    cable, serial = Cable(paced=True), LineSettings(9600)
    _, answer = unit_amid_junk(junk_back)
    Units(cable, answer)
    async with a_bus(cable, line=serial) as (line, bus):
        Flood(line, 4096).start()
        await asyncio.sleep(1)
        asker = await poll(bus, 12)
        assert asker.outcomes == [Outcome.ANSWERED] * asker.asked
        assert max(result.waited for _, result in asker.ends) <= bound(serial)


@pytest.mark.parametrize("listens", [True, False])
@pytest.mark.parametrize("baudrate", [1200, 9600, 19200])
@pytest.mark.long
async def test_f8_a_device_that_talks_without_a_pause(baudrate: int, listens: bool) -> None:
    """Heard by a raw client or by nobody: requests go after their patience, and find their answers."""
    cable, serial = Cable(paced=True), LineSettings(baudrate)
    _, answer = unit_amid_junk()
    Units(cable, answer)
    async with a_bus(cable, line=serial) as (line, bus):
        client = Client()
        if listens:
            line.stream.join(client)
        talking = True

        def talk() -> None:
            cable.far.write(JUNK * 10)
            if talking:
                asyncio.get_running_loop().call_later(10 * serial.character_time, talk)

        talk()
        asker = await poll(bus, 12)
        talking = False
        assert asker.outcomes == [Outcome.ANSWERED] * asker.asked
        assert asker.asked >= 8
        assert max(result.waited for _, result in asker.ends) <= bound(serial)


async def test_f8_a_client_that_changes_the_line_without_a_pause() -> None:
    """As RFC 2217 clients can; each waits until no request is on the line."""
    cable, serial = Cable(), LineSettings(9600)
    _, answer = unit_amid_junk()
    Units(cable, answer)
    async with a_bus(cable, line=serial) as (line, bus):
        client, changes = Client(), 0
        line.stream.join(client)

        async def change() -> None:
            nonlocal changes
            while True:
                line.stream.write(client, JUNK * 20)
                while not line.all_sent():  # noqa: ASYNC110 - as sessions do
                    await asyncio.sleep(line.time_to_send())
                line.configure(LineSettings(19200 if changes % 2 else 9600))
                changes += 1
                await asyncio.sleep(0.005)

        task = asyncio.get_running_loop().create_task(change())
        asker = await poll(bus, 12)
        task.cancel()
        assert asker.outcomes == [Outcome.ANSWERED] * asker.asked
        assert asker.asked >= 6
        assert max(result.waited for _, result in asker.ends) <= bound(serial)
        assert changes >= 200


async def test_f8_nothing_is_lost_cut_or_out_of_order() -> None:
    """A write that takes no longer than patience goes out whole; a longer one is cut by whole requests only."""
    cable, serial = Cable(paced=True), LineSettings(9600)
    heard, answer = unit_amid_junk()
    Units(cable, answer)
    async with a_bus(cable, TransactionSettings(patience=0.2), serial) as (line, bus):
        client = Client()
        line.stream.join(client)
        writes = [bytes([65 + number]) * size for number, size in enumerate((100, 150, 3000, 10, 150, 1))]
        for write in writes:
            line.stream.write(client, write)
        asker = await poll(bus, 3, pause=0.01)
        assert asker.outcomes == [Outcome.ANSWERED] * asker.asked
        while line.unsent():  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert asker.asked > 5
        assert heard.replace(FRAME, b"") == b"".join(writes)
        assert all(write in heard for write in writes if len(write) <= 150)
        assert client.calls == ["full", "ready"]


async def test_f8_what_flow_control_stops_does_not_pile_up_before_requests() -> None:
    cable = Cable(paced=True)
    serial = LineSettings(9600, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
    heard, answer = unit_amid_junk()
    Units(cable, answer)
    async with a_bus(cable, line=serial) as (line, _):
        cable.far.set_modem_lines(rts=False)
        flood = Flood(line, 200)
        flood.start()
        await asyncio.sleep(30)
        assert cable.near is not None
        assert cable.near.unsent() < 6000
        cable.far.set_modem_lines(rts=True)
        flood.going = False
        while line.unsent():  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert heard.count(JUNK) == flood.written


@pytest.mark.long
async def test_f8_bytes_that_a_device_takes_faster_than_its_speed_says_hold_nobody_up() -> None:
    """A pseudo-terminal, a USB device without a wire."""
    cable = Cable()
    heard, answer = unit_amid_junk()
    Units(cable, answer)
    async with a_bus(cable, line=LineSettings(300)) as (line, bus):
        client = Client()
        line.stream.join(client)
        for _ in range(20):
            line.stream.write(client, JUNK * 1000)
            await asyncio.sleep(0.1)
        while line.unsent():  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.01)
        assert heard == JUNK * 20_000
        asker = Asker(bus)
        asker.ask(deadline=bus.clock() + 5)
        await asker.ended()
        assert asker.outcomes == [Outcome.ANSWERED]


async def test_f8_what_waits_is_kept_when_the_device_goes_and_is_sent_when_it_is_back() -> None:
    cable, serial = Cable(paced=True), LineSettings(9600)
    heard, answer = unit_amid_junk()
    Units(cable, answer)
    async with a_bus(cable, line=serial) as (line, _):
        client = Client()
        line.stream.join(client)
        line.stream.write(client, JUNK * 50)
        line.stream.write(client, b"A" * 5000)
        cable.unplug()
        await asyncio.sleep(1)
        cable.plug()
        await asyncio.sleep(20)
        assert heard.count(b"A") == 5000
        assert line.unsent() == 0
