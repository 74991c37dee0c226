"""tshark and iec60870-parser read what the client sends, what answers it, and the vectors of the reference."""

import asyncio
import shutil
import struct
import subprocess
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nportpy.meters.iec101.client import Iec101Client
from nportpy.meters.iec101.settings import CounterRequest, Iec101Settings
from nportpy.protocols.iec101.asdu import Sizes, decode
from nportpy.protocols.iec101.ft12 import parse
from tests.meters.iec101.support import Station, Wire, hexed
from tests.protocols.iec101.vectors import WIDE, WIRE, link_size

pytestmark = pytest.mark.peer

PORT = 2401
FIELDS = ("iec60870_101.linkaddr", "iec60870_asdu.typeid", "iec60870_asdu.causetx", "iec60870_asdu.addr",
          "iec60870_asdu.ioa", "iec60870_asdu.float", "_ws.expert.message", "_ws.malformed")  # fmt: skip
START = int(datetime(2026, 11, 21, 18, 58, tzinfo=UTC).timestamp()) * 1_000_000


def packet(payload: bytes, number: int, sent: int) -> bytes:
    """A frame as a segment of TCP over IPv4, with what pcap puts before it."""
    tcp = struct.pack(">HHIIHHHH", 40000, PORT, 1 + sent, 1, 0x5018, 65535, 0, 0)
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40 + len(payload), number, 0, 64, 6, 0, bytes(4), bytes((10, 0, 0, 1)))
    data = ip + tcp + payload
    return struct.pack("<IIII", number, 0, len(data), len(data)) + data


def dissected(folder: Path, frames: Sequence[bytes], wide: bool = False) -> list[dict[str, str]]:
    """What tshark says of each frame; sizes 1/1/2 with one byte of link address, or 2/2/3 with two."""
    program = shutil.which("tshark")
    if program is None:
        pytest.skip("no tshark here")
    capture = folder / "frames.pcap"
    written, sent = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101), 0
    for number, frame in enumerate(frames, 1):
        written += packet(frame, number, sent)
        sent += len(frame)
    capture.write_bytes(written)
    size, ioa = ("2", "3") if wide else ("1", "2")
    names = ("linkaddr_len", "cot_len", "asdu_addr_len")
    options = [f"iec60870_101.{name}:{size} octet" for name in names] + [f"iec60870_101.asdu_ioa_len:{ioa} octet"]
    command = [
        program,
        "-n",
        "-r",
        str(capture),
        "-d",
        f"tcp.port=={PORT},iec60870_101",
        "-T",
        "fields",
        "-E",
        "separator=|",
    ]
    command += [word for option in options for word in ("-o", option)]
    command += [word for field in FIELDS for word in ("-e", field)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    rows = done.stdout.splitlines()
    assert len(rows) == len(frames)
    return [dict(zip(FIELDS, row.split("|"), strict=True)) for row in rows]


def check(frame: bytes, said: dict[str, str], wide: bool) -> None:
    """tshark and we read the same."""
    ours = parse(frame, 2 if wide else 1)
    assert not said["_ws.malformed"]
    assert "hecksum" not in said["_ws.expert.message"]
    if ours.is_single:
        return
    assert int(said["iec60870_101.linkaddr"], 0) == ours.address
    if not ours.data:
        assert not said["iec60870_asdu.typeid"]
        return
    asdu = decode(ours.data, Sizes(2, 2, 3) if wide else Sizes())
    assert int(said["iec60870_asdu.typeid"], 0) == asdu.type
    assert int(said["iec60870_asdu.causetx"], 0) == asdu.cause
    assert int(said["iec60870_asdu.addr"], 0) == asdu.common_address
    if asdu.type not in (20, 102, 104, 106):  # what it does not know has object addresses of three bytes there
        assert {int(each, 0) for each in said["iec60870_asdu.ioa"].split(",")} == {
            each.address for each in asdu.objects
        }
    if said["iec60870_asdu.float"]:
        assert float(said["iec60870_asdu.float"]) == pytest.approx(asdu.objects[0].value)


@pytest.mark.parametrize("wide", [False, True])
def test_vectors_are_read_by_tshark_as_by_us(tmp_path: Path, wide: bool) -> None:
    frames = [wire for name, wire in WIRE.items() if (name in WIDE) == wide]
    for frame, said in zip(frames, dissected(tmp_path, frames, wide), strict=True):
        check(frame, said, wide)


async def conversation() -> list[bytes]:
    """All frames of a client and its outstation, in the order of the wire."""
    image = [hexed("01 03 14 01 0A 00 01 0B 00 00 14 00 80"), hexed("0D 01 14 01 2A 00 66 66 67 43 00")]
    events = deque([hexed("1E 01 03 01 0A 00 01 92 3B 3A 12 D5 0B 1A"), hexed("02 01 03 01 0A 00 01 92 3B 3A")])
    outstation, frames = Station(image=image, class_1=events), list[bytes]()

    def heard(request: bytes) -> bytes:
        answer = outstation(request)
        frames.extend(each for each in (request, answer) if each)
        return answer

    settings = Iec101Settings(synchronise_every=60, counters=CounterRequest.FREEZE, groups=(1, 16))
    one = Iec101Client("rtu", settings, lambda: START + round(asyncio.get_running_loop().time() * 1e6))
    for _ in range(3):
        outstation.lose += 1
        await one.poll(Wire(heard))
        await asyncio.sleep(61)
    return frames


async def test_a_conversation_is_read_by_tshark_as_by_us(tmp_path: Path) -> None:
    frames = await conversation()
    assert len(frames) > 40
    for frame, said in zip(frames, dissected(tmp_path, frames), strict=True):
        check(frame, said, wide=False)


async def test_frames_and_checksums_satisfy_iec60870_parser() -> None:
    parser = pytest.importorskip("iec60870.parser")
    pairs = [(wire, link_size(name)) for name, wire in WIRE.items()] + [(each, 1) for each in await conversation()]
    for wire, size in pairs:
        if wire == b"\xe5":
            continue  # it takes the single character for a fault
        found = parser.parse_frame(wire, protocol="t101", link_address_size=size, parse_asdu_data=False)
        assert found.status.value == "VALID", wire.hex(" ")
        assert found.frame_length == len(wire)
