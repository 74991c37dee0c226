"""tshark dissects what a tap has recorded: every function, exceptions, faults and events, with nothing malformed."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nportpy.linesettings import LineSettings
from nportpy.modbus.bus import Bus, exchange_for
from nportpy.modbus.settings import BusSettings, Framing, Timeout
from nportpy.network.addresses import Endpoint
from nportpy.port.loopback import Cable
from nportpy.protocols.modbus.rtu import Frame
from tests.peers.test_iec101 import conversation
from tests.support.asking import Client
from tests.support.bus import Units
from tests.support.captures import capinfos, captured, dissected, tshark
from tests.support.lines import Client as StreamClient
from tests.support.lines import running

pytestmark = pytest.mark.peer

PAIRS = [
    ("01 0013 0013", "01 03 CD6B05"),
    ("02 00C4 0016", "02 03 ACDB35"),
    ("03 006B 0003", "03 06 022B 0000 0064"),
    ("04 0008 0001", "04 02 000A"),
    ("05 00AC FF00", "05 00AC FF00"),
    ("06 0001 0003", "06 0001 0003"),
    ("07", "07 6D"),
    ("08 0000 A537", "08 0000 A537"),
    ("0B", "0B FFFF 0108"),
    ("0C", "0C 08 0000 0108 0121 2000"),
    ("0F 0013 000A 02 CD01", "0F 0013 000A"),
    ("10 0001 0002 04 000A 0102", "10 0001 0002"),
    ("11", "11 05 01FF 414243"),
    ("14 07 06 0004 0001 0002", "14 06 05 06 0DFE 0020"),
    ("15 0D 06 0004 0007 0003 06AF 04BE 100D", "15 0D 06 0004 0007 0003 06AF 04BE 100D"),
    ("16 0004 00F2 0025", "16 0004 00F2 0025"),
    ("17 0003 0006 000E 0003 06 00FF 00FF 00FF", "17 0C 00FE 0ACD 0001 0003 000D 00FF"),
    ("18 04DE", "18 0006 0002 01B8 1284"),
    ("2B 0E 01 00", "2B 0E 01 01 00 00 03 00 02 4142 01 01 43 02 01 44"),
    ("03 0000 0001", "83 02"),
    ("01 0000 0001", "81 0B"),
]


@dataclass(eq=False)
class From(Client):
    """A client with an address."""

    bus: Bus
    peer: Endpoint = field(default_factory=lambda: Endpoint("192.0.2.7", 40001))

    def __post_init__(self) -> None:
        super().__init__(self.bus)


async def talk(path: Path, framing: Framing) -> None:
    """Ask all of PAIRS, and write the capture to `path`."""
    cable, at = Cable(), 0
    settings = BusSettings(framing=framing, timeout=Timeout(0.2), retries=0)
    exchange = exchange_for(settings)

    def answer(data: bytes) -> list[tuple[float, bytes]]:
        pdu = bytes.fromhex(PAIRS[at][1])
        return [(0.02, ascii_frame(5, pdu) if framing is Framing.ASCII else Frame(5, pdu).encode())]

    Units(cable, answer)
    async with running(cable, LineSettings(19200)) as line, line.tap().watch("test") as watcher:
        bus = Bus(line, settings, exchange)
        client = From(bus)
        for at in range(len(PAIRS)):
            client.ask(bytes.fromhex(PAIRS[at][0]), unit=5)
            await client.ended()
        assert [answer for _, answer in client.ends] == [bytes.fromhex(answer) for _, answer in PAIRS]
        await asyncio.to_thread(path.write_bytes, captured(watcher))


def ascii_frame(unit: int, pdu: bytes) -> bytes:
    data = bytes((unit,)) + pdu
    return b":" + (data + bytes((-sum(data) & 255,))).hex().upper().encode() + b"\r\n"


@pytest.mark.parametrize("framing", Framing)
async def test_c20_every_function_is_a_query_and_an_answer(tmp_path: Path, framing: Framing) -> None:
    path = tmp_path / "all.pcapng"
    await talk(path, framing)
    packets = [each for each in await dissected(path) if "modbus" in each]
    assert [layers["modbus"]["modbus.func_code"] for layers in packets] == [
        str(bytes.fromhex(pdu)[0] & 0x7F) for pair in PAIRS for pdu in pair
    ]
    columns = (await tshark(path, "-Y", "mbtcp", "-T", "fields", "-e", "_ws.col.Info", "-e", "ip.src")).splitlines()
    assert [line.split()[0] for line in columns] == ["Query:", "Response:"] * len(PAIRS)
    assert not await tshark(path, "-Y", "_ws.malformed || _ws.expert.severity == error")
    assert "Unable to classify" not in "".join(columns)


async def test_c20_the_line_and_its_speed_are_told(tmp_path: Path) -> None:
    path = tmp_path / "all.pcapng"
    await talk(path, Framing.RTU)
    told = await capinfos(path)
    assert "19200" in told
    assert "meters-modbus" in told
    assert "UART's FIFO" in told
    serial = [each for each in await dissected(path) if "rtacser" in each]
    assert len(serial) == 2 * len(PAIRS)
    assert not await tshark(path, "-d", "rtacser.data,mbrtu", "-Y", "_ws.malformed")


async def test_c20_faults_and_events_are_found_by_wireshark_s_filters(tmp_path: Path) -> None:
    path, cable = tmp_path / "faults.pcapng", Cable()
    units = Units(cable, lambda _: [])
    good = Frame(5, bytes.fromhex("03 02 002A")).encode()
    async with running(cable) as line, line.tap().watch("test") as watcher:
        bus = Bus(line, BusSettings(timeout=Timeout(0.1), retries=1, cache=10.0))
        clients = [From(bus, Endpoint("192.0.2.8", 5000)), From(bus, Endpoint("2001:db8::9", 5001))]
        units.answer = lambda _: [(0.02, good[:-1] + b"\0")]
        clients[0].ask(b"\x03\0\0\0\1", unit=5)
        await clients[0].ended()
        units.answer = lambda _: [(0.02, good)]
        await asyncio.sleep(100)
        for client in clients:
            client.ask(b"\x03\0\0\0\1", unit=5)
        await clients[1].ended()
        clients[1].ask(b"\x03\0\0\0\1", unit=5)  # from the cache
        await clients[1].ended()
        assert cable.near is not None
        cable.near.count(parity=2, breaks=1)
        line.set_break(True)
        line.set_break(False)
        line.configure(LineSettings(19200))
        await asyncio.sleep(0.2)
        cable.unplug()
        await asyncio.sleep(10)
        await asyncio.to_thread(path.write_bytes, captured(watcher))

    async def found(expression: str) -> int:
        return len((await tshark(path, "-Y", expression)).splitlines())

    assert await found("frame.packet_flags_crc_error == 1 && rtacser") == 2
    assert await found('frame.comment contains "wrong CRC"') >= 2
    assert await found('frame.comment contains "retry 1"') == 1
    assert await found('frame.comment contains "no answer in"') == 1
    assert await found('frame.comment contains "shared by 2"') == 1
    assert await found('frame.comment contains "never on the line: cache"') == 2
    assert await found('frame.comment contains "line down"') == 1
    assert await found('frame.comment contains "line set to 19200"') == 1
    assert await found("rtacser.eventtype == 0x08") == 1  # parity
    assert await found("rtacser.eventtype == 0x09") == 3  # one received, one sent: it begins and ends
    assert await found("modbus.func_code == 3 && ipv6") == 0  # an address is a tag and no packet
    assert await found("_ws.malformed") == 0


async def test_c20_losses_are_an_event_and_a_comment(tmp_path: Path) -> None:
    path, cable = tmp_path / "losses.pcapng", Cable()
    async with running(cable) as line, line.tap().watch("test") as watcher:
        for _ in range(5000):
            line.data_received(bytes(100))
        await asyncio.to_thread(path.write_bytes, captured(watcher, requests=False))
    assert len((await tshark(path, "-Y", "rtacser.eventtype == 5")).splitlines()) == 1
    assert (
        len((await tshark(path, "-Y", f'frame.comment contains "{watcher.lost} records were lost"')).splitlines()) == 1
    )
    assert watcher.lost > 3000


async def test_c20_iec_101_on_the_line_is_dissected_frame_by_frame(tmp_path: Path) -> None:
    path, cable = tmp_path / "iec101.pcapng", Cable()
    frames = await conversation()
    async with running(cable, LineSettings(9600)) as line, line.tap().watch("test") as watcher:
        client = StreamClient()
        line.stream.join(client)
        for number, frame in enumerate(frames):
            if number % 2:
                for at in range(0, len(frame), 5):  # as a driver hands it on, in pieces
                    cable.far.write(frame[at : at + 5])
                    await asyncio.sleep(0.005)
            else:
                line.stream.write(client, frame)
            await asyncio.sleep(0.1)
        await asyncio.to_thread(path.write_bytes, captured(watcher, requests=False))
    sizes = (("linkaddr_len", "1"), ("cot_len", "1"), ("asdu_addr_len", "1"), ("asdu_ioa_len", "2"))
    options = [word for name, size in sizes for word in ("-o", f"iec60870_101.{name}:{size} octet")]
    way = ("-d", "rtacser.data,iec60870_101", *options)
    whole = await tshark(path, *way, "-Y", "iec60870_101", "-T", "fields", "-e", "iec60870_101.header")
    assert len(whole.splitlines()) == len([frame for frame in frames if frame != b"\xe5"])
    assert not await tshark(path, *way, "-Y", "_ws.malformed")
