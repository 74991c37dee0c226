"""What a program has set a pseudo-terminal to, as far as the kernel keeps it.

Linux takes speed, stop bits and flow control of a pseudo-terminal as they come, and puts data bits and parity back to
eight and none (pty_set_termios in drivers/tty/pty.c): what a program wanted is gone before anybody can look. What is
left of parity is whether the program checks it (INPCK) and which one it means (PARODD, CMSPAR). Programs on libmodbus
set all of them as they should be, pyserial never checks. So a parity that is checked is taken from the terminal, and
every other one, like the data bits, is a matter of configuration.
"""

import termios
from dataclasses import dataclass
from typing import Final

from nportpy.linesettings import Flow, Parity, StopBits
from nportpy.port.ioctls import CMSPAR, Termios2

EXTPROC: Final = 0o200000
"""asm-generic/termbits.h: the other end does the terminal's work. It is what makes TIOCPKT tell of every tcsetattr."""

_PARITIES: Final = {
    0: Parity.EVEN,
    termios.PARODD: Parity.ODD,
    CMSPAR: Parity.SPACE,
    CMSPAR | termios.PARODD: Parity.MARK,
}


@dataclass(frozen=True, slots=True)
class Wish:
    """Settings of the line behind a virtual COM port.

    Attributes:
        baudrate: bits per second; 0 hangs up (tcsetattr(3)); None: as the server has it.
        data_bits: 5 to 8; None: as the server has them.
        parity: None: as the server has it.
        stop_bits: None: as the server has them.
        flow: towards the device; None: as the server has it.
        flow_in: from the device; likewise.
    """

    baudrate: int | None = None
    data_bits: int | None = None
    parity: Parity | None = None
    stop_bits: StopBits | None = None
    flow: Flow | None = None
    flow_in: Flow | None = None


def wish_of(now: Termios2) -> Wish:
    """What a program has set. The data bits are never known, the parity if the program checks it."""
    parity = None
    if now.iflag & termios.INPCK:
        parity = _PARITIES[now.cflag & (termios.PARODD | CMSPAR)]
    hardware = now.cflag & termios.CRTSCTS
    return Wish(
        now.ospeed,
        None,
        parity,
        StopBits.TWO if now.cflag & termios.CSTOPB else StopBits.ONE,
        Flow.RTSCTS if hardware else Flow.XONXOFF if now.iflag & termios.IXON else Flow.NONE,
        Flow.RTSCTS if hardware else Flow.XONXOFF if now.iflag & termios.IXOFF else Flow.NONE,
    )


def show(now: Termios2, wish: Wish) -> None:
    """Have a terminal's settings say what `wish` does; what it leaves open stays."""
    if wish.baudrate:
        now.set_speed(wish.baudrate)
    if wish.stop_bits is not None:
        now.cflag &= ~termios.CSTOPB
        now.cflag |= termios.CSTOPB * (wish.stop_bits is not StopBits.ONE)
    if wish.flow is not None and wish.flow_in is not None:
        now.cflag &= ~termios.CRTSCTS
        now.iflag &= ~(termios.IXON | termios.IXOFF)
        now.cflag |= termios.CRTSCTS * (wish.flow is Flow.RTSCTS)
        now.iflag |= termios.IXON * (wish.flow is Flow.XONXOFF) | termios.IXOFF * (wish.flow_in is Flow.XONXOFF)


def make_ready(now: Termios2) -> None:
    """Have something to change for the next tcsetattr.

    CLOCAL means nothing on a pseudo-terminal, and most programs set it. So it is taken away again: where a call changes
    nothing but the parity, which does not stay, glibc says that it has failed.
    """
    now.cflag &= ~termios.CLOCAL
