"""What is particular to a tty, seen on pseudo-terminals."""

import asyncio
import errno
import fcntl
import os
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from nportpy.errors import LineDown, LineUnsupported
from nportpy.line.arbiter import Line
from nportpy.line.stream_base import StreamSettings
from nportpy.linesettings import Flow, LineSettings, ModemLines, Parity, StopBits, UartCounters
from nportpy.port import ioctls, terminal
from nportpy.port import tty as port_tty
from nportpy.port.base import OnClose, OnOpen, PortSettings
from nportpy.port.tty import open_tty
from tests.support.peers import output_of
from tests.support.ports import Pty, Recorder, a_pty, descriptors, until

pytestmark = pytest.mark.real  # the kernel carries a pseudo-terminal's bytes over in its own time

RTSCTS = LineSettings(flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
MARK = LineSettings(parity=Parity.MARK)
DSRDTR = LineSettings(flow=Flow.DSRDTR, flow_in=Flow.DSRDTR)


# Settings.


@pytest.mark.parametrize("baudrate", [50, 300, 9600, 115200, 3840, 250000, 31250, 4_000_000, 12_345_678])
async def test_any_speed_reaches_the_terminal(baudrate: int) -> None:
    with a_pty() as end:
        port = await open_tty(PortSettings(end.path, LineSettings(baudrate)), Recorder())
        now = ioctls.Termios2(end.master)
        assert (now.ispeed, now.ospeed) == (baudrate, baudrate)
        assert port.settings.baudrate == baudrate
        await port.close()


@pytest.mark.parametrize("baudrate", [50, 134, 300, 9600, 38400, 57600, 115200, 921600, 4_000_000])
async def test_t1_other_programs_see_a_standard_speed(baudrate: int) -> None:
    with a_pty() as end:
        port = await open_tty(PortSettings(end.path, LineSettings(), exclusive=False), Recorder())
        assert port.configure(LineSettings(baudrate)).baudrate == baudrate
        assert await stty(end.path, "speed") == str(baudrate)
        slave = os.open(end.path, os.O_RDWR | os.O_NOCTTY)
        seen = termios.tcgetattr(slave)
        os.close(slave)
        assert seen[4] == seen[5] == getattr(termios, f"B{baudrate}")
        await port.close()


async def test_t1_a_speed_that_another_program_sets_is_that_of_both_directions() -> None:
    with a_pty() as end:
        port = await open_tty(PortSettings(end.path, LineSettings(9600), exclusive=False), Recorder())
        await stty(end.path, "19200")
        now = ioctls.Termios2(end.master)
        assert (now.ispeed, now.ospeed) == (19200, 19200)
        for odd in (31250, 19200):  # and from one that has no constant back to one that has
            assert port.configure(LineSettings(odd)).baudrate == odd
            now = ioctls.Termios2(end.master)
            assert (now.ispeed, now.ospeed) == (odd, odd)
        assert await stty(end.path, "speed") == "19200"
        await port.close()


async def stty(path: str, *words: str) -> str:
    code, output = await output_of("stty", "-F", path, *words)
    assert code == 0, output
    return output.strip()


async def test_raw_mode_whatever_the_last_user_left_behind() -> None:
    with a_pty() as end:
        slave = os.open(end.path, os.O_RDWR | os.O_NOCTTY)
        odd = termios.tcgetattr(slave)
        odd[0] |= termios.ICRNL | termios.ISTRIP | termios.IXON | termios.PARMRK
        odd[1] |= termios.OPOST | termios.ONLCR
        odd[3] |= termios.ICANON | termios.ECHO | termios.ISIG
        odd[6][termios.VMIN], odd[6][termios.VSTOP] = 0, b"x"
        termios.tcsetattr(slave, termios.TCSANOW, odd)
        heard = Recorder()
        port = await open_tty(PortSettings(end.path), heard)
        now = ioctls.Termios2(slave)
        os.close(slave)
        assert (now.iflag, now.oflag, now.lflag) == (termios.IGNBRK, 0, 0)
        assert now.cflag & (termios.CREAD | termios.CLOCAL) == termios.CREAD | termios.CLOCAL
        assert (now.cc[termios.VMIN], now.cc[termios.VTIME]) == (1, 0)
        assert (now.cc[termios.VSTART], now.cc[termios.VSTOP]) == (0x11, 0x13)
        await end.far.write(b"\r\n\x03\xff\x00\x11\x13x")
        await until(lambda: heard.data == b"\r\n\x03\xff\x00\x11\x13x")
        port.write(b"\n")
        assert await end.far.read_on() == b"\n"  # no echo, no carriage return
        await port.close()


@pytest.mark.parametrize("text", ["5N1", "5E1.5", "6M2", "7E2", "8S1", "8O1", "8N2"])
async def test_formats_that_a_pseudo_terminal_does_not_keep(text: str) -> None:
    wish = LineSettings.parse(1200, text)
    with a_pty() as end:
        port = await open_tty(PortSettings(end.path, wish), Recorder())
        assert port.settings == wish
        assert port.configure(LineSettings()) == LineSettings()
        assert port.configure(wish) == wish
        await port.close()


async def test_flow_control_and_hang_up_on_close_reach_the_terminal() -> None:
    with a_pty() as end:
        wish = LineSettings(flow=Flow.XONXOFF)
        port = await open_tty(PortSettings(end.path, wish, on_close=OnClose.DROP), Recorder())
        now = ioctls.Termios2(end.master)
        assert now.iflag & (termios.IXON | termios.IXOFF) == termios.IXON
        assert now.cflag & termios.HUPCL
        port.configure(replace(wish, flow=Flow.NONE, flow_in=Flow.XONXOFF))
        assert ioctls.Termios2(end.master).iflag & (termios.IXON | termios.IXOFF) == termios.IXOFF
        port.configure(RTSCTS)
        now = ioctls.Termios2(end.master)
        assert not now.iflag & (termios.IXON | termios.IXOFF)
        assert now.cflag & termios.CRTSCTS
        await port.close()


async def test_xoff_holds_the_line_and_a_purge_frees_it() -> None:
    with a_pty() as end:
        heard = Recorder()
        port = await open_tty(PortSettings(end.path, LineSettings(flow=Flow.XONXOFF)), heard)
        await end.far.write(b"\x13")
        await asyncio.sleep(0.05)
        port.write(b"x" * 100_000)
        assert await end.far.read_on() == b""
        assert port.unsent() == 100_000
        assert heard.calls == ["pause"]
        await end.far.write(b"\x11")
        assert await end.far.read(100_000) == b"x" * 100_000
        assert not heard.data
        await port.close()


async def test_unchanged_settings_are_not_sent_to_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_pty() as end:
        port = await open_tty(PortSettings(end.path), Recorder())
        applied: list[int] = []
        monkeypatch.setattr(ioctls.Termios2, "apply", lambda self, fd: applied.append(fd))
        port.configure(LineSettings())
        terminal.apply_settings(port._fd, LineSettings(), OnClose.KEEP)
        assert not applied
        port.configure(LineSettings(19200))
        assert len(applied) == 1
        await port.close()


@pytest.mark.parametrize(
    ("cflag", "wish", "expected"),
    [
        (termios.CS8 | termios.PARODD, LineSettings(parity=Parity.ODD), LineSettings()),
        (termios.CS8 | termios.PARENB | termios.PARODD, MARK, LineSettings(parity=Parity.ODD)),
        (termios.CS8 | ioctls.CMSPAR, LineSettings(parity=Parity.SPACE), LineSettings()),
        (
            termios.CS8 | termios.CSTOPB,
            LineSettings(data_bits=5, stop_bits=StopBits.ONE_AND_HALF),
            LineSettings(stop_bits=StopBits.TWO),
        ),
        (
            termios.CS5 | termios.CSTOPB,
            LineSettings(data_bits=5, stop_bits=StopBits.ONE_AND_HALF),
            LineSettings(data_bits=5, stop_bits=StopBits.ONE_AND_HALF),
        ),
        (termios.CS8, RTSCTS, LineSettings()),
        (termios.CS8, DSRDTR, DSRDTR),
        (termios.CS8 | termios.CRTSCTS, LineSettings(), RTSCTS),
    ],
)  # fmt: skip
def test_what_a_driver_says_it_did_is_understood(cflag: int, wish: LineSettings, expected: LineSettings) -> None:
    with a_pty() as end:
        now = ioctls.Termios2(end.master)
    now.cflag, now.iflag = cflag, 0
    for told, baudrate in ((9615, 9615), (0, 9600)):
        now.ospeed = told
        assert terminal.settings_of(now, wish) == replace(expected, baudrate=baudrate)


# Life and death.


async def test_a_device_comes_back_under_another_number_behind_the_same_link(tmp_path: Path) -> None:
    link = str(tmp_path / "by-id")
    with a_pty(link) as first:
        port = await open_tty(PortSettings(link), Recorder())
        with a_pty() as in_between:
            first.close()
            await port.close()
            with a_pty(link) as second:
                assert len({first.master, second.master, in_between.master}) >= 2
                heard = Recorder()
                port = await open_tty(PortSettings(link), heard)
                await second.far.write(b"here again")
                await until(lambda: heard.data == b"here again")
                await port.close()


@pytest.mark.parametrize("paused", [False, True])
async def test_a_hang_up_that_the_kernel_orders_is_noticed_at_once(paused: bool) -> None:
    """As when a USB adapter is pulled out: tty_vhangup, which the superuser may order."""
    with a_pty() as end:
        heard = Recorder()
        port = await open_tty(PortSettings(end.path), heard)
        await asyncio.sleep(0.01)
        if paused:
            port.pause_reading()
            await end.far.write(b"unread")
            await asyncio.sleep(0.01)
        slave = os.open(end.path, os.O_RDWR | os.O_NOCTTY)
        try:
            fcntl.ioctl(slave, 0x5437)  # TIOCVHANGUP
        except PermissionError:
            pytest.skip("only the superuser may")
        finally:
            os.close(slave)
        for _ in range(3):
            await asyncio.sleep(0)
        await until(lambda: heard.losses, 0.5)
        await port.close()


async def test_bytes_that_arrive_while_paused_do_not_keep_the_loop_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_pty() as end:
        port = await open_tty(PortSettings(end.path), Recorder())
        looked = 0
        look = port._look_for_hangup

        def count(events: int) -> None:
            nonlocal looked
            looked += 1
            look(events)

        monkeypatch.setattr(port, "_look_for_hangup", count)
        port.pause_reading()
        for _ in range(20):
            await end.far.write(b"x" * 100)
            await asyncio.sleep(0.002)
        assert looked <= 30
        await port.close()


async def test_descriptor_numbers_are_used_again_and_again() -> None:
    """A descriptor that is closed before it has left uvloop's poll set aborts the whole process."""
    before = descriptors()
    for number in range(40):
        with a_pty() as end:
            heard = Recorder()
            port = await open_tty(PortSettings(end.path), heard)
            if number % 3 == 0:
                port.pause_reading()
            if number % 4 == 0:
                port.write(b"x" * 100_000)
            await asyncio.sleep(0)
            if number % 2:
                end.close()
                await until(lambda heard=heard: heard.losses)  # type: ignore[misc]
            await port.close()
    await until(lambda: descriptors() <= before + 4)  # the executor's threads have some


async def test_a_device_killed_under_traffic_both_ways() -> None:
    with a_pty() as end:
        heard = Recorder()
        port = await open_tty(PortSettings(end.path), heard)
        for _ in range(20):
            port.write(b"w" * 5000)
            await end.far.write(b"r" * 3000)
            await end.far.read(2000)
            await asyncio.sleep(0)
        end.close()
        port.write(b"w" * 5000)
        await until(lambda: heard.losses)
        assert set(heard.data) <= {ord("r")}
        assert 0 < port.unsent() <= 105_000
        await port.close()


# The driver's whims.


async def test_a_driver_that_always_wants_and_never_takes_does_not_take_the_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with a_pty() as end:
        port = await open_tty(PortSettings(end.path), Recorder())
        real, attempts = os.write, 0

        def nothing_taken(fd: int, data: bytes) -> int:
            nonlocal attempts
            if fd != port._fd:
                return real(fd, data)
            attempts += 1
            if attempts % 2:
                raise BlockingIOError
            return 0

        monkeypatch.setattr(os, "write", nothing_taken)
        began = time.monotonic()
        port.write(b"patience")
        await until(lambda: attempts >= 5)
        await asyncio.sleep(0.1)
        assert attempts <= (time.monotonic() - began) * 1000 + 10
        monkeypatch.undo()
        await asyncio.sleep(0.01)
        assert await end.far.read(8) == b"patience"
        await port.close()


async def test_wake_ups_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_pty() as end:
        heard = Recorder()
        port = await open_tty(PortSettings(end.path), heard)
        real, woken = os.read, 0

        def nothing_there(fd: int, size: int) -> bytes:
            nonlocal woken
            woken += fd == port._fd
            if fd == port._fd and woken < 4:
                raise (BlockingIOError if woken % 2 else InterruptedError)
            return real(fd, size)

        monkeypatch.setattr(os, "read", nothing_there)
        await end.far.write(b"at last")
        await until(lambda: heard.data == b"at last")
        await port.close()


@pytest.mark.parametrize("end_of_it", [b"", OSError(errno.EIO, "gone"), b"rest", BlockingIOError()])
async def test_a_full_read_takes_along_what_is_behind_it(
    end_of_it: bytes | OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_pty() as end:
        heard = Recorder()
        port = await open_tty(PortSettings(end.path), heard)
        await asyncio.sleep(0.01)
        real, script = os.read, [b"a" * 4095, b"b" * 4095, end_of_it]

        def scripted(fd: int, size: int) -> bytes:
            if fd != port._fd or not script:
                return real(fd, size)
            told = script.pop(0)
            if isinstance(told, OSError):
                raise told
            return told

        monkeypatch.setattr(os, "read", scripted)
        await end.far.write(b"!")
        await until(lambda: heard.data.endswith(b"!"))
        expected = b"a" * 4095 + b"b" * 4095 + (end_of_it if isinstance(end_of_it, bytes) else b"")
        assert heard.data == expected + b"!"  # the end of a device is met again at the next read
        await port.close()


@pytest.mark.parametrize("number", [errno.EIO, errno.ENODEV, errno.ENXIO, errno.EINVAL])
async def test_settings_that_fail(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: ioctls.Termios2, fd: int) -> None:
        raise OSError(number, os.strerror(number))

    with a_pty() as end:
        heard = Recorder()
        port = await open_tty(PortSettings(end.path), heard)
        before = port.settings
        monkeypatch.setattr(ioctls.Termios2, "apply", fail)
        gone = number != errno.EINVAL
        with pytest.raises(LineDown if gone else LineUnsupported):
            port.configure(LineSettings(300))
        assert port.settings == before
        await asyncio.sleep(0.01)
        assert len(heard.losses) == gone
        await port.close()


async def test_what_the_driver_tells_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pseudo-terminal has none of it, so the ioctls answer for a UART."""
    moved: list[tuple[ModemLines, ModemLines]] = []
    monkeypatch.setattr(ioctls, "get_modem_lines", lambda fd: ModemLines.CTS | ModemLines.RI)
    monkeypatch.setattr(ioctls, "change_modem_lines", lambda fd, raised, dropped: moved.append((raised, dropped)))
    monkeypatch.setattr(ioctls, "get_counters", lambda fd: UartCounters(parity=3))
    monkeypatch.setattr(ioctls, "transmitter_empty", lambda fd: True)
    with a_pty() as end:
        port = await open_tty(PortSettings(end.path, dtr=OnOpen.OFF, rts=OnOpen.ON), Recorder())
        none = ModemLines(0)
        assert moved == [(none, ModemLines.DTR), (ModemLines.RTS, none)]
        assert port.report.modem_lines
        assert port.report.counters
        assert port.modem_lines() == ModemLines.CTS | ModemLines.RI
        assert port.counters() == UartCounters(parity=3)
        port.set_modem_lines(dtr=True, rts=False)
        assert moved[-1] == (ModemLines.DTR, ModemLines.RTS)
        assert port.sent()
        monkeypatch.setattr(ioctls, "transmitter_empty", lambda fd: False)
        assert not port.sent()  # the shift register is busy
        await port.close()


async def test_a_driver_that_never_calls_its_transmitter_empty_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ioctls, "transmitter_empty", lambda fd: False)
    with a_pty() as end:
        port = await open_tty(PortSettings(end.path), Recorder())
        assert port.sent()
        await port.close()


@contextmanager
def an_adapter(clock: Callable[[], float] = time.monotonic, *, lsr: bool | None = None) -> Iterator[Pty]:
    """A pseudo-terminal for a USB adapter; `lsr` is what it says of its transmitter, None for nothing."""

    def transmitter_empty(fd: int) -> bool:
        if lsr is None:
            raise OSError(errno.ENOTTY, "")
        return lsr

    with pytest.MonkeyPatch.context() as patch, a_pty() as end:
        patch.setattr(ioctls, "transmitter_empty", transmitter_empty)
        patch.setattr(terminal, "is_pseudo", lambda fd: False)
        patch.setattr(port_tty, "monotonic", clock)
        yield end


@pytest.mark.parametrize("lsr", [None, False])
async def test_b7_where_the_uart_cannot_be_asked_bytes_are_given_their_time(lsr: bool | None) -> None:
    now = 100.0
    with an_adapter(lambda: now, lsr=lsr) as end:
        port = await open_tty(PortSettings(end.path, LineSettings(300)), Recorder())
        assert port.sent()
        port.write(b"/?!\r\n\x06")
        assert await end.far.read(6) == b"/?!\r\n\x06"  # the kernel is rid of them
        assert (port.sent(), port.unsent()) == (False, 6)
        assert port.purge(unsent=True) == 0  # and cannot take them back
        now += 0.1
        assert (port.sent(), port.unsent()) == (False, 3)
        now += 0.1001
        assert (port.sent(), port.unsent()) == (True, 0)
        await port.close()


async def test_b7_a_port_that_is_lost_counts_what_never_reached_the_adapter() -> None:
    with an_adapter() as end:
        heard = Recorder()
        port = await open_tty(PortSettings(end.path, LineSettings(50)), heard)
        port.write(b"hello")
        assert await end.far.read(5) == b"hello"
        end.far.cut()
        await until(lambda: heard.losses)
        assert (port.sent(), port.unsent()) == (True, 0)
        port.write(b"abc")
        assert port.unsent() == 3
        await port.close()


async def test_b7_draining_waits_for_the_wire() -> None:
    with an_adapter() as end:
        port = await open_tty(PortSettings(end.path, LineSettings(1200)), Recorder())
        began = time.monotonic()
        port.write(bytes(24))
        await port.drain()
        assert time.monotonic() - began >= 0.2
        await port.close()


async def test_b7_a_change_of_the_line_waits_for_the_wire_too() -> None:
    """Speed, break and modem lines: all wait for `Line.all_sent` (modes/rfc2217.py, realcom, reverse telnet)."""
    now = 100.0
    with an_adapter(lambda: now) as end:
        line = Line("head", PortSettings(end.path, LineSettings(300)), StreamSettings(), open_tty)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(line.run())
            await line.tried.wait()
            line.put(b"/?!\r\n\x06")
            assert await end.far.read(6) == b"/?!\r\n\x06"
            assert not line.all_sent()
            assert line.unsent() == 6
            assert line.time_to_send() == 0.05
            now += 0.2001
            assert line.all_sent()
            task.cancel()


async def test_b7_a_pseudo_terminal_has_no_wire() -> None:
    with a_pty() as end:
        port = await open_tty(PortSettings(end.path, LineSettings(50)), Recorder())
        port.write(b"hello")
        assert await end.far.read(5) == b"hello"
        assert port.sent()
        await port.close()


async def test_modem_lines_stay_as_they_are_unless_told() -> None:
    with a_pty() as end:
        moved: list[int] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ioctls, "change_modem_lines", lambda fd, *_: moved.append(fd))
            port = await open_tty(PortSettings(end.path), Recorder())
            await port.close()
        assert not moved


async def test_dsr_flow_control_comes_and_goes_with_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ModemLines(0)
    moved: list[ModemLines] = []
    monkeypatch.setattr(ioctls, "get_modem_lines", lambda fd: lines)
    monkeypatch.setattr(ioctls, "change_modem_lines", lambda fd, raised, dropped: moved.append(raised))
    dsrdtr = LineSettings(115200, flow=Flow.DSRDTR, flow_in=Flow.DSRDTR)
    with a_pty() as end:
        heard = Recorder()
        port = await open_tty(PortSettings(end.path, dsrdtr), heard)
        port.write(b"a" * 100_000)
        assert heard.calls == ["pause"]
        assert port.unsent() == 100_000
        assert await end.far.read_on() == b""
        port.pause_reading()
        assert moved == [ModemLines(0)]
        port.resume_reading()
        assert moved == [ModemLines(0), ModemLines.DTR]
        lines = ModemLines.DSR
        assert await end.far.read(1000) == b"a" * 1000
        port.configure(LineSettings(115200))  # what waited goes to the driver, then what comes after
        port.write(b"b")
        assert await end.far.read(99_001) == b"a" * 99_000 + b"b"
        await until(lambda: not heard.full)
        port.pause_reading()
        port.configure(dsrdtr)
        assert moved[-1] == ModemLines(0)
        port.configure(LineSettings(115200))
        assert moved[-1] == ModemLines.DTR
        port.configure(dsrdtr)
        lines = ModemLines(0)
        port.write(b"c" * 100_000)
        await port.close()
        assert port.unsent() == 100_000
        assert heard.calls == ["pause", "resume"] * (len(heard.calls) // 2) + ["pause"]
