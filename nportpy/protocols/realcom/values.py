"""What Real COM's numbers mean for a line: speeds, formats, flow control, modem lines, errors; both ways."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, assert_never

from nportpy.linesettings import Flow, LineSettings, ModemLines, Parity, StopBits, UartCounters
from nportpy.protocols.realcom.messages import Event, Modem, PortInit, SetBaudrate, SetFlow, SetLine

SPEEDS: Final = (
    300, 600, 1200, 2400, 4800, 7200, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600, 150, 134, 110, 75, 50,
)  # fmt: skip
"""The speeds that have an index, in its order; 134 stands for 134.5."""

NO_INDEX: Final = 0xFF
"""Instead of an index: keep the speed. A `SetBaudrate` mostly follows, but not after B0, nor when a Linux client
reconnects at a speed that is neither in the table nor a custom one."""

SLOWEST: Final = 50
FASTEST: Final = 921600
"""Limits of `SetBaudrate`, in bit/s."""

_TWO_STOP_BITS = 0x04
_PARITY = 0x38
_PARITIES = {0x00: Parity.NONE, 0x08: Parity.EVEN, 0x10: Parity.ODD, 0x18: Parity.MARK, 0x20: Parity.SPACE}
_PARITY_BITS = {parity: bits for bits, parity in _PARITIES.items()}

_LEVELS = (
    (ModemLines.CTS, Modem.CTS, Modem.DELTA_CTS),
    (ModemLines.DSR, Modem.DSR, Modem.DELTA_DSR),
    (ModemLines.RI, Modem.RI, Modem.TRAILING_EDGE_RI),
    (ModemLines.CD, Modem.DCD, Modem.DELTA_DCD),
)


def wished(command: PortInit | SetLine | SetFlow | SetBaudrate, now: LineSettings) -> LineSettings:
    """The settings that a command asks for; what has no meaning (an index, a parity) stays as it is `now`."""
    match command:
        case PortInit(baud, mode):
            return _with_flow(command, _with_format(baud, mode, now))
        case SetLine(baud, mode):
            return _with_format(baud, mode, now)
        case SetFlow():
            return _with_flow(command, now)
        case SetBaudrate(rate):
            return replace(now, baudrate=rate) if SLOWEST <= rate <= FASTEST else now
        case _:
            assert_never(command)


def _with_format(baud: int, mode: int, now: LineSettings) -> LineSettings:
    data_bits = 5 + (mode & 3)
    stop_bits = StopBits.ONE
    if mode & _TWO_STOP_BITS:
        stop_bits = StopBits.ONE_AND_HALF if data_bits == 5 else StopBits.TWO
    return replace(
        now,
        baudrate=SPEEDS[baud] if baud < len(SPEEDS) else now.baudrate,
        data_bits=data_bits,
        parity=_PARITIES.get(mode & _PARITY, now.parity),
        stop_bits=stop_bits,
    )


def _with_flow(command: PortInit | SetFlow, now: LineSettings) -> LineSettings:
    """Flow control by RTS and CTS goes both ways on Linux, and over XON/XOFF if both are asked for.

    Programs that switch it on often leave XON/XOFF on, which a terminal has from the start; and bytes are lost
    without the one that the device obeys, while only a binary stream could hurt itself on the other.
    """
    if command.cts or command.rts_flow:
        return replace(now, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
    return replace(
        now,
        flow=Flow.XONXOFF if command.xon_out else Flow.NONE,
        flow_in=Flow.XONXOFF if command.xon_in else Flow.NONE,
    )


def commands(settings: LineSettings, *, dtr: bool, rts: bool) -> Iterator[PortInit | SetBaudrate]:
    """What a client sends to set a line so. Flow control by DSR and DTR cannot be said, and is none."""
    indexed = settings.baudrate in SPEEDS
    mode = settings.data_bits - 5 | _PARITY_BITS[settings.parity]
    if settings.stop_bits is not StopBits.ONE:
        mode |= _TWO_STOP_BITS
    yield PortInit(
        SPEEDS.index(settings.baudrate) if indexed else NO_INDEX,
        mode,
        dtr,
        rts,
        settings.flow is Flow.RTSCTS,
        settings.flow_in is Flow.RTSCTS,
        settings.flow is Flow.XONXOFF,
        settings.flow_in is Flow.XONXOFF,
    )
    if not indexed:
        yield SetBaudrate(settings.baudrate)


def modem(now: ModemLines, changed: ModemLines) -> Modem:
    """The modem byte of a notification: levels, and which lines changed; the ring indicator only if it fell."""
    bits = Modem(0)
    for line, level, delta in _LEVELS:
        if now & line:
            bits |= level
        if changed & line and not (line is ModemLines.RI and now & line):
            bits |= delta
    return bits


def modem_lines(bits: Modem) -> ModemLines:
    """The input lines that a notification shows as asserted."""
    lines = ModemLines(0)
    for line, level, _ in _LEVELS:
        if bits & level:
            lines |= line
    return lines


def errors(counted: UartCounters) -> Event:
    """What a notification tells of errors and breaks."""
    events = Event(0)
    if counted.parity:
        events |= Event.PARITY_ERROR
    if counted.frame:
        events |= Event.FRAMING_ERROR
    if counted.overrun:
        events |= Event.OVERRUN
    if counted.buffer_overrun:
        events |= Event.SOFTWARE_OVERRUN
    if counted.breaks:
        events |= Event.BREAK
    return events
