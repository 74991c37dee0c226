"""A Real COM client as strict as the Linux driver, and without its sockets: fed bytes and times, it emits bytes.

It reads at most 84 bytes at a time and puts nothing together, has one command under way, and does for each system
call what the driver was traced to do. Where the driver would get lost it goes on, and writes a fault down.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Final

HZ: Final = 250
"""Ticks in a second of the client's kernel."""

READ_SIZE: Final = 84
HELLO: Final = bytes(range(0x30, 0x40))
DEFAULTS: Final = bytes.fromhex("06 03 01 01 00 00 01 00")
"""PORT_INIT's payload on opening: 9600 8N1, DTR, RTS, and IXON as every terminal has it."""

_PATIENCE = 10.0  # for every answer but WAIT_OQUEUE's
_SIZES = dict.fromkeys((0x2C, 0x13), 5) | dict.fromkeys((0x2F, 0x16, 0x15, 0x26), 4)
_SIZES |= dict.fromkeys((0x27, 0x10, 0x11, 0x12, 0x14, 0x17, 0x18, 0x21, 0x22, 0x24, 0x25, 0x30, 0x33, 0x34), 3)
_BREAK_TIME = 0.25


@dataclass(frozen=True)
class Command:
    """A system call sends this and waits for its answer."""

    data: bytes
    patience: float = _PATIENCE


@dataclass(frozen=True)
class Pause:
    """A system call sleeps."""

    seconds: float


Call = Generator[Command | Pause, bytes | None, str]
"""A system call under way; it returns the error, or an empty text."""


def command(op: int, payload: bytes = b"") -> bytes:
    return bytes((op, len(payload))) + payload


class Driver:
    """The driver and its daemon, for one port.

    Attributes:
        faults: what the server did that the real one does not survive.
        modem: CTS, DSR, DCD and RI as in a modem status register.
        received: what a program could read, a NUL for each break among it.
        errors: how often each event bit came.
        result: what the last system call returned, None while it is under way.
        closed: the client closed both connections.
        wait_answers: what each WAIT_OQUEUE was answered.
    """

    def __init__(self, *, hz: int = HZ, ipv6: bool = False) -> None:
        self.faults: list[str] = []
        self.modem = 0
        self.received = bytearray()
        self.errors = dict.fromkeys((1, 2, 4, 8, 0x10, 0x20), 0)
        self.result: str | None = ""
        self.closed = False
        self.wait_answers: list[int] = []
        self.answers: list[bytes] = []
        self.polls: list[int] = []
        self._hz = hz
        self._ipv6 = ipv6
        self._hello_left = 0
        self._now = 0.0
        self._call: Call | None = None
        self._awaited: int | None = None
        self._answer: bytes | None = None
        self._until = 0.0
        self._given_up: set[int] = set()
        self._recovering: list[int] = []
        self._initialised = False
        self._notified_at: float | None = None
        self._commands: list[bytes] = []
        self._data = bytearray()
        self._init = DEFAULTS
        self._baudrate: int | None = None

    # The sockets.

    def connected(self, now: float, *, recover: bool = False) -> None:
        """Both connections are there; with `recover` again, while the port is open."""
        self._now = now
        self.closed = self._initialised = False
        self._notified_at = None
        if self._ipv6:
            self._hello_left = len(HELLO)
            self._commands.append(HELLO)
        if recover:
            self._recover()

    def disconnected(self) -> None:
        """Either connection has gone: both are closed."""
        self.closed = True

    def command_received(self, data: bytes, now: float) -> None:
        """What was read from the command connection."""
        self._now = now
        if self._hello_left:
            taken = min(self._hello_left, len(data))
            self._hello_left -= taken
            data = data[taken:]
        for at in range(0, len(data), READ_SIZE):
            self._read(data[at : at + READ_SIZE])
        self._go_on()

    def data_received(self, data: bytes) -> None:
        """What was read from the data connection. Before the open is through the driver throws it away."""
        if self._initialised:
            self.received += data

    def take_commands(self) -> list[bytes]:
        """What to write to the command connection, before anything to the other one; a piece is a write."""
        if self._hello_left and self._commands[:1] != [HELLO]:
            return []
        ready = self._commands[:1] if self._hello_left else self._commands
        self._commands = self._commands[len(ready) :]
        return ready

    def take_data(self) -> bytes:
        """What to write to the data connection."""
        data = bytes(self._data)
        self._data.clear()
        return data

    def deadline(self) -> float | None:
        """When to call `expire`."""
        return self._until if self._call is not None else None

    def expire(self, now: float) -> None:
        """A wait is over."""
        self._now = now
        if self._call is not None and now >= self._until:
            if self._awaited is not None:
                self._given_up.add(self._awaited)
                self._awaited = None
                self._step(None)
            elif not self._hello_left:
                self._step(None)

    # What the server says.

    def _read(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            size = _SIZES.get(data[at])
            if size is None:
                self.faults.append(f"opcode {data[at]:02x} swallows {data[at:].hex(' ')}")
                return
            message = data[at : at + size]
            at += size
            if len(message) < size:
                self.faults.append(f"in pieces: {message.hex(' ')}")
                return
            if at == READ_SIZE:
                self.faults.append(f"lost at the end of the buffer: {message.hex(' ')}")
                return
            self._take(message)

    def _take(self, message: bytes) -> None:
        op = message[0]
        if op == 0x27:
            if message[1] != 1 or not message[2]:
                self.faults.append(f"no poll: {message.hex(' ')}")
            self.polls.append(message[2])
            self._commands.append(command(0x28, message[2:]))
        elif op == 0x26:
            self._notified(message)
        elif self._recovering:
            self._recovered(message)
        elif op == self._awaited and self._answer is None:
            self._answer = message
            self.answers.append(message)
            self._check(message)
        elif op in self._given_up:
            self._given_up.discard(op)
            self.faults.append(f"too late: {message.hex(' ')}")
        else:
            self.faults.append(f"nobody asked: {message.hex(' ')}")

    def _check(self, message: bytes) -> None:
        op = message[0]
        if op == 0x2C:
            if message[2:] == b"\xff\xff\xff":
                self.faults.append("speed refused" if self._initialised else "the kernel crashes: first PORT_INIT")
            elif message[1] != 3 or max(message[2:]) > 1:
                self.faults.append(f"no modem status: {message.hex(' ')}")
            else:
                self._set_modem(message)
            self._initialised = True
        elif op == 0x2F:
            if message[1] != 2:
                self.faults.append(f"no queue length: {message.hex(' ')}")
            self.wait_answers.append(message[2] | message[3] << 8)
        elif message[1:] != b"OK" and (op, message[1:]) != (0x17, b"NA"):
            self.faults.append(f"no acknowledgement: {message.hex(' ')}")

    def _set_modem(self, message: bytes) -> None:
        dsr, cts, dcd = message[2:]
        self.modem = self.modem & 0x40 | dsr * 0x20 | cts * 0x10 | dcd * 0x80

    def _notified(self, message: bytes) -> None:
        _, events, modem, hold = message
        if not self._initialised:
            self.faults.append(f"before PORT_INIT: {message.hex(' ')}")
        if self._notified_at is not None and self._now < self._notified_at + 0.1 - 1e-9:
            self.faults.append(f"{self._now - self._notified_at:.3f} s after the last: {message.hex(' ')}")
        if not hold & 0x80:
            self.faults.append(f"without bit 80: {message.hex(' ')}")
        if not events:
            self.faults.append(f"about nothing: {message.hex(' ')}")
        self._notified_at = self._now
        if self._recovering:
            return
        for bit in self.errors:
            self.errors[bit] += bool(events & bit)
        if events & 0x20:
            self.modem = modem & 0xF0
        if events & 0x10:
            self.received.append(0)

    # Reconnecting.

    def _recover(self) -> None:
        commands = [command(0x2C, self._init)]
        if self._baudrate is not None:
            commands.append(command(0x17, self._baudrate.to_bytes(4, "little")))
        if self._init[6] or self._init[7]:
            commands.append(bytes.fromhex("18 02 11 13"))
        commands += [bytes.fromhex("30 01 10"), command(0x12, self._init[2:4])]
        self._recovering = [data[0] for data in commands]
        self._commands.append(b"".join(commands))

    def _recovered(self, message: bytes) -> None:
        self.answers.append(message)
        if message[0] != self._recovering[0]:
            self.faults.append(f"while {self._recovering[0]:02x} is awaited: {message.hex(' ')}")
            return
        self._recovering.pop(0)
        self._check(message)

    @property
    def recovering(self) -> bool:
        """Whether not all commands of the recovery were answered."""
        return bool(self._recovering)

    # System calls.

    def call(self, call: Call, now: float) -> None:
        """Begin a system call."""
        assert self._call is None, "one at a time"
        self._now = now
        self._call = call
        self.result = None
        self._awaited = self._answer = None
        self._next(next(call))

    def write(self, data: bytes) -> None:
        """The daemon writes it after a command that comes with it."""
        self._data += data

    def _go_on(self) -> None:
        while self._call is not None and self._answer is not None:
            answer, self._answer, self._awaited = self._answer, None, None
            self._step(answer)

    def _step(self, answer: bytes | None) -> None:
        assert self._call is not None
        try:
            wish = self._call.send(answer)
        except StopIteration as end:
            self._call = None
            self.result = end.value
        else:
            self._next(wish)

    def _next(self, wish: Command | Pause) -> None:
        if isinstance(wish, Command):
            self._commands.append(wish.data)
            self._awaited = wish.data[0]
            self._until = self._now + wish.patience
        else:
            self._until = self._now + wish.seconds

    def _wait_output(self, ticks: int) -> Command:
        return Command(command(0x2F, ticks.to_bytes(4, "little")), ticks / self._hz + 0.01)

    @property
    def _tenth(self) -> int:
        return self._hz // 10

    def open(self) -> Call:
        """Of the device file; the connections are there already."""
        self._init = DEFAULTS
        self._baudrate = None
        for data in (command(0x2C, DEFAULTS), bytes.fromhex("18 02 11 13"), bytes.fromhex("30 01 10")):
            if (yield Command(data)) is None:
                self.closed = True
                return "EIO"
        return ""

    def tcsetattr(self, init: bytes, baudrate: int | None = None, *, drain: bool = False) -> Call:
        """`init` is PORT_INIT's payload; `baudrate` a speed without an index. Errors are not reported."""
        if drain:
            yield self._wait_output(self._tenth)
        self._init, self._baudrate = init, baudrate
        yield Command(command(0x2C, init))
        if baudrate is not None:
            yield Command(command(0x17, baudrate.to_bytes(4, "little")))
        if init[6] or init[7]:
            yield Command(bytes.fromhex("18 02 11 13"))
        return ""

    def tiocmset(self, *, dtr: bool, rts: bool) -> Call:
        self._init = self._init[:2] + bytes((dtr, rts)) + self._init[4:]
        yield Command(command(0x12, bytes((dtr, rts))))
        return ""

    def tcdrain(self) -> Call:
        yield self._wait_output(self._tenth)
        return ""

    def tcsendbreak(self) -> Call:
        yield self._wait_output(self._tenth)
        yield Command(command(0x21))
        yield Pause(_BREAK_TIME)
        yield Command(command(0x22))
        return ""

    def tcflush(self) -> Call:
        """Of the output or of both: it is the same."""
        self._data.clear()
        yield Command(bytes.fromhex("14 01 02"))
        return ""

    def tcflow(self, *, on: bool) -> Call:
        yield Command(command(0x33 if on else 0x34))
        return ""

    def close(self, *, nonblocking: bool = False) -> Call:
        """Of the device file: until three times in a row nothing is left, 30 s at most."""
        end = self._now + 30
        zeros = 0
        if not nonblocking:
            yield self._wait_output(30 * self._hz)  # its answer does not count
        while not nonblocking and zeros < 3 and self._now < end:
            answer = yield self._wait_output(max(int((end - self._now) * self._hz), 1))
            zeros = zeros + 1 if answer is not None and not (answer[2] or answer[3]) else 0
            yield Pause(0.01)
        yield Command(bytes.fromhex("14 01 02"))
        self.closed = True
        return ""
