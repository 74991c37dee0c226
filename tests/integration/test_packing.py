"""Packing through whole gateways, cut by cut against the wire's clock: virtual time, lines with their true speed."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from nportpy.linesettings import LineSettings
from nportpy.port.base import PortSettings
from nportpy.port.loopback import Cable, LoopbackPort
from nportpy.protocols import rfc2217
from nportpy.protocols.modbus.rtu import encode
from nportpy.protocols.packing import Delimiting, Packing, PackingSettings
from nportpy.simulator.delivery import Delivery, Fifo, LatencyTimer
from nportpy.simulator.device import Answer
from nportpy.simulator.memory import MemoryLine
from nportpy.simulator.wire import PacedWire
from tests.support.lines import Client as LineClient
from tests.support.serving import Client, Served, TelnetClient, com, plan, raw, serving, settle, until

SPEEDS = [1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600]
GAP = PackingSettings(Packing.GAP)
RTU = PackingSettings(Packing.RTU)
# Requests and answers, exceptions among them, of lengths with and without a rest in a FIFO of eight.
FRAMES = [
    encode(1, bytes.fromhex(pdu))
    for pdu in (
        "03 0000 000a",
        "03 14" + "0102" * 10,
        "83 02",
        "10 0001 0002 04 000a 0102",
        "10 0001 0002",
        "06 0001 0003",
        "04 08 00ff1122ff33ffff",
        "01 01 55",
        "03 fa" + "ff00" * 125,
    )
]


class Talker:
    """Says what it is to say once it has heard something, `pause` before each piece.

    Attributes:
        ends: when the last character of each piece ended on the wire.
    """

    def __init__(self, pieces: Sequence[bytes], pause: float, character: float) -> None:
        self.ends: list[float] = []
        self._pieces = pieces
        self._pause = pause
        self._character = character

    def feed(self, data: bytes, now: float) -> Sequence[Answer]:
        return ()

    def silence(self, now: float) -> Sequence[Answer]:
        for piece in self._pieces:
            now += self._pause + len(piece) * self._character
            self.ends.append(now)
        return [Answer(piece, self._pause) for piece in self._pieces]

    def counts(self) -> Mapping[str, int]:
        return {}


class Watcher(Client):
    """Keeps what it reads at a time, and when."""

    def __init__(self, **kind: Any) -> None:
        super().__init__(**kind)
        self.segments: list[bytes] = []
        self.times: list[float] = []

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.segments.append(data)
        self.times.append(asyncio.get_running_loop().time())


class TelnetWatcher(TelnetClient):
    """The same of a client's data, in telnet."""

    def __init__(self, **kind: Any) -> None:
        super().__init__(**kind)
        self.segments: list[bytes] = []
        self.times: list[float] = []

    def data_received(self, data: bytes) -> None:
        before = len(self.heard)
        super().data_received(data)
        if len(self.heard) > before:
            self.segments.append(bytes(self.heard[before:]))
            self.times.append(asyncio.get_running_loop().time())


@asynccontextmanager
async def talking(
    settings: LineSettings, pieces: Sequence[bytes], pause: float, *services: Any, delivery: Delivery | None = None
) -> AsyncIterator[tuple[Served, Talker]]:
    """A gateway on a line whose device says these pieces when it is spoken to."""
    talker = Talker(pieces, pause, settings.character_time)
    cable = Cable()
    far = MemoryLine(PacedWire(talker, settings, shared_pair=False, delivery=delivery))
    cable.far = LoopbackPort(cable, PortSettings(cable.name), far)
    far.attach(cable.far)
    async with serving(plan("cable", *services, line=settings), cables=[cable]) as served:
        yield served, talker
    far.close()


async def connected(served: Served, kind: "type[Watcher]" = Watcher, service: str = "raw") -> Watcher:
    return await served._connected(kind, service, "cable")


def promised(settings: PackingSettings, frame: bytes, character: float) -> float:
    """Seconds that a frame may be held up: not at all where its bytes tell its end; see protocols/packing.py."""
    if settings.packing is Packing.RTU:
        return 0.0
    return max((20 if len(frame) % 8 == 0 else 2) * character, settings.latency)


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("packing", [GAP, RTU], ids=["gap", "rtu"])
async def test_one_segment_for_each_frame_and_no_more_delay_than_promised(speed: int, packing: PackingSettings) -> None:
    line = LineSettings.parse(speed, "8E1")
    character = line.character_time
    async with talking(line, FRAMES, 20 * character + 0.004, raw(packing=packing)) as (served, talker):
        clients = [await connected(served) for _ in range(2)]
        clients[0].send(b"speak")
        await until(lambda: all(len(client.segments) == len(FRAMES) for client in clients), 60)
        for client in clients:
            assert client.segments == FRAMES
            for frame, end, time in zip(FRAMES, talker.ends, client.times, strict=True):
                assert -1e-6 <= time - end <= promised(packing, frame, character) + 1e-4
        assert len(served.gateway._ports["cable"].line.stream.hearers) == 1  # worked out once


@pytest.mark.parametrize("speed", SPEEDS)
async def test_frames_back_to_back_need_no_silence(speed: int) -> None:
    """Each goes with its last byte; those that the FIFO hands over together go in the same moment."""
    line = LineSettings.parse(speed, "8E1")
    async with talking(line, FRAMES, 0.0, raw(packing=RTU), delivery=Fifo(1)) as (served, talker):
        client = await connected(served)
        client.send(b"speak")
        await until(lambda: len(client.heard) == sum(map(len, FRAMES)), 60)
        assert client.segments == FRAMES
        for end, time in zip(talker.ends, client.times, strict=True):
            assert time - end < 1e-4


@pytest.mark.parametrize("speed", [9600, 115200])
async def test_one_segment_for_each_frame_in_rfc2217(speed: int) -> None:
    """Of line data; what else is said to the client comes when it comes."""
    line = LineSettings.parse(speed, "8E1")
    character = line.character_time
    async with talking(line, FRAMES, 20 * character + 0.004, com(packing=GAP)) as (served, talker):
        client = await connected(served, TelnetWatcher, "rfc2217")  # type: ignore[arg-type]  # as good as a Watcher
        assert isinstance(client, TelnetWatcher)
        await until(lambda: client.settled)
        client.send(b"speak")
        await until(lambda: len(client.segments) == len(FRAMES), 60)
        assert client.segments == FRAMES
        for frame, end, time in zip(FRAMES, talker.ends, client.times, strict=True):
            assert -1e-6 <= time - end <= promised(GAP, frame, character) + 1e-4
        answer = await client.ask(rfc2217.SetBaudrate(0))
        assert answer == rfc2217.SetBaudrate(speed)


@pytest.mark.parametrize("speed", [9600, 115200])
async def test_an_adapter_with_a_latency_timer(speed: int) -> None:
    """It hands over every 16 ms, so a silence is seen only if `latency` says so; then frames stay whole."""
    line = LineSettings.parse(speed, "8N1")
    packing = PackingSettings(Packing.GAP, latency=0.017)
    delivery = LatencyTimer(0.016)
    async with talking(line, FRAMES, 0.1, raw(packing=packing), delivery=delivery) as (served, talker):
        client = await connected(served)
        client.send(b"speak")
        await until(lambda: len(client.segments) == len(FRAMES), 60)
        assert client.segments == FRAMES
        for end, time in zip(talker.ends, client.times, strict=True):
            assert time - end <= 0.016 + max(0.017, 20 * line.character_time) + 1e-4


@pytest.mark.parametrize("speed", [9600, 115200])
async def test_frames_in_one_hand_over_of_an_adapter_are_told_apart(speed: int) -> None:
    line = LineSettings.parse(speed, "8N1")
    many = FRAMES * 3
    packing = PackingSettings(Packing.RTU, latency=0.017)
    segments: list[bytes] = []

    class Listening(LineClient):
        def line_data(self, data: bytes) -> None:
            segments.append(data)

    async with talking(line, many, 0.0, raw(), delivery=LatencyTimer(0.016)) as (served, _):
        stream, listening = served.gateway._ports["cable"].line.stream, Listening()
        stream.join(listening, packing=packing)
        client = await connected(served)
        client.send(b"speak")
        await until(lambda: len(client.heard) == sum(map(len, many)), 60)
        assert segments == many
        stream.leave(listening)


async def test_beside_who_packs_others_hear_at_once() -> None:
    line = LineSettings.parse(9600)
    pieces = [bytes(range(48, 58)) * 2]
    async with talking(line, pieces, 0.1, raw(packing=GAP), raw()) as (served, talker):
        packed, plain = await connected(served), await connected(served, service="raw-2")
        plain.send(b"speak")
        await until(lambda: packed.heard == plain.heard == pieces[0])
        assert plain.segments == [pieces[0][:8], pieces[0][8:16], pieces[0][16:]]
        assert packed.segments == pieces
        assert plain.times[-1] == pytest.approx(talker.ends[0], abs=1e-5)


async def test_segments_follow_the_speed_that_a_client_sets() -> None:
    slow, fast = LineSettings.parse(1200), LineSettings.parse(19200)
    frames = [bytes(20)] * 3
    async with talking(slow, frames, 40 * slow.character_time, raw(packing=GAP), com()) as (served, talker):
        control = await served.telnet()
        assert await control.ask(rfc2217.SetBaudrate(fast.baudrate)) == rfc2217.SetBaudrate(fast.baudrate)
        client = await connected(served)
        client.send(b"speak")
        await until(lambda: len(client.heard) == 60, 60)
        # At 19200 the line seems to be silent between two hand-overs of a FIFO at 1200.
        assert len(client.segments) > 3
        assert await control.ask(rfc2217.SetBaudrate(slow.baudrate)) == rfc2217.SetBaudrate(slow.baudrate)
        del client.segments[:], client.times[:], talker.ends[:]
        client.send(b"speak")
        await until(lambda: len(client.segments) == 3, 60)
        assert client.segments == frames
        for end, time in zip(talker.ends, client.times, strict=True):
            assert time - end <= 2 * slow.character_time + 1e-4


@pytest.mark.parametrize(
    ("packing", "expected"),
    [
        (PackingSettings(delimiters=b"\r\n"), [b"one\r\n", b"two\r\n"]),
        (PackingSettings(delimiters=b"\n", delimiting=Delimiting.STRIP), [b"one\r", b"two\r"]),
        (PackingSettings(length=5), [b"one\r\n", b"two\r\n"]),
        (PackingSettings(length=4, force_transmit=0.05), [b"one\r", b"\ntwo", b"\r\nen", b"d"]),
        (PackingSettings(delimiters=b"\n", force_transmit=0.05), [b"one\r\n", b"two\r\n", b"end"]),
    ],
)
async def test_length_delimiters_and_force_transmit(packing: PackingSettings, expected: list[bytes]) -> None:
    line = LineSettings.parse(9600)
    async with talking(line, [b"one\r\n", b"two\r\n", b"end"], 0.02, raw(packing=packing)) as (served, _):
        client = await connected(served)
        client.send(b"speak")
        await settle(1)
        assert client.segments == expected


async def test_what_is_kept_when_the_gateway_stops_is_told() -> None:
    line = LineSettings.parse(9600)
    async with talking(line, [b"the rest"], 0.02, raw(packing=PackingSettings(length=100))) as (served, _):
        client = await connected(served)
        client.send(b"speak")
        await settle(1)
        assert not client.heard
        served.gateway.stop()
        await client.hears(b"the rest")
        await until(lambda: client.lost)


@pytest.mark.real
async def test_each_segment_leaves_in_a_tcp_segment_of_its_own() -> None:
    """Though the line handed all of them over at once."""
    cable = Cable()
    frames = FRAMES  # as many as a network takes before the first acknowledgement (RFC 6928)
    async with serving(plan("cable", raw(packing=RTU)), cables=[cable]) as served:
        client = await served.raw()
        cable.far.write(b"".join(frames))
        await client.hears(b"".join(frames))
        assert data_segments(client.transport.get_extra_info("socket")) == len(frames)


@pytest.mark.real
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_client_that_goes_within_a_segment_is_no_fault(how: str, caplog: pytest.LogCaptureFixture) -> None:
    cable = Cable()
    packing = PackingSettings(length=1000)
    async with serving(plan("cable", raw(packing=packing, half_close=0.0)), cables=[cable]) as served:
        going, staying = await served.raw(), await served.raw()
        cable.far.write(b"x" * 999)
        await until(lambda: served.line().received == 999)
        await (going.close() if how == "close" else going.reset())
        await until(lambda: served.results().get("closed") == 1)
        cable.far.write(b"y")
        await staying.hears(b"x" * 999 + b"y")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def data_segments(sock: socket.socket) -> int:
    """How many with data have come: tcpi_data_segs_in, linux/tcp.h."""
    return int(struct.unpack_from("=I", sock.getsockopt(socket.SOL_TCP, socket.TCP_INFO, 232), 152)[0])
