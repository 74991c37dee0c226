"""The pseudo-terminal of a virtual COM port, behind its link, as its own side sees it.

The other side is a program that takes it for a serial device. What it does there comes from the kernel in packet mode
(TIOCPKT in ioctl_tty(2)): each read begins with a byte, 0 before data, else bits for what has happened. With EXTPROC
one of them says that somebody has called tcsetattr; the settings are those of the pair, so they can be read from here.

**Before or after.** Such a byte comes ahead of all data that waits, also of what was written before. Whether a program
wrote first and then changed the speed, or the other way round, is told by an epoll of its own with edges: it lists its
descriptors in the order in which they became ready. One of the two waits for data, and is woken by both; the other
one, a duplicate that was added later, waits for those bytes alone and is woken first by them.

**Open or not.** While no program has it open the master is hung up (POLLHUP), which is exact however many open and
close it. The last closing is told by epoll, an opening by inotify. That is why nothing here keeps the other side open.
"""

import array
import asyncio
import contextlib
import errno
import fcntl
import os
import select
import struct
import termios
import tty
from typing import Final, Protocol

from nportpy.attach.inotify import forget_openings, watch_openings
from nportpy.attach.wish import EXTPROC, Wish, make_ready, show, wish_of
from nportpy.errors import LineBusy
from nportpy.port.ioctls import Termios2

READ_SIZE: Final = 65536
AT_ONCE: Final = 4 * READ_SIZE
"""Bytes that are handed over in one turn of the event loop."""

_READYING: Final = 0.002
"""Seconds after a tcsetattr: glibc reads back what has become of it, and may not find it undone by then."""

_IOCTL, _FLUSH_READ, _FLUSH_WRITE = 0x40, 0x01, 0x02  # asm-generic/ioctls.h: TIOCPKT_...


class TerminalReceiver(Protocol):
    """Who hears what a program does. Called from the event loop; must not raise."""

    def written(self, data: bytes) -> None:
        """A program wrote; never empty."""

    def changed(self) -> None:
        """A program may have changed settings: see `Terminal.wish`."""

    def flushed(self, *, received: bool, unsent: bool) -> None:
        """A program called tcflush: on what it has not read, on what was not sent."""

    def opened(self) -> None:
        """It is open now, and was not before."""

    def closed(self) -> None:
        """Nobody has it open any more, and all that was written has been handed over."""

    def has_room(self) -> None:
        """All that was given to `write` has been taken."""


class Terminal:
    """A pseudo-terminal and its link.

    Attributes:
        path: the device behind the link.
        link: the name that programs use.
        open: whether a program has it open.
        hang_up: whether the last closing is to drop DTR and RTS (HUPCL).
        waiting: bytes from the server that no program has fetched and the kernel has not taken.
        unheard: bytes from the server that no program fetched before it closed, or that came while none was there.
    """

    def __init__(self, link: str, receiver: TerminalReceiver, *, mode: int = 0o660, group: int = -1) -> None:
        """Make it; `mode` and `group`, a number, are the device's (-1: as the kernel sets it).

        Raises:
            LineBusy: something else than a link is in the way.
            OSError: there are no more pseudo-terminals, or the link cannot be made.
        """
        self.link = link
        self.open = False
        self.hang_up = True
        self.unheard = 0
        self._receiver = receiver
        self._mode, self._group = mode, group
        self._reading = False
        self._unread = False  # data has come since it was last read to its end
        self._late = False  # settings have changed after it
        self._closing = False  # nobody had it open any more at some time, and it may still be so
        self._visited = False  # it was opened since the last look
        self._pending = bytearray()
        self._loop = asyncio.get_running_loop()
        self._again: asyncio.Handle | None = None
        self._readying: asyncio.TimerHandle | None = None
        if os.path.lexists(link) and not os.path.islink(link):
            raise LineBusy(f"{link} is there already and is no link")
        self._make()
        try:
            self._put_link()
        except BaseException:
            self._unmake()
            raise

    def _make(self) -> None:
        self._master, slave = os.openpty()
        try:
            tty.setraw(slave)
            self.path = os.ttyname(slave)
            os.fchmod(slave, self._mode)
            os.fchown(slave, -1, self._group)
            os.set_blocking(self._master, False)
            fcntl.ioctl(self._master, termios.TIOCPKT, struct.pack("i", 1))
            now = Termios2(self._master)
            now.set_speed(9600)
            now.cflag |= termios.HUPCL
            now.lflag |= EXTPROC
            make_ready(now)
            now.apply(self._master)
            self._last = Termios2(self._master).state
            self._take_status()
            self._openings = watch_openings(self.path)
        except BaseException:
            os.close(self._master)
            raise
        finally:
            os.close(slave)
        self._control = os.dup(self._master)
        self._events = select.epoll()
        # In this order: see above.
        self._events.register(self._master, select.EPOLLIN | select.EPOLLET)
        self._events.register(self._control, select.EPOLLPRI | select.EPOLLET)
        self._events.register(self._openings, select.EPOLLIN)
        self._hung_up = select.poll()
        self._hung_up.register(self._master, 0)
        self._loop.add_reader(self._events.fileno(), self._look)

    def _put_link(self) -> None:
        if os.path.islink(self.link):
            os.unlink(self.link)
        os.symlink(self.path, self.link)

    def withdraw(self) -> None:
        """Take the link away, if it is still ours: nobody opens it any more."""
        with contextlib.suppress(OSError):
            if os.readlink(self.link) == self.path:
                os.unlink(self.link)

    def close(self) -> None:
        """Take it away, link and all. Whoever has it open finds it hung up."""
        self.withdraw()
        self._reading = False
        for handle in (self._again, self._readying):
            if handle is not None:
                handle.cancel()
        self._forget_pending()
        self._unmake()

    def _unmake(self) -> None:
        self._loop.remove_reader(self._events.fileno())
        self._events.close()
        for fd in (self._openings, self._control, self._master):
            os.close(fd)

    # Settings.

    @property
    def wish(self) -> Wish:
        """What it is set to now."""
        return wish_of(Termios2(self._master))

    def show(self, wish: Wish) -> bool:
        """Have programs find these settings, unless one has just set others: `changed` is about to tell. Whether."""
        now = Termios2(self._master)
        if now.state != self._last:
            return False
        show(now, wish)
        self._apply(now)
        return True

    def _apply(self, now: Termios2) -> None:
        """Set it, and take the news of that: it is ours."""
        if now.state == self._last:
            return
        now.apply(self._master)
        self._last = now.state
        status = self._take_status()
        if status & _IOCTL and Termios2(self._master).state == self._last:
            status &= ~_IOCTL  # else a program was there in the meantime
        self._happened(status)

    def _make_ready(self) -> None:
        self._readying = None
        now = Termios2(self._master)
        if now.state == self._last:  # else there is more to come
            make_ready(now)
            self._apply(now)
            self._look()  # that woke both, which would stand before what a program does next

    # What programs do.

    def read_on(self) -> None:
        """Hand over what programs write. At first nothing is."""
        if not self._reading:
            self._reading = True  # whether there is any is known by the edges: what is supposed counts as written first
            self._soon()

    def hold(self) -> None:
        """Hand over no more data; a program that writes on is held back when the kernel's 22 KB are full."""
        self._reading = False

    def holds_data(self) -> bool:
        """Whether there is data that was not handed over."""
        count = array.array("i", [0])
        fcntl.ioctl(self._master, termios.FIONREAD, count)
        return count[0] > 0

    def _soon(self) -> None:
        if self._again is None:
            self._again = self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._again = None
        self._look()

    def _look(self) -> None:
        """Something has happened; edges are taken once, so their order is known."""
        while self._again is None and (ready := self._events.poll(0)):
            if self._openings in dict(ready):  # it comes first, whatever else came
                forget_openings(self._openings)
                self._visited = True
                if not self._is_hung_up():
                    self._notice_open()
            for fd, happened in ready:
                if fd == self._control:
                    if happened & select.EPOLLPRI:
                        self._happened(self._take_status())
                elif fd == self._master and happened & select.EPOLLIN:
                    # It may be about one of those bytes, which was taken just now, and not about data.
                    self._unread = self._reading or self.holds_data()
                    self._tell_late()
                if happened & select.EPOLLHUP:
                    self._closing = True
            self._read()
        if self._again is None:
            self._read()
        if self._closing and not self._unread:
            self._closing = False
            if self.open and self._is_hung_up():
                self._notice_closed()
        if self._visited and self._again is None:
            self._visited = False
            if not self.open:  # somebody was here, and has gone before we looked
                self._tidy()

    def _is_hung_up(self) -> bool:
        return bool(self._hung_up.poll(0))  # nothing else is asked for

    def _take_status(self) -> int:
        """Read the byte that says what has happened, 0 if nothing has. A read of one byte takes no data."""
        try:
            return os.read(self._master, 1)[0]
        except OSError:
            return 0

    def _happened(self, status: int, *, after: bool = False) -> None:
        """Act on such a byte; `after`: what was written before has been read, whatever waits now."""
        if status & _FLUSH_WRITE:
            self._discard()
        if status & (_FLUSH_READ | _FLUSH_WRITE):
            if status & _FLUSH_READ:
                self._forget_pending()
            self._receiver.flushed(received=bool(status & _FLUSH_READ), unsent=bool(status & _FLUSH_WRITE))
        if status & _IOCTL:
            now = Termios2(self._master)
            self.hang_up = bool(now.cflag & termios.HUPCL)
            self._last = now.state
            if self._unread and not after:
                self._late = True
            else:
                self._receiver.changed()
            now.lflag |= EXTPROC
            self._apply(now)
            if self._readying is None:
                self._readying = self._loop.call_later(_READYING, self._make_ready)

    def _discard(self) -> None:
        """Throw away what was written before, and only that."""
        status = 0
        with contextlib.suppress(OSError):
            while self._unread:
                status |= os.read(self._master, READ_SIZE)[0]
        self._unread = False
        self._tell_late()
        self._happened(status)

    def _tell_late(self) -> None:
        """What was changed after data is told once there is none any more."""
        if self._late and not self._unread:
            self._late = False
            self._receiver.changed()

    def _read(self) -> None:
        """Hand over data until there is no more."""
        room = AT_ONCE
        while self._reading and self._unread:
            try:
                piece = os.read(self._master, READ_SIZE)
            except OSError as error:  # that is all, and with EIO nobody is there to write more
                if error.errno not in (errno.EAGAIN, errno.EIO):
                    raise
                self._unread = False
                self._tell_late()
                return
            if piece[0]:
                # It came since `_look` was told: after what it was told of.
                self._happened(piece[0], after=room < AT_ONCE)
            elif len(piece) > 1:
                self._notice_open()
                self._receiver.written(piece[1:])
                room -= len(piece)
                if room <= 0:
                    self._soon()
                    return

    def _notice_open(self) -> None:
        if not self.open:
            self.open = True
            self._receiver.opened()

    def _notice_closed(self) -> None:
        self.open = False
        self._forget_pending()
        self._receiver.closed()
        self._tidy()

    def _tidy(self) -> None:
        """Leave nothing for the next program of what one has left: unread data, and that it wanted to be alone."""
        try:
            slave = os.open(self.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:  # the kernel keeps TIOCEXCL for as long as the pair lives, and only root gets past it
            self._replace()
            return
        try:
            fcntl.ioctl(slave, termios.TIOCNXCL)
            termios.tcflush(slave, termios.TCIFLUSH)
        finally:
            os.close(slave)
        forget_openings(self._openings)  # that was ours, and one that came meanwhile is still there
        self._happened(self._take_status() & ~_FLUSH_READ)
        if not self._is_hung_up():
            self._notice_open()

    def _replace(self) -> None:
        """Put another pseudo-terminal in its place, set like it."""
        now = Termios2(self._master)
        self.withdraw()
        self._unmake()
        self._make()
        self._apply(now)
        self._put_link()

    # What programs hear.

    @property
    def waiting(self) -> int:
        """Bytes from the server that no program has fetched and the kernel has not taken."""
        return len(self._pending)

    def write(self, data: bytes) -> None:
        """Let programs read it. Look at `waiting`: it takes all."""
        if not self.open:
            self.unheard += len(data)
            return
        if not self._pending:
            try:
                taken = os.write(self._master, data)
            except BlockingIOError:
                taken = 0
            if taken == len(data):
                return
            data = data[taken:]
            self._loop.add_writer(self._master, self._write_on)
        self._pending += data

    def _write_on(self) -> None:
        with contextlib.suppress(BlockingIOError):
            del self._pending[: os.write(self._master, self._pending)]
        if not self._pending:
            self._loop.remove_writer(self._master)
            self._receiver.has_room()

    def _forget_pending(self) -> None:
        if self._pending:
            self.unheard += len(self._pending)
            self._pending.clear()
            self._loop.remove_writer(self._master)
            self._receiver.has_room()
