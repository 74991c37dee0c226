"""Simulated meters and outstations before programs that nobody here wrote: iec62056-21 reads one, tshark the other."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nportpy.simulator.iec101.asdu import Sizes
from nportpy.simulator.iec101.frames import Frame
from nportpy.simulator.iec101.outstation import Outstation
from nportpy.simulator.iec101.settings import OutstationSettings, Times
from nportpy.simulator.iec62056.contents import LINES
from tests.simulator.test_tuned_lines import running

pytestmark = pytest.mark.peer

iec62056_client = pytest.importorskip("iec62056_21.client")
messages = pytest.importorskip("iec62056_21.messages")


@pytest.fixture(scope="module")
def meter() -> Iterator[tuple[str, int]]:
    spec = "--iec62056=tcp://127.0.0.1:0,maker=SIm,speed=6,repeats_code=true"
    with running(spec) as (path,):
        host, _, port = path.removeprefix("tcp://").rpartition(":")
        yield host, int(port)


@pytest.fixture
def client(meter: tuple[str, int]) -> Iterator[Any]:
    one = iec62056_client.Iec6205621Client.with_tcp_transport(meter, device_address="12345678")
    one.connect()
    yield one
    one.disconnect()


def test_iec62056_21_reads_out(client: Any) -> None:
    message = client.standard_readout()
    assert client.manufacturer_id == "SIm"
    assert "4071".endswith(client.identification)  # it takes the first character for a backslash
    first = {line.partition("(")[0]: line.partition("(")[2].partition(")")[0].partition("*") for line in LINES}
    read = {one.address: (one.value, one.unit or "") for one in message.data if one.address}
    assert read == {address: (value, unit) for address, (value, _, unit) in first.items()}


def test_iec62056_21_programs(client: Any) -> None:
    asked = client.access_programming_mode()
    assert (asked.command, asked.command_type, asked.data_set.value) == ("P", 0, "12345678")
    client.rest()
    password = messages.DataSet(address=None, value="00000000")  # its send_password() fails
    client.transport.send(messages.CommandMessage("P", 1, password).to_bytes())
    assert client._recv_ack() == "\x06"
    client.rest()
    value = client.read_single_value("1.8.0")
    assert (value.value, value.unit) == ("000077.160", "kWh")
    client.rest()
    client.write_single_value("0.9.1", "185815")
    client.rest()
    client.send_break()


def told(sizes: Sizes, times: Times, sequences: bool) -> list[bytes]:
    """What an outstation says in a round: everything that it has, events, a refusal."""
    settings = OutstationSettings(sizes=sizes, times=times, sequences=sequences, link=1)
    outstation = Outstation(settings)
    frames, fcb = [outstation.hear(Frame(0x49, 1), 0.0), outstation.hear(Frame(0x40, 1), 0.0)], 0
    for point in list(outstation.application.points.values()):
        outstation.change(point.address, point.value, 1.0)
    head = bytes((6, 0))[: sizes.cause] + (1).to_bytes(sizes.common, "little") + bytes(sizes.ioa)
    for kind, element in ((100, 20), (101, 5), (45, 1)):
        fcb ^= 0x20
        frames.append(outstation.hear(Frame(0x53 | fcb, 1, bytes((kind, 1)) + head + bytes((element,))), 1.0))
    while outstation.application.class_1:
        fcb ^= 0x20
        frames.append(outstation.hear(Frame(0x5A | fcb, 1), 1.0))
    return [frame for frame in frames if frame]


@pytest.mark.parametrize("times", Times)
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("sizes", [Sizes(), Sizes(2, 2, 2, 3)], ids=str)
def test_tshark_agrees_with_what_an_outstation_says(
    tmp_path: Path, sizes: Sizes, times: Times, sequences: bool
) -> None:
    for program in ("tshark", "text2pcap"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} here")
    frames = told(sizes, times, sequences)
    text, capture = tmp_path / "frames.txt", tmp_path / "frames.pcap"
    text.write_text("".join(f"0000 {frame.hex(' ')}\n\n" for frame in frames))
    subprocess.run(["text2pcap", "-q", "-T", "40000,2401", text, capture], check=True, timeout=60, capture_output=True)
    wanted = {
        "linkaddr_len": sizes.link,
        "cot_len": sizes.cause,
        "asdu_addr_len": sizes.common,
        "asdu_ioa_len": sizes.ioa,
    }
    options = [word for name, size in wanted.items() for word in ("-o", f"iec60870_101.{name}:{size} octet")]
    command = ["tshark", "-n", "-r", str(capture), "-d", "tcp.port==2401,iec60870_101", *options]
    done = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True)
    rows = done.stdout.splitlines()
    assert len(rows) == len(frames)
    for wrong in ("Malformed", "ncorrect", "nknown"):
        assert wrong not in done.stdout
    said = [row.partition("ASDU=1 ")[2].split()[:2] for row in rows if "ASDU=1" in row]
    assert [cause for kind, cause in said if kind == "C_IC_NA_1"] == ["ActCon", "ActTerm"]
    assert [cause for kind, cause in said if kind == "C_CI_NA_1"] == ["ActCon", "ActTerm"]
    assert said[-1][0] == "C_SC_NA_1"
    assert "NEGA" in said[-1][1]
    assert {kind[:4] for kind, cause in said if cause == "Inrogen"} == {"M_SP", "M_DP", "M_ST", "M_BO", "M_ME", "M_PS"}
    assert {kind for kind, cause in said if cause == "Reqcogen"} == {"M_IT_NA_1"}
    event = {Times.NONE: "M_ME_NC_1", Times.SHORT: "M_ME_TC_1", Times.LONG: "M_ME_TF_1"}[times]
    assert said.count([event, "Spont"]) == 2
