"""The Linux serial ioctls that Python's termios does not wrap: numbers and layouts of the asm-generic ABI.

That ABI (asm-generic/ioctls.h, termbits.h, linux/serial.h) is the one of x86, arm, arm64 and riscv.
Every function takes a descriptor and raises OSError as the kernel gives it.
"""

import array
import fcntl
import struct
import termios
from sys import byteorder

from nportpy.linesettings import ModemLines, Rs485Mode, Rs485Settings, UartCounters

TCGETS2 = 0x802C542A
TCSETS2 = 0x402C542B
TIOCSBRK = 0x5427
TIOCCBRK = 0x5428
TIOCGRS485 = 0x542E
TIOCSRS485 = 0x542F
TIOCSERGETLSR = 0x5459
TIOCGICOUNT = 0x545D
TIOCSER_TEMT = 1
BOTHER = 0o010000
CBAUD = 0o010017
CIBAUD_SHIFT = 16
CMSPAR = 0o10000000000
ASYNC_LOW_LATENCY = 1 << 13

# The kernel's numbers for B50, B75 and so on (asm-generic/termbits.h): glibc has other ones from 2.42 on, and so does
# the module termios with it.
_SLOW = (50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400)
_FAST = (57600, 115200, 230400, 460800, 500000, 576000, 921600, 1000000, 1152000, 1500000)
_FASTEST = (2000000, 2500000, 3000000, 3500000, 4000000)
_SPEEDS = {rate: code for code, rate in enumerate(_SLOW, 1)}
_SPEEDS |= {rate: code for code, rate in enumerate(_FAST + _FASTEST, BOTHER + 1)}
_TERMIOS2 = struct.Struct("=4IB19s2I")
_RS485 = struct.Struct("=3I5I")
_RS485_ENABLED, _RS485_RTS_ON_SEND, _RS485_RTS_AFTER_SEND = 1, 2, 4
_RS485_RX_DURING_TX, _RS485_TERMINATE_BUS = 16, 32
_FLAGS = 4  # the place of `flags` among the ints of struct serial_struct


class Termios2:
    """struct termios2: what a terminal is set to, with its speed as a number."""

    __slots__ = ("cc", "cflag", "iflag", "ispeed", "lflag", "line", "oflag", "ospeed")

    def __init__(self, fd: int) -> None:
        """Read it from a terminal."""
        buffer = bytearray(_TERMIOS2.size)
        fcntl.ioctl(fd, TCGETS2, buffer)
        fields = _TERMIOS2.unpack(buffer)
        self.iflag, self.oflag, self.cflag, self.lflag, self.line, cc, self.ispeed, self.ospeed = fields
        self.cc = bytearray(cc)

    def apply(self, fd: int) -> None:
        """Set the terminal to it at once; the driver may change what it cannot do, so read it back."""
        packed = _TERMIOS2.pack(
            self.iflag, self.oflag, self.cflag, self.lflag, self.line, bytes(self.cc), self.ispeed, self.ospeed
        )
        fcntl.ioctl(fd, TCSETS2, packed)

    @property
    def state(self) -> tuple[int | bytes, ...]:
        """All of it, to compare."""
        return (self.iflag, self.oflag, self.cflag, self.lflag, bytes(self.cc), self.ispeed, self.ospeed)

    def set_speed(self, baudrate: int) -> None:
        """Both directions, any rate.

        One that has a constant is set by it: programs that ask a terminal for its speed by tcgetattr know no others.
        No rate of its own for input (CIBAUD): then a program that sets the speed later sets both, as it means to.
        """
        self.cflag = (self.cflag & ~(CBAUD | CBAUD << CIBAUD_SHIFT)) | _SPEEDS.get(baudrate, BOTHER)
        self.ispeed = self.ospeed = baudrate


def get_modem_lines(fd: int) -> ModemLines:
    """State of all modem lines (TIOCMGET)."""
    buffer = bytearray(4)
    fcntl.ioctl(fd, termios.TIOCMGET, buffer)
    bits = int.from_bytes(buffer, byteorder)
    lines = ModemLines(0)
    for bit, line in _MODEM_BITS:
        if bits & bit:
            lines |= line
    return lines


_MODEM_BITS = (
    (termios.TIOCM_DTR, ModemLines.DTR),
    (termios.TIOCM_RTS, ModemLines.RTS),
    (termios.TIOCM_CTS, ModemLines.CTS),
    (termios.TIOCM_DSR, ModemLines.DSR),
    (termios.TIOCM_RNG, ModemLines.RI),
    (termios.TIOCM_CAR, ModemLines.CD),
)


def change_modem_lines(fd: int, raised: ModemLines, dropped: ModemLines) -> None:
    """Raise and drop DTR and RTS (TIOCMBIS, TIOCMBIC); other lines are the far end's."""
    for request, lines in ((termios.TIOCMBIS, raised), (termios.TIOCMBIC, dropped)):
        bits = termios.TIOCM_DTR * bool(lines & ModemLines.DTR) | termios.TIOCM_RTS * bool(lines & ModemLines.RTS)
        if bits:
            fcntl.ioctl(fd, request, bits.to_bytes(4, byteorder))


def set_break(fd: int, on: bool) -> None:
    """Start or end a break (TIOCSBRK, TIOCCBRK)."""
    fcntl.ioctl(fd, TIOCSBRK if on else TIOCCBRK)


def output_queue(fd: int) -> int:
    """Bytes in the driver's send buffer; the UART's own FIFO may hold more (TIOCOUTQ)."""
    buffer = bytearray(4)
    fcntl.ioctl(fd, termios.TIOCOUTQ, buffer)
    return int.from_bytes(buffer, byteorder)


def transmitter_empty(fd: int) -> bool:
    """Whether the UART's FIFO and shift register are empty (TIOCSERGETLSR)."""
    buffer = bytearray(4)
    fcntl.ioctl(fd, TIOCSERGETLSR, buffer)
    return bool(int.from_bytes(buffer, byteorder) & TIOCSER_TEMT)


def get_counters(fd: int) -> UartCounters:
    """The driver's error counters (TIOCGICOUNT, struct serial_icounter_struct)."""
    counts = array.array("I", bytes(80))
    fcntl.ioctl(fd, TIOCGICOUNT, counts)
    frame, overrun, parity, breaks, buffer_overrun = counts[6:11]
    return UartCounters(frame, overrun, parity, breaks, buffer_overrun)


def get_rs485(fd: int) -> Rs485Settings:
    """The RS-485 mode in effect (TIOCGRS485, struct serial_rs485); delays in the kernel are milliseconds."""
    buffer = bytearray(_RS485.size)
    fcntl.ioctl(fd, TIOCGRS485, buffer)
    flags, before, after, *_ = _RS485.unpack(buffer)
    return Rs485Settings(
        mode=Rs485Mode.ON if flags & _RS485_ENABLED else Rs485Mode.OFF,
        delay_before=before / 1000,
        delay_after=after / 1000,
        rts_on_send=bool(flags & _RS485_RTS_ON_SEND),
        rx_during_tx=bool(flags & _RS485_RX_DURING_TX),
        termination=bool(flags & _RS485_TERMINATE_BUS),
    )


def set_rs485(fd: int, wish: Rs485Settings) -> None:
    """Switch the RS-485 mode on or off (TIOCSRS485); read back what the driver made of it."""
    flags = 0
    if wish.mode is Rs485Mode.ON:
        flags = _RS485_ENABLED | (_RS485_RTS_ON_SEND if wish.rts_on_send else _RS485_RTS_AFTER_SEND)
        flags |= _RS485_RX_DURING_TX * wish.rx_during_tx | _RS485_TERMINATE_BUS * wish.termination
    before, after = round(wish.delay_before * 1000), round(wish.delay_after * 1000)
    fcntl.ioctl(fd, TIOCSRS485, _RS485.pack(flags, before, after, 0, 0, 0, 0, 0))


def set_low_latency(fd: int) -> bool:
    """Ask the driver to hand received bytes over at once; whether the flag is set afterwards."""
    fields = array.array("i", bytes(128))
    fcntl.ioctl(fd, termios.TIOCGSERIAL, fields)
    if not fields[_FLAGS] & ASYNC_LOW_LATENCY:
        fields[_FLAGS] |= ASYNC_LOW_LATENCY
        fcntl.ioctl(fd, termios.TIOCSSERIAL, fields)
        fcntl.ioctl(fd, termios.TIOCGSERIAL, fields)
    return bool(fields[_FLAGS] & ASYNC_LOW_LATENCY)
