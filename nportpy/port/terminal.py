"""What a terminal is set to: LineSettings as struct termios2 and back, and the driver's RS-485 mode.

Functions of a descriptor. They raise OSError as the kernel gives it; `translated` makes our own errors of that.
"""

import contextlib
import errno
import fcntl
import logging
import os
import termios
from collections.abc import Callable, Iterator
from sys import byteorder
from typing import TypeVar

from nportpy.errors import LineBusy, LineDown, LineUnsupported
from nportpy.linesettings import Flow, LineSettings, Parity, Rs485Mode, Rs485Settings, StopBits
from nportpy.port import ioctls
from nportpy.port.base import OnClose
from nportpy.port.inventory import who_holds

_T = TypeVar("_T")
log = logging.getLogger(__name__)
_SIZES = {5: termios.CS5, 6: termios.CS6, 7: termios.CS7, 8: termios.CS8}
_PARITIES = {
    Parity.NONE: 0,
    Parity.EVEN: termios.PARENB,
    Parity.ODD: termios.PARENB | termios.PARODD,
    Parity.MARK: termios.PARENB | termios.PARODD | ioctls.CMSPAR,
    Parity.SPACE: termios.PARENB | ioctls.CMSPAR,
}
_PARITY_BITS = _PARITIES[Parity.MARK]
_N_TTY = 0
_N_PPS = 18  # hands bytes over as N_TTY does; gpsd and chrony put it on a line for the pulses on CD


def ask(fd: int, call: Callable[[int], _T]) -> _T | None:
    """What the driver answers, or None where it does not know the question."""
    try:
        return call(fd)
    except OSError:
        return None


def is_pseudo(fd: int) -> bool:
    """Whether it is a pseudo-terminal."""
    return os.major(os.fstat(fd).st_rdev) in range(136, 144)  # Unix98 pty slaves, the kernel's devices.txt


@contextlib.contextmanager
def translated(path: str) -> Iterator[None]:
    """Turn what the system and pyserial raise while a terminal is opened into LineBusy and LineDown."""
    try:
        yield
    except (OSError, termios.error) as error:  # SerialException is an OSError
        number = error.errno if isinstance(error, OSError) else error.args[0]
        if number in (errno.EBUSY, errno.EWOULDBLOCK):
            holders = ", ".join(str(holder) for holder in who_holds(path)) or "another process"
            raise LineBusy(f"{path} is in use by {holders}") from error
        if number == errno.ENOENT:
            raise LineDown(f"{path} does not exist") from error
        if number in (errno.EACCES, errno.EPERM):
            raise LineDown(f"{path}: permission denied; is the user in the group dialout?") from error
        if number in (errno.ENOTTY, errno.EISDIR):
            raise LineDown(f"{path} is not a serial device") from error
        reason = os.strerror(number) if isinstance(number, int) else str(error)
        raise LineDown(f"{path}: {reason}") from error


def apply_settings(fd: int, line: LineSettings, on_close: OnClose) -> None:
    """Raw mode with these settings, in one ioctl; what is set already is not sent to the driver again."""
    now = ioctls.Termios2(fd)
    before = now.state
    now.iflag = termios.IGNBRK  # a break is an event (counted, told to RFC 2217 clients), not a byte
    now.iflag |= termios.IXON * (line.flow is Flow.XONXOFF) | termios.IXOFF * (line.flow_in is Flow.XONXOFF)
    now.oflag = now.lflag = 0
    now.cflag &= ~(termios.CSIZE | termios.CSTOPB | _PARITY_BITS | termios.CRTSCTS | termios.HUPCL)
    now.cflag |= termios.CREAD | termios.CLOCAL | _SIZES[line.data_bits] | _PARITIES[line.parity]
    now.cflag |= termios.CSTOPB * (line.stop_bits is not StopBits.ONE)
    now.cflag |= termios.CRTSCTS * (line.flow is Flow.RTSCTS)
    now.cflag |= termios.HUPCL * (on_close is OnClose.DROP)
    now.cc[termios.VMIN], now.cc[termios.VTIME] = 1, 0  # so that an empty read means the end, not "nothing yet"
    now.cc[termios.VSTART], now.cc[termios.VSTOP] = 0x11, 0x13  # whoever had the device before may have moved them
    now.set_speed(line.baudrate)
    if now.state != before:
        now.apply(fd)


def settings_in_effect(fd: int, wish: LineSettings) -> LineSettings:
    """What the driver made of `wish`. A pseudo-terminal has no wire: it takes whatever is wished."""
    if is_pseudo(fd):
        return wish
    return settings_of(ioctls.Termios2(fd), wish)


def settings_of(now: ioctls.Termios2, wish: LineSettings) -> LineSettings:
    """What a driver made of `wish`, as it says in `now`."""
    data_bits = next(bits for bits, flag in _SIZES.items() if now.cflag & termios.CSIZE == flag)
    # Drivers without parity clear PARENB and may leave the other two, which then mean nothing.
    flags = now.cflag & _PARITY_BITS if now.cflag & termios.PARENB else 0
    parity = next(parity for parity, bits in _PARITIES.items() if bits == flags)
    stop_bits = StopBits.ONE
    if now.cflag & termios.CSTOPB:
        half = wish.stop_bits is StopBits.ONE_AND_HALF and data_bits == 5
        stop_bits = StopBits.ONE_AND_HALF if half else StopBits.TWO
    flow, flow_in = wish.flow, wish.flow_in
    if now.cflag & termios.CRTSCTS:
        flow = flow_in = Flow.RTSCTS
    elif flow is not Flow.DSRDTR:
        flow = Flow.XONXOFF if now.iflag & termios.IXON else Flow.NONE
        flow_in = Flow.XONXOFF if now.iflag & termios.IXOFF else Flow.NONE
    return LineSettings(now.ospeed or wish.baudrate, data_bits, parity, stop_bits, flow, flow_in)


def check_discipline(fd: int, path: str) -> None:
    """See that bytes come to us and not to a part of the kernel (SLIP, a GSM multiplexer, a touchscreen).

    Raises:
        LineBusy: a program such as ldattach or pppd has given the line to the kernel.
    """
    buffer = bytearray(4)
    fcntl.ioctl(fd, termios.TIOCGETD, buffer)
    number = int.from_bytes(buffer, byteorder)
    if number not in (_N_TTY, _N_PPS):
        raise LineBusy(f"{path} is in use by the kernel (line discipline {number}, see ldattach(8))")


def prepare_rs485(fd: int, wish: Rs485Settings, path: str, driver: str) -> Rs485Settings | None:
    """Switch the RS-485 mode as wished; the mode in effect, or None where the driver has none.

    Raises:
        LineUnsupported: the driver cannot.
    """
    before = ask(fd, ioctls.get_rs485)
    if wish.mode is Rs485Mode.KEEP:
        return before
    if wish.mode is Rs485Mode.OFF and (before is None or before.mode is Rs485Mode.OFF):
        return before  # the UART core says "off" for every driver, also for those that refuse to be set
    try:
        ioctls.set_rs485(fd, wish)
        after = ioctls.get_rs485(fd)
    except OSError as error:
        raise LineUnsupported(
            f"{path}: the driver {driver} has no RS-485 mode ({os.strerror(error.errno or 0)}); "
            'an adapter that switches direction by itself needs none: set rs485 = "keep"'
        ) from error
    if after.mode is not wish.mode:
        raise LineUnsupported(
            f'{path}: the driver {driver} did not switch RS-485 {wish.mode}; set rs485 = "keep", or set the mode in '
            "the device tree (linux,rs485-enabled-at-boot-time)"
        )
    if after.mode is Rs485Mode.ON and after != wish:
        log.warning("the driver set another RS-485 mode than asked", extra={"device": path, "set": str(after)})
    return after
