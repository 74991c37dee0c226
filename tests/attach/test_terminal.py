"""The pseudo-terminal of a virtual COM port, with programs that do what programs do to serial ports."""

import asyncio
import contextlib
import fcntl
import os
import stat
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import serial

from nportpy.attach.terminal import Terminal
from nportpy.attach.wish import EXTPROC, Wish, wish_of
from nportpy.errors import LineBusy
from nportpy.linesettings import Flow, Parity, StopBits
from nportpy.port.ioctls import Termios2
from tests.support.programs import read, set_speed
from tests.support.serving import until

pytestmark = pytest.mark.real


class Receiver:
    """Keeps what it is told, in order; data in one piece."""

    def __init__(self) -> None:
        self.terminal: Terminal
        self.events: list[Any] = []

    def written(self, data: bytes) -> None:
        if self.events and isinstance(self.events[-1], bytes):
            data = self.events.pop() + data
        self.events.append(data)

    def changed(self) -> None:
        self.events.append(self.terminal.wish.baudrate)

    def flushed(self, *, received: bool, unsent: bool) -> None:
        self.events.append("flush" + " received" * received + " unsent" * unsent)

    def opened(self) -> None:
        self.events.append("opened")

    def closed(self) -> None:
        self.events.append("closed")

    def has_room(self) -> None:
        self.events.append("room")

    async def hears(self, *events: Any) -> None:
        """These and nothing else, from now on."""
        with contextlib.suppress(TimeoutError):  # the comparison below says more
            await until(lambda: self.events == list(events), 5.0)
        assert self.events == list(events)
        self.events.clear()

    def take(self) -> list[Any]:
        events, self.events = self.events, []
        return events


@contextlib.contextmanager
def made(tmp_path: Path, *, reading: bool = True, **options: Any) -> Iterator[tuple[Terminal, Receiver]]:
    receiver = Receiver()
    terminal = receiver.terminal = Terminal(str(tmp_path / "ttyV0"), receiver, **options)
    if reading:
        terminal.read_on()
    try:
        yield terminal, receiver
    finally:
        terminal.close()


def opened(terminal: Terminal) -> int:
    return os.open(terminal.link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)


async def test_a_link_leads_to_it_until_it_is_closed(tmp_path: Path) -> None:
    with made(tmp_path, mode=0o620, group=os.getgid()) as (terminal, _):
        assert os.readlink(terminal.link) == terminal.path
        assert stat.S_IMODE(os.stat(terminal.link).st_mode) == 0o620
        assert os.stat(terminal.link).st_gid == os.getgid()
    assert not os.listdir(tmp_path)


async def test_a_link_that_was_left_over_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "ttyV0").symlink_to("/dev/pts/gone")
    with made(tmp_path) as (terminal, _):
        assert os.readlink(terminal.link) == terminal.path


async def test_anything_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "ttyV0").write_text("precious")
    with pytest.raises(LineBusy, match="is no link"), made(tmp_path):
        pass
    assert (tmp_path / "ttyV0").read_text() == "precious"


async def test_a_folder_for_the_link_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), made(tmp_path / "none"):
        pass


async def test_a_link_that_somebody_else_put_there_stays(tmp_path: Path) -> None:
    with made(tmp_path) as (terminal, _):
        os.unlink(terminal.link)
        os.symlink("/dev/null", terminal.link)
    assert os.readlink(terminal.link) == "/dev/null"


async def test_opening_and_closing_is_noticed(tmp_path: Path) -> None:
    with made(tmp_path) as (terminal, receiver):
        assert not terminal.open
        for _ in range(3):
            first, second = opened(terminal), opened(terminal)
            await receiver.hears("opened")
            os.close(first)
            await asyncio.sleep(0.05)
            assert receiver.take() == []
            assert terminal.open
            os.close(second)
            await receiver.hears("closed")


async def test_a_visit_that_is_over_at_once_leaves_its_bytes(tmp_path: Path) -> None:
    with made(tmp_path) as (terminal, receiver):
        for _ in range(5):
            fd = opened(terminal)
            os.write(fd, b"\0hello\xff")
            os.close(fd)
            await receiver.hears("opened", b"\0hello\xff", "closed")


async def test_bytes_pass_both_ways(tmp_path: Path) -> None:
    everything = bytes(range(256))
    with made(tmp_path) as (terminal, receiver):
        fd = opened(terminal)
        os.write(fd, everything)
        await receiver.hears("opened", everything)
        terminal.write(everything)
        assert await read(fd, len(everything)) == everything
        os.close(fd)


async def test_every_change_is_told(tmp_path: Path) -> None:
    with made(tmp_path) as (terminal, receiver):
        fd = opened(terminal)
        await receiver.hears("opened")
        set_speed(fd, termios.B19200, cflag=termios.CSTOPB | termios.CRTSCTS)
        await receiver.hears(19200)
        assert terminal.wish == Wish(19200, None, None, StopBits.TWO, Flow.RTSCTS, Flow.RTSCTS)
        # Programs may clear what makes the kernel tell us; it comes back.
        set_speed(fd, termios.B300, lflag=0, iflag=termios.IXON)
        await receiver.hears(300)
        assert termios.tcgetattr(fd)[3] & EXTPROC
        set_speed(fd, termios.B115200)
        await receiver.hears(115200)
        odd = Termios2(fd)
        odd.set_speed(123456)
        odd.apply(fd)
        await receiver.hears(123456)
        set_speed(fd, termios.B0)
        await receiver.hears(0)
        os.close(fd)


async def test_what_came_before_a_change_and_what_came_after(tmp_path: Path) -> None:
    with made(tmp_path) as (terminal, receiver):
        fd = opened(terminal)
        await receiver.hears("opened")
        for _ in range(20):
            os.write(fd, b"before")
            select_until_there(terminal)
            set_speed(fd, termios.B1200)
            await receiver.hears(b"before", 1200)
            set_speed(fd, termios.B9600)
            os.write(fd, b"after")
            await receiver.hears(9600, b"after")
        os.close(fd)


async def test_what_came_after_reading_went_on_is_in_order(tmp_path: Path) -> None:
    """A program may do all of it before we look: on a busy machine that happens."""
    with made(tmp_path) as (terminal, receiver):
        fd = opened(terminal)
        await receiver.hears("opened")
        for _ in range(20):
            terminal.hold()
            terminal.read_on()
            set_speed(fd, termios.B1200)
            os.write(fd, b"after")
            select_until_there(terminal)
            await receiver.hears(1200, b"after")
            terminal.hold()
            os.write(fd, b"before")
            select_until_there(terminal)
            terminal.read_on()
            set_speed(fd, termios.B9600)
            await receiver.hears(b"before", 9600)
        os.close(fd)


async def test_a_change_after_bytes_is_told_though_reading_was_held_when_they_were_all(tmp_path: Path) -> None:
    with made(tmp_path) as (terminal, receiver):
        fd = opened(terminal)
        await receiver.hears("opened")
        written = receiver.written

        def written_and_full(data: bytes) -> None:
            written(data)
            terminal.hold()

        receiver.written = written_and_full  # type: ignore[method-assign]
        for speed, number in ((termios.B1200, 1200), (termios.B300, 300)):
            os.write(fd, b"before")
            select_until_there(terminal)
            set_speed(fd, speed)
            await receiver.hears(b"before")
            termios.tcflush(fd, termios.TCIFLUSH)
            await receiver.hears("flush received", number)
            terminal.read_on()
        os.close(fd)


def select_until_there(terminal: Terminal) -> None:
    """The kernel carries bytes across in a thread of its own, which may take its time."""
    while not terminal.holds_data():
        pass


async def test_a_change_waits_for_bytes_that_are_held(tmp_path: Path) -> None:
    with made(tmp_path, reading=False) as (terminal, receiver):
        fd = opened(terminal)
        await receiver.hears("opened")
        set_speed(fd, termios.B300)
        await receiver.hears(300)  # nothing is before it
        os.write(fd, b"held")
        await until(terminal.holds_data)
        await asyncio.sleep(0.02)
        set_speed(fd, termios.B1200)
        await asyncio.sleep(0.05)
        os.close(fd)
        await asyncio.sleep(0.05)
        assert receiver.take() == []
        terminal.read_on()
        await receiver.hears(b"held", 1200, "closed")


async def test_flushing_is_told_and_takes_what_was_not_handed_over(tmp_path: Path) -> None:
    with made(tmp_path, reading=False) as (terminal, receiver):
        fd = opened(terminal)
        await receiver.hears("opened")
        os.write(fd, b"to be forgotten")
        await until(terminal.holds_data)
        await asyncio.sleep(0.02)
        termios.tcflush(fd, termios.TCOFLUSH)
        await receiver.hears("flush unsent")
        terminal.read_on()
        os.write(fd, b"kept")
        await receiver.hears(b"kept")
        termios.tcflush(fd, termios.TCIFLUSH)
        await receiver.hears("flush received")
        termios.tcflush(fd, termios.TCIOFLUSH)
        await receiver.hears("flush received unsent")
        os.close(fd)


async def test_writers_are_held_back_while_nothing_is_read(tmp_path: Path) -> None:
    with made(tmp_path, reading=False) as (terminal, receiver):
        fd = opened(terminal)
        written = 0
        with contextlib.suppress(BlockingIOError):
            while written < 1_000_000:
                written += os.write(fd, b"x" * 4096)
        assert written < 100_000
        os.close(fd)
        terminal.read_on()
        await receiver.hears("opened", b"x" * written, "closed")


async def test_what_nobody_reads_waits_and_is_gone_with_the_last_program(tmp_path: Path) -> None:
    with made(tmp_path) as (terminal, receiver):
        terminal.write(b"nobody is there")
        assert terminal.unheard == 15
        fd = opened(terminal)
        await receiver.hears("opened")
        data = os.urandom(100_000)
        terminal.write(data)
        assert 0 < terminal.waiting < 100_000
        assert await read(fd, 100_000) == data
        await receiver.hears("room")
        terminal.write(data)
        os.close(fd)
        await receiver.hears("room", "closed")
        assert terminal.waiting == 0
        fd = opened(terminal)
        await receiver.hears("opened")
        with pytest.raises(BlockingIOError):
            os.read(fd, 100)
        os.close(fd)


@pytest.mark.parametrize("noticed", [True, False])
async def test_a_program_that_wants_to_be_alone_does_not_lock_the_next_one_out(tmp_path: Path, noticed: bool) -> None:
    with made(tmp_path) as (terminal, receiver):
        fd = opened(terminal)
        fcntl.ioctl(fd, termios.TIOCEXCL)
        if noticed:
            await receiver.hears("opened")
        os.close(fd)
        await asyncio.sleep(0.1)
        fd = opened(terminal)
        state = bytearray(4)
        fcntl.ioctl(fd, 0x80045440, state)  # TIOCGEXCL
        assert state == bytes(4)
        os.close(fd)


async def test_where_it_stays_locked_another_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_open = os.open
    with made(tmp_path) as (terminal, receiver):
        fd = opened(terminal)
        set_speed(fd, termios.B2400)
        await receiver.hears("opened", 2400)
        before = os.stat(terminal.path).st_ino

        def refuse(path: str, *arguments: int) -> int:
            monkeypatch.setattr("nportpy.attach.terminal.os.open", real_open)
            raise OSError(16, "busy")

        monkeypatch.setattr("nportpy.attach.terminal.os.open", refuse)
        os.close(fd)
        await receiver.hears("closed")
        assert os.stat(terminal.link).st_ino != before or os.readlink(terminal.link) == terminal.path
        fd = opened(terminal)
        assert termios.tcgetattr(fd)[4] == termios.B2400
        os.write(fd, b"goes on")
        await receiver.hears("opened", b"goes on")
        os.close(fd)


async def test_pyserial_may_set_any_format(tmp_path: Path) -> None:
    """Linux keeps parity and data bits to itself, and glibc calls it an error if nothing else changes."""
    with made(tmp_path) as (terminal, receiver):

        def ready(fd: int | None) -> None:
            """What happens in no time, and before a person could set anything else."""
            assert fd is not None
            deadline = time.monotonic() + 5.0
            while termios.tcgetattr(fd)[2] & termios.CLOCAL and time.monotonic() < deadline:
                time.sleep(0.001)

        def use() -> None:
            with serial.Serial(terminal.link, 19200, parity="E", bytesize=7) as port:
                for parity in "NOENO":
                    ready(port.fd)
                    port.parity = parity
                ready(port.fd)
                port.baudrate = 12345
                port.send_break(0.01)

        await asyncio.to_thread(use)
        await until(lambda: "closed" in receiver.events)
        assert terminal.wish.baudrate == 12345


async def test_settings_outlive_programs_and_can_be_shown(tmp_path: Path) -> None:
    with made(tmp_path) as (terminal, receiver):
        wish = Wish(38400, None, None, StopBits.TWO, Flow.XONXOFF, Flow.NONE)
        terminal.show(wish)
        fd = opened(terminal)
        assert termios.tcgetattr(fd)[4] == termios.B38400
        assert wish_of(Termios2(fd)) == wish
        set_speed(fd, termios.B600)
        os.close(fd)
        await receiver.hears(600)  # as stty does: there and gone
        fd = opened(terminal)
        assert termios.tcgetattr(fd)[4] == termios.B600
        os.close(fd)


async def test_hanging_up_on_close_can_be_switched_off(tmp_path: Path) -> None:
    with made(tmp_path) as (terminal, receiver):
        assert terminal.hang_up
        fd = opened(terminal)
        settings = termios.tcgetattr(fd)
        settings[2] &= ~termios.HUPCL
        termios.tcsetattr(fd, termios.TCSANOW, settings)
        await receiver.hears("opened", 9600)
        assert not terminal.hang_up
        os.close(fd)


@pytest.mark.parametrize(
    ("iflag", "cflag", "parity"),
    [
        (0, termios.PARODD, None),
        (termios.INPCK, 0, Parity.EVEN),
        (termios.INPCK, termios.PARODD, Parity.ODD),
        (termios.INPCK, 0o10000000000, Parity.SPACE),
        (termios.INPCK, 0o10000000000 | termios.PARODD, Parity.MARK),
    ],
)
async def test_parity_is_seen_where_it_is_checked(
    tmp_path: Path, iflag: int, cflag: int, parity: Parity | None
) -> None:
    with made(tmp_path) as (terminal, receiver):
        fd = opened(terminal)
        set_speed(fd, termios.B9600, iflag=iflag, cflag=cflag)
        await until(lambda: 9600 in receiver.events)
        assert terminal.wish.parity is parity
        os.close(fd)
