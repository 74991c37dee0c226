"""What a serial line is set to: pure values, shared by every floor above."""

from dataclasses import dataclass
from enum import IntFlag, StrEnum
from typing import Self


class Parity(StrEnum):
    """Parity, by its usual letter."""

    NONE = "N"
    EVEN = "E"
    ODD = "O"
    MARK = "M"
    SPACE = "S"


class StopBits(StrEnum):
    """Stop bits. 1.5 exists with 5 data bits only: that is what a 16550 does when two are asked for there."""

    ONE = "1"
    ONE_AND_HALF = "1.5"
    TWO = "2"


class Flow(StrEnum):
    """Flow control. `DSRDTR` is done by nportpy itself: no Linux driver knows it."""

    NONE = "none"
    XONXOFF = "xonxoff"
    RTSCTS = "rtscts"
    DSRDTR = "dsrdtr"


class ModemLines(IntFlag):
    """Modem lines; a set bit is an asserted line."""

    DTR = 1
    RTS = 2
    CTS = 4
    DSR = 8
    RI = 16
    CD = 32

    INPUTS = CTS | DSR | RI | CD


@dataclass(frozen=True, slots=True)
class LineSettings:
    """Speed, format and flow control of a line.

    `flow` is the direction towards the device, `flow_in` the one from it. They differ only between none and
    XON/XOFF, which is all that a Linux driver can tell apart.
    """

    baudrate: int = 9600
    data_bits: int = 8
    parity: Parity = Parity.NONE
    stop_bits: StopBits = StopBits.ONE
    flow: Flow = Flow.NONE
    flow_in: Flow = Flow.NONE

    def __post_init__(self) -> None:
        """Refuse what no UART does.

        Raises:
            ValueError: a value is out of its range.
        """
        if not 0 < self.baudrate < 1 << 31:
            raise ValueError(f"baud rate {self.baudrate} is not in 1..2147483647")
        if self.data_bits not in (5, 6, 7, 8):
            raise ValueError(f"{self.data_bits} data bits are not in 5..8")
        if self.stop_bits is StopBits.ONE_AND_HALF and self.data_bits != 5:
            raise ValueError("1.5 stop bits exist with 5 data bits only")
        pair = {self.flow, self.flow_in}
        if len(pair) == 2 and pair != {Flow.NONE, Flow.XONXOFF}:
            raise ValueError(f"flow control {self.flow} out and {self.flow_in} in cannot be combined")

    @property
    def format(self) -> str:
        """The format as one writes it: `8N1`, `7E2`, `5N1.5`."""
        return f"{self.data_bits}{self.parity}{self.stop_bits}"

    @property
    def bits_per_character(self) -> float:
        """Bits on the wire for a character: start, data, parity and stop bits."""
        return 1 + self.data_bits + (self.parity is not Parity.NONE) + float(self.stop_bits)

    @property
    def character_time(self) -> float:
        """Seconds that one character takes on the wire."""
        return self.bits_per_character / self.baudrate

    @classmethod
    def parse(cls, baudrate: int, format: str = "8N1", flow: Flow = Flow.NONE) -> Self:  # noqa: A002 - its name
        """Build settings from a format such as `8E1`.

        Raises:
            ValueError: the format or the speed is not one.
        """
        bits, parity, stop = format[:1], format[1:2].upper(), format[2:]
        if bits not in set("5678") or parity not in set(Parity) or stop not in set(StopBits):
            raise ValueError(f"{format!r} is not a format: 5-8 data bits, N E O M or S, 1 1.5 or 2 stop bits")
        return cls(baudrate, int(bits), Parity(parity), StopBits(stop), flow, flow)

    def __str__(self) -> str:
        if self.flow is self.flow_in:
            flow = "" if self.flow is Flow.NONE else f" {self.flow}"
        else:
            flow = " xonxoff in" if self.flow is Flow.NONE else " xonxoff out"
        return f"{self.baudrate} {self.format}{flow}"


class Rs485Mode(StrEnum):
    """What to do about the driver's RS-485 mode."""

    KEEP = "keep"
    OFF = "off"
    ON = "on"


@dataclass(frozen=True, slots=True)
class Rs485Settings:
    """RS-485 direction control by the kernel driver (TIOCSRS485, linux/serial.h).

    Attributes:
        mode: keep what the device tree set, or switch off or on.
        delay_before: seconds between RTS and the first bit; whole milliseconds.
        delay_after: seconds between the last bit and RTS; whole milliseconds.
        rts_on_send: RTS level while sending; false for inverted drivers.
        rx_during_tx: hear what is being sent (full duplex, or to check for collisions).
        termination: switch the bus termination on, where the board lets the driver.
    """

    mode: Rs485Mode = Rs485Mode.KEEP
    delay_before: float = 0.0
    delay_after: float = 0.0
    rts_on_send: bool = True
    rx_during_tx: bool = False
    termination: bool = False


@dataclass(frozen=True, slots=True)
class UartCounters:
    """Error counters of the driver since it was loaded (TIOCGICOUNT)."""

    frame: int = 0
    overrun: int = 0
    parity: int = 0
    breaks: int = 0
    buffer_overrun: int = 0

    def since(self, before: "UartCounters") -> "UartCounters":
        """The increase since `before`; the kernel's 32-bit counters may have wrapped."""
        return UartCounters(
            (self.frame - before.frame) & 0xFFFFFFFF,
            (self.overrun - before.overrun) & 0xFFFFFFFF,
            (self.parity - before.parity) & 0xFFFFFFFF,
            (self.breaks - before.breaks) & 0xFFFFFFFF,
            (self.buffer_overrun - before.buffer_overrun) & 0xFFFFFFFF,
        )

    def plus(self, other: "UartCounters") -> "UartCounters":
        """Both added up."""
        return UartCounters(
            self.frame + other.frame,
            self.overrun + other.overrun,
            self.parity + other.parity,
            self.breaks + other.breaks,
            self.buffer_overrun + other.buffer_overrun,
        )


@dataclass(frozen=True, slots=True)
class PortReport:
    """What the driver says of itself after opening, for the log and the status page.

    Attributes:
        driver: the kernel driver's name, or what stands in for it ("pty", "loopback").
        rs485: the RS-485 mode in effect, or None where the driver has none.
        low_latency: whether the low-latency flag is set; None where there is no such flag.
        modem_lines: whether the line has modem lines.
        counters: whether the driver counts line errors.
    """

    driver: str
    rs485: Rs485Settings | None = None
    low_latency: bool | None = None
    modem_lines: bool = False
    counters: bool = False
