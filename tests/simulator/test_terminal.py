"""Lines on pseudo-terminals, in a process of their own: real time, so only order and content are checked."""

import os
import select
import signal
import subprocess
import sys
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nportpy.errors import LineError
from nportpy.linesettings import LineSettings
from nportpy.modbus.settings import Framing
from nportpy.protocols.modbus import ascii  # noqa: A004 - the standard's word
from nportpy.protocols.modbus.rtu import Frame, silent_interval
from nportpy.simulator.lines import BusOptions, from_json
from nportpy.simulator.process import simulated_lines

pytestmark = pytest.mark.process

READ_10 = Frame(1, bytes.fromhex("03 03E8 000A")).encode()
FAST = LineSettings.parse(115200)


@contextmanager
def opened(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        tty.setraw(descriptor)
        yield descriptor
    finally:
        os.close(descriptor)


def read(descriptor: int, size: int) -> bytes:
    got = b""
    while len(got) < size:
        assert select.select([descriptor], [], [], 30)[0], f"only {got!r} in 30 s"
        got += os.read(descriptor, size - len(got))
    return got


@pytest.mark.parametrize("unpaced", [False, True])
def test_both_lines_survive_being_closed(tmp_path: Path, unpaced: bool) -> None:
    meter, echo = str(tmp_path / "meter"), str(tmp_path / "echo")
    with simulated_lines(FAST, meters=[meter], echoes=[echo], unpaced=unpaced):
        for _ in range(2):
            with opened(meter) as one, opened(echo) as other:
                os.write(one, READ_10)
                os.write(other, b"hello")
                assert read(other, 5) == b"hello"
                assert len(Frame.parse(read(one, 25)).pdu) == 22
    assert not os.path.lexists(meter)
    assert not os.path.lexists(echo)


@pytest.mark.parametrize(("unpaced", "size"), [(False, 3_000), (True, 1_000_000)])
def test_more_than_fits_comes_back_whole(tmp_path: Path, unpaced: bool, size: int) -> None:
    link = str(tmp_path / "echo")
    data = bytes(n * 7 % 251 for n in range(size))
    with simulated_lines(FAST, echoes=[link], unpaced=unpaced), opened(link) as line:
        os.set_blocking(line, False)
        got, sent = b"", 0
        while len(got) < size:
            readable, writable, _ = select.select([line], [line] if sent < size else [], [], 30)
            assert readable or writable, f"stuck after {len(got)} bytes"
            if writable:
                sent += os.write(line, data[sent : sent + 4096])
            if readable:
                got += os.read(line, 65536)
    assert got == data


def test_a_stale_link_is_replaced_and_a_file_is_not(tmp_path: Path) -> None:
    link, file = tmp_path / "link", tmp_path / "file"
    link.symlink_to("/nowhere")
    file.write_text("mine")
    with simulated_lines(FAST, echoes=[str(link)]):
        assert link.resolve().is_char_device()
    with pytest.raises(LineError), simulated_lines(FAST, echoes=[str(file)]):
        pass
    assert file.read_text() == "mine"


def start(*arguments: str, stderr: int | None = None) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "nportpy.simulator", *arguments]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True)


@pytest.mark.parametrize("options", [[], ["--unpaced"]])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: signal.Signals, options: list[str]) -> None:
    link = tmp_path / "meter"
    with start("--meter", str(link), *options) as process:
        assert process.stdout is not None
        kind, path, device = process.stdout.readline().split()
        assert (kind, path, device) == ("meter", str(link), str(link.resolve()))
        process.send_signal(number)
        assert process.wait(30) == 0
    assert not link.is_symlink()


READ_STORE = bytes.fromhex("03 0000 0001")
SCRIPT = """
[[fault]]
kind = "junk"
units = "2"
place = "after"
data = "00"
"""


@pytest.mark.parametrize("unpaced", [False, True])
def test_a_bus_by_script_and_its_report(tmp_path: Path, unpaced: bool) -> None:
    link, script = str(tmp_path / "bus"), tmp_path / "script.toml"
    script.write_text(SCRIPT)
    options = BusOptions(units="1-2", meters="9", script=str(script))
    with simulated_lines(FAST, buses=[link], bus=options, unpaced=unpaced) as lines, opened(link) as line:
        os.write(line, Frame(1, READ_STORE).encode())
        assert read(line, 7) == Frame(1, bytes.fromhex("03 02 0100")).encode()
        time.sleep(0.01)  # at least the silence before a frame
        os.write(line, Frame(2, READ_STORE).encode())
        assert read(line, 8) == Frame(2, bytes.fromhex("03 02 0200")).encode() + b"\0"
        time.sleep(0.01)
        os.write(line, Frame(9, READ_10[1:-2]).encode())
        assert len(Frame.parse(read(line, 25)).pdu) == 22
        (report,) = lines.report()
        assert (report.kind, report.link) == ("bus", link)
        figures = {"requests": 3, "answers": 3, "broadcasts": 0, "spoilt": 0, "struck": 1}
        if not unpaced:
            silence = report.counts["shortest_silence"]
            assert silence is not None
            assert silence > silent_interval(FAST)
            figures |= {"frames": 3, "violations": 0, "collisions": 0}
        assert {**report.counts, **figures} == report.counts


def test_ascii_behind_a_usb_adapter_that_echoes(tmp_path: Path) -> None:
    link = str(tmp_path / "bus")
    options = BusOptions(framing=Framing.ASCII, latency=0.016, local_echo=True)
    with simulated_lines(FAST, buses=[link], bus=options) as lines, opened(link) as line:
        os.write(line, ascii.encode(1, READ_STORE))
        assert read(line, 17 + 15) == ascii.encode(1, READ_STORE) + ascii.encode(1, bytes.fromhex("03 02 0100"))
        (report,) = lines.report()
        assert report.counts == {"requests": 1, "broadcasts": 0, "answers": 1, "spoilt": 0, "collisions": 0}


def test_a_unit_that_thinks_on_a_line_without_wire_time(tmp_path: Path) -> None:
    link = str(tmp_path / "bus")
    with simulated_lines(FAST, buses=[link], delay=0.02, unpaced=True), opened(link) as line:
        start = time.monotonic()
        os.write(line, Frame(1, READ_STORE).encode())
        assert len(read(line, 7)) == 7
        assert time.monotonic() - start >= 0.02


def test_half_a_frame_is_forgotten_on_a_line_without_wire_time(tmp_path: Path) -> None:
    link = str(tmp_path / "bus")
    with simulated_lines(FAST, buses=[link], unpaced=True) as lines, opened(link) as line:
        for times in range(1, 4):
            os.write(line, READ_STORE)
            while lines.report()[0].counts["spoilt"] != times:  # the silence has not been noticed yet
                time.sleep(0.001)
            os.write(line, Frame(1, READ_STORE).encode())
            assert len(read(line, 7)) == 7


def test_two_lines_without_wire_time(tmp_path: Path) -> None:
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    with simulated_lines(FAST, buses=[one, two], unpaced=True) as lines, opened(one) as first, opened(two) as second:
        for line in (first, second, first):
            os.write(line, Frame(1, READ_STORE).encode())
            assert len(read(line, 7)) == 7
        assert [report.counts["answers"] for report in lines.report()] == [2, 1]


def test_reports_in_a_file_and_at_the_end(tmp_path: Path) -> None:
    link, report = tmp_path / "bus", tmp_path / "report"
    with start("--bus", str(link), "--report", str(report)) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        assert process.stdout.read() == ""
        assert process.wait(30) == 0
    (line,) = from_json(report.read_text())
    assert (line.kind, line.counts["requests"], line.counts["shortest_silence"]) == ("bus", 0, None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--units", "0"], "1 to 247"),
        (["--latency", "16"], "20ms"),
        (["--latency", "16ms", "--unpaced"], "--unpaced"),
        (["--script", "/nowhere"], "/nowhere"),
        (["--script", "{wrong}"], "fault[0].kind"),
    ],
)
def test_what_a_bus_cannot_be_is_a_usage_error(tmp_path: Path, options: list[str], words: str) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[[fault]]")
    arguments = ["--bus", str(tmp_path / "bus"), *(option.format(wrong=wrong) for option in options)]
    with start(*arguments, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert words in process.stderr.read()
        assert process.wait(30) == 2


def test_a_format_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    with start("--meter", str(tmp_path / "meter"), "--format", "9X3") as process:
        assert process.wait(30) == 2
