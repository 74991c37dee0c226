"""Lines on pseudo-terminals, in a process of their own: real time, so only order and content are checked."""

import os
import select
import signal
import subprocess
import sys
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nportpy.errors import LineError
from nportpy.linesettings import LineSettings
from nportpy.protocols.modbus.rtu import Frame
from nportpy.simulator.process import simulated_lines

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


def start(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "nportpy.simulator", *arguments]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    link = tmp_path / "meter"
    with start("--meter", str(link)) as process:
        assert process.stdout is not None
        kind, path, device = process.stdout.readline().split()
        assert (kind, path, device) == ("meter", str(link), str(link.resolve()))
        process.send_signal(number)
        assert process.wait(30) == 0
    assert not link.is_symlink()


def test_a_format_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    with start("--meter", str(tmp_path / "meter"), "--format", "9X3") as process:
        assert process.wait(30) == 2
