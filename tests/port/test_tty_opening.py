"""Opening a tty: who gets it, and what those who do not are told."""

import asyncio
import errno
import fcntl
import os
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any, NoReturn

import pytest

from nportpy.errors import LineBusy, LineDown, LineError, LineUnsupported
from nportpy.linesettings import (
    Rs485Mode,
    Rs485Settings,
)
from nportpy.port import ioctls
from nportpy.port.base import OnOpen, PortSettings
from nportpy.port.opening import open_port
from nportpy.port.tty import open_tty
from tests.support.ports import Recorder, a_pty, descriptors, until

N_NULL = 27


async def refused(settings: PortSettings) -> LineError:
    """The error with which opening fails; it leaves nothing open."""
    await asyncio.get_running_loop().run_in_executor(None, int)
    before = descriptors()
    with pytest.raises(LineError) as caught:
        await open_port(settings, Recorder())
    assert descriptors() == before
    return caught.value


# Who may open it.


async def test_a_device_opened_twice_names_who_has_it() -> None:
    with a_pty() as end:
        first = await open_tty(PortSettings(end.path), Recorder())
        error = await refused(PortSettings(end.path))
        assert isinstance(error, LineBusy)
        assert str(error).startswith(f"{end.path} is in use by ")
        assert str(error).endswith(f"(pid {os.getpid()})")
        shared = await open_tty(PortSettings(end.path, exclusive=False), Recorder())
        await shared.close()
        await first.close()
        again = await open_tty(PortSettings(end.path), Recorder())
        await again.close()


async def test_another_process_is_named() -> None:
    with a_pty() as end:
        code = f"import fcntl; f = open({end.path!r}); fcntl.flock(f, fcntl.LOCK_EX); print(); input()"
        with subprocess.Popen(  # noqa: ASYNC220 - it says one line
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other:
            assert other.stdout is not None
            other.stdout.readline()
            error = await refused(PortSettings(end.path))
            other.kill()
        assert isinstance(error, LineBusy)
        assert f"(pid {other.pid})" in str(error)
        assert "import fcntl" in str(error)


def in_exclusive_mode(fd: int) -> bool:
    buffer = bytearray(4)
    fcntl.ioctl(fd, 0x80045440, buffer)  # TIOCGEXCL
    return any(buffer)


async def test_exclusive_mode_is_set_and_given_back() -> None:
    with a_pty() as end:
        watcher = os.open(end.path, os.O_RDWR | os.O_NOCTTY)
        port = await open_tty(PortSettings(end.path), Recorder())
        assert in_exclusive_mode(watcher)
        await port.close()
        assert not in_exclusive_mode(watcher)
        await refused(PortSettings(end.path, rs485=Rs485Settings(Rs485Mode.ON)))
        assert not in_exclusive_mode(watcher)
        os.close(watcher)


async def test_a_line_that_was_given_to_the_kernel_is_busy() -> None:
    with a_pty() as end:
        holder = os.open(end.path, os.O_RDWR | os.O_NOCTTY)
        try:
            fcntl.ioctl(holder, termios.TIOCSETD, N_NULL.to_bytes(4, sys.byteorder))
        except OSError:
            pytest.skip("this kernel has no N_NULL")
        error = await refused(PortSettings(end.path))
        os.close(holder)
        assert isinstance(error, LineBusy)
        assert str(error) == f"{end.path} is in use by the kernel (line discipline 27, see ldattach(8))"


# What cannot be opened.


async def test_what_is_no_serial_device(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_text("precious")
    for path in (tmp_path / "fifo", tmp_path / "file", tmp_path, Path("/dev/null")):
        error = await refused(PortSettings(str(path)))
        assert isinstance(error, LineDown)
        assert str(error) == f"{path} is not a serial device"
    assert (tmp_path / "file").read_text() == "precious"


async def test_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to("/dev/serial/nobody")
    for path in (tmp_path / "absent", tmp_path / "dangling"):
        error = await refused(PortSettings(str(path)))
        assert isinstance(error, LineDown)
        assert str(error) == f"{path} does not exist"


@pytest.mark.parametrize(
    ("number", "kind", "message"),
    [
        (errno.EACCES, LineDown, "{}: permission denied; is the user in the group dialout?"),
        (errno.EPERM, LineDown, "{}: permission denied; is the user in the group dialout?"),
        (errno.EBUSY, LineBusy, "{} is in use by another process"),
        (errno.EIO, LineDown, "{}: Input/output error"),
        (errno.ENXIO, LineDown, "{}: No such device or address"),
    ],
)
async def test_why_the_system_refuses(
    number: int, kind: type[LineError], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    with a_pty() as end:
        with monkeypatch.context() as patch:
            patch.setattr("serial.serialposix.os.open", fail)
            with pytest.raises(kind) as caught:  # os.open is everybody's, so descriptors cannot be counted here
                await open_port(PortSettings(end.path), Recorder())
        assert str(caught.value) == message.format(end.path)


async def test_rs485_that_the_driver_does_not_know_names_the_way_out() -> None:
    with a_pty() as end:
        error = await refused(PortSettings(end.path, rs485=Rs485Settings(Rs485Mode.ON)))
        assert isinstance(error, LineUnsupported)
        assert str(error) == (
            f"{end.path}: the driver pty has no RS-485 mode (Inappropriate ioctl for device); an adapter that "
            'switches direction by itself needs none: set rs485 = "keep"'
        )
        for mode in (Rs485Mode.KEEP, Rs485Mode.OFF):  # there is none to switch off
            port = await open_tty(PortSettings(end.path, rs485=Rs485Settings(mode)), Recorder())
            assert port.report.rs485 is None
            await port.close()


async def test_rs485_off_asks_nothing_of_a_driver_that_has_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The UART core answers the question for every driver, and refuses to set what a driver does not have."""
    monkeypatch.setattr(ioctls, "get_rs485", lambda fd: Rs485Settings(Rs485Mode.OFF))
    with a_pty() as end:
        port = await open_tty(PortSettings(end.path, rs485=Rs485Settings(Rs485Mode.OFF)), Recorder())
        assert port.report.rs485 == Rs485Settings(Rs485Mode.OFF)
        await port.close()


async def test_rs485_that_the_driver_changes_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ioctls, "set_rs485", lambda fd, wish: None)
    monkeypatch.setattr(ioctls, "get_rs485", lambda fd: Rs485Settings(Rs485Mode.ON))
    with a_pty() as end:
        port = await open_tty(PortSettings(end.path, rs485=Rs485Settings(Rs485Mode.ON, termination=True)), Recorder())
        assert "another RS-485 mode than asked" in caplog.text
        await port.close()


async def test_rs485_that_the_driver_ignores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ioctls, "set_rs485", lambda fd, wish: None)
    monkeypatch.setattr(ioctls, "get_rs485", lambda fd: Rs485Settings(Rs485Mode.OFF))
    with a_pty() as end:
        error = await refused(PortSettings(end.path, rs485=Rs485Settings(Rs485Mode.ON)))
        assert isinstance(error, LineUnsupported)
        assert "did not switch RS-485 on" in str(error)
        assert 'rs485 = "keep"' in str(error)


async def test_nothing_leaks_whichever_call_fails_while_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls, fail_at = fcntl.ioctl, 0, 0

    def failing(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == fail_at:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(*arguments)

    with a_pty() as end:
        monkeypatch.setattr(fcntl, "ioctl", failing)
        await asyncio.get_running_loop().run_in_executor(None, int)
        before, outcomes = descriptors(), set()
        for fail_at in range(1, 20):  # noqa: B007 - `failing` reads it
            calls = 0
            try:
                port = await open_tty(PortSettings(end.path, dtr=OnOpen.ON), Recorder())
            except LineDown as error:
                outcomes.add(str(error))
            else:
                outcomes.add("")
                await port.close()
            assert descriptors() == before
    assert outcomes == {"", f"{end.path}: Input/output error"}


@pytest.mark.real
async def test_opening_that_is_cancelled_midway_closes_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_pty() as end:
        await asyncio.get_running_loop().run_in_executor(None, int)
        before = descriptors()
        for pause in (0.0, 0.0005, 0.001, 0.002, 0.005):
            async with asyncio.TaskGroup() as tasks:
                opening = tasks.create_task(open_tty(PortSettings(end.path), Recorder()))
                await asyncio.sleep(pause)
                opening.cancel()
            if not opening.cancelled():
                await opening.result().close()
            await until(lambda: descriptors() == before)
        port = await open_tty(PortSettings(end.path), Recorder())  # nobody has it locked
        await port.close()


async def test_a_modem_line_without_carrier_does_not_block_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    """O_NONBLOCK: without it, a line that lacks CLOCAL waits in open(2) for CD."""
    flags: dict[str, int] = {}
    real = os.open

    def note(path: str, how: int, *rest: int) -> int:
        flags[path] = how
        return real(path, how, *rest)

    with a_pty() as end:
        monkeypatch.setattr("serial.serialposix.os.open", note)
        port = await open_tty(PortSettings(end.path), Recorder())
        await port.close()
        assert flags[end.path] & os.O_NONBLOCK
        assert flags[end.path] & os.O_NOCTTY
