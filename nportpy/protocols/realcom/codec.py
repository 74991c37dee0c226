"""The command connection of Real COM in bytes, both ends.

A command is its opcode, a length byte and that many bytes, so any bytes are a sequence of commands, and a wrong one
is passed over by its length. What the server sends has no length byte: the opcode tells the size, and an
acknowledgement is the opcode and "OK" or "NA". The Linux driver puts nothing together: each answer has to reach it
whole and so is written alone, and none has more than seven bytes. Numbers are little-endian.
"""

from collections.abc import Callable
from struct import Struct
from typing import Final, assert_never

from nportpy.errors import MisuseError
from nportpy.protocols.realcom.messages import (
    Acknowledged,
    Alive,
    Answer,
    Command,
    Event,
    Fifo,
    FlowCharacters,
    Flush,
    Garbage,
    Hello,
    Hold,
    InputQueue,
    LineControl,
    LineStatus,
    Malformed,
    Modem,
    ModemStatus,
    Notify,
    Op,
    OutputQueue,
    Poll,
    PortInit,
    QueueLength,
    SetBaudrate,
    SetFlow,
    SetLine,
    SetXoff,
    SetXon,
    StartBreak,
    StartNotify,
    StopBreak,
    StopNotify,
    Unknown,
    WaitOutput,
)  # fmt: skip

HELLO_SIZE: Final = 16
"""Bytes of any content that a client on IPv6 sends first on its command connection, and wants back."""

MAX_PAYLOAD: Final = 255
"""The longest payload of a command, in bytes."""

_U32 = Struct("<I")

_OPS: dict[type[Command], Op] = {
    SetLine: Op.SET_LINE,
    SetFlow: Op.SET_FLOW,
    LineControl: Op.LINE_CONTROL,
    LineStatus: Op.LINE_STATUS,
    Flush: Op.FLUSH,
    InputQueue: Op.INPUT_QUEUE,
    OutputQueue: Op.OUTPUT_QUEUE,
    SetBaudrate: Op.SET_BAUDRATE,
    FlowCharacters: Op.FLOW_CHARACTERS,
    StartBreak: Op.START_BREAK,
    StopBreak: Op.STOP_BREAK,
    StartNotify: Op.START_NOTIFY,
    StopNotify: Op.STOP_NOTIFY,
    Alive: Op.ALIVE,
    PortInit: Op.PORT_INIT,
    WaitOutput: Op.WAIT_OUTPUT,
    Fifo: Op.FIFO,
    SetXon: Op.SET_XON,
    SetXoff: Op.SET_XOFF,
}

_PORT_INIT_SIZE = 8


def _port_init(data: bytes) -> PortInit:
    dtr, rts, cts, rts_flow, xon_out, xon_in = map(bool, data[2:_PORT_INIT_SIZE])
    return PortInit(data[0], data[1], dtr, rts, cts, rts_flow, xon_out, xon_in, data[_PORT_INIT_SIZE:])


# Length of the payload, and what to make of it.
_DECODERS: dict[int, tuple[int, Callable[[bytes], Command]]] = {
    Op.SET_LINE: (2, lambda data: SetLine(data[0], data[1])),
    Op.SET_FLOW: (4, lambda data: SetFlow(bool(data[0]), bool(data[1]), bool(data[2]), bool(data[3]))),
    Op.LINE_CONTROL: (2, lambda data: LineControl(bool(data[0]), bool(data[1]))),
    Op.LINE_STATUS: (0, lambda _: LineStatus()),
    Op.FLUSH: (1, lambda data: Flush(data[0])),
    Op.INPUT_QUEUE: (0, lambda _: InputQueue()),
    Op.OUTPUT_QUEUE: (0, lambda _: OutputQueue()),
    Op.SET_BAUDRATE: (4, lambda data: SetBaudrate(*_U32.unpack(data))),
    Op.FLOW_CHARACTERS: (2, lambda data: FlowCharacters(data[0], data[1])),
    Op.START_BREAK: (0, lambda _: StartBreak()),
    Op.STOP_BREAK: (0, lambda _: StopBreak()),
    Op.START_NOTIFY: (0, lambda _: StartNotify()),
    Op.STOP_NOTIFY: (0, lambda _: StopNotify()),
    Op.ALIVE: (1, lambda data: Alive(data[0])),
    Op.PORT_INIT: (_PORT_INIT_SIZE, _port_init),
    Op.WAIT_OUTPUT: (4, lambda data: WaitOutput(*_U32.unpack(data))),
    Op.FIFO: (1, lambda data: Fifo(data[0])),
    Op.SET_XON: (0, lambda _: SetXon()),
    Op.SET_XOFF: (0, lambda _: SetXoff()),
}


def decode_command(op: int, payload: bytes) -> Command | Unknown | Malformed:
    """What a command says. Takes any bytes and never raises."""
    decoder = _DECODERS.get(op)
    if decoder is None:
        return Unknown(op, payload)
    size, build = decoder
    if len(payload) == size or (op == Op.PORT_INIT and len(payload) > size):
        return build(payload)
    return Malformed(Op(op), payload)


def encode_command(command: Command) -> bytes:
    """The bytes on the wire.

    Raises:
        MisuseError: a value does not fit its field.
    """
    try:
        payload = _payload(command)
    except ValueError as error:
        raise MisuseError(f"{command} does not fit its field") from error
    if len(payload) > MAX_PAYLOAD:
        raise MisuseError(f"a payload of {len(payload)} bytes")
    return bytes((_OPS[type(command)], len(payload))) + payload


def _payload(command: Command) -> bytes:
    match command:
        case PortInit(baud, mode, dtr, rts, cts, rts_flow, xon_out, xon_in, extra):
            return bytes((baud, mode, dtr, rts, cts, rts_flow, xon_out, xon_in)) + extra
        case SetFlow(cts, rts_flow, xon_out, xon_in):
            return bytes((cts, rts_flow, xon_out, xon_in))
        case SetLine(first, second) | LineControl(first, second) | FlowCharacters(first, second):
            return bytes((first, second))
        case SetBaudrate(number) | WaitOutput(number):
            if not 0 <= number <= 0xFFFFFFFF:
                raise ValueError
            return _U32.pack(number)
        case Flush(value) | Alive(value) | Fifo(value):
            return bytes((value,))
        case LineStatus() | InputQueue() | OutputQueue() | StartBreak() | StopBreak():
            return b""
        case StartNotify() | StopNotify() | SetXon() | SetXoff():
            return b""
        case _:
            assert_never(command)


def encode_answer(answer: Answer) -> bytes:
    """The bytes on the wire; never more than five.

    Raises:
        MisuseError: a value does not fit its field.
    """
    try:
        match answer:
            case Acknowledged(op, ok):
                return bytes((op,)) + (b"OK" if ok else b"NA")
            case ModemStatus(op, dsr, cts, dcd):
                return bytes((op, 3, bool(dsr), bool(cts), bool(dcd)))
            case QueueLength(op, length):
                return bytes((op, 2, length & 0xFF, length >> 8))
            case Notify(events, modem, hold):
                return bytes((Op.NOTIFY, events, modem, hold))
            case Poll(number):
                return bytes((Op.POLL, 1, number))
            case _:
                assert_never(answer)
    except ValueError as error:
        raise MisuseError(f"{answer} does not fit its field") from error


class CommandReader:
    """Finds commands, the server's side. Keeps less than a command, which has 257 bytes at most."""

    __slots__ = ("_hello", "_rest")

    def __init__(self, *, hello: bool = False) -> None:
        """`hello`: the client came by IPv6 and begins with a `Hello`."""
        self._rest = b""
        self._hello = hello

    def feed(self, data: bytes) -> list[Command | Unknown | Malformed | Hello]:
        """The commands that `data` completes, in order."""
        events: list[Command | Unknown | Malformed | Hello] = []
        data = self._rest + data
        at = 0
        if self._hello and len(data) >= HELLO_SIZE:
            self._hello = False
            events.append(Hello(data[:HELLO_SIZE]))
            at = HELLO_SIZE
        if not self._hello:
            while len(data) - at >= 2:
                end = at + 2 + data[at + 1]
                if end > len(data):
                    break
                events.append(decode_command(data[at], data[at + 2 : end]))
                at = end
        self._rest = data[at:]
        return events


_STATUS_OPS = (Op.PORT_INIT, Op.LINE_STATUS)
_QUEUE_OPS = (Op.WAIT_OUTPUT, Op.INPUT_QUEUE, Op.OUTPUT_QUEUE)
_NEED_MORE = 0
_NOTHING = -1


class AnswerReader:
    """Finds what a server sends, the client's side; unlike the Linux driver it puts together what comes in pieces.

    Keeps less than an answer or a hello. Each byte is looked at once; no answer begins inside another.
    """

    __slots__ = ("_hello", "_rest")

    def __init__(self, *, hello: bool = False) -> None:
        """`hello`: a `Hello` was sent, as it must be by IPv6."""
        self._rest = b""
        self._hello = hello

    def feed(self, data: bytes) -> list[Answer | Hello | Garbage]:
        """What `data` completes, in order; garbage in one piece."""
        events: list[Answer | Hello | Garbage] = []
        data = self._rest + data
        at = 0
        if self._hello:
            if len(data) < HELLO_SIZE:
                self._rest = data
                return events
            self._hello = False
            events.append(Hello(data[:HELLO_SIZE]))
            at = HELLO_SIZE
        good = at  # everything before it was told
        while at < len(data):
            size = _answer_size(data, at)
            if size == _NOTHING:
                at += 1
                continue
            if good < at:
                events.append(Garbage(data[good:at]))
                good = at
            if size == _NEED_MORE or at + size > len(data):
                break
            events.append(_answer(data[at : at + size]))
            good = at = at + size
        if good < at:
            events.append(Garbage(data[good:at]))
        self._rest = data[at:]
        return events


def _answer_size(data: bytes, at: int) -> int:
    """Bytes of the answer that begins at `data[at]`, or one of the verdicts above."""
    op = data[at]
    if op == Op.NOTIFY:
        return 4
    head = data[at + 1 : at + 3]
    if not head:
        return _NEED_MORE
    if op == Op.POLL:
        return 3 if head[0] == 1 else _NOTHING
    if op in _STATUS_OPS and head[0] == 3:
        return 5
    if op in _QUEUE_OPS and head[0] == 2:
        return 4
    if b"OK".startswith(head) or b"NA".startswith(head):
        return 3
    return _NOTHING


def _answer(data: bytes) -> Answer:
    op = data[0]
    if op == Op.NOTIFY:
        return Notify(Event(data[1]), Modem(data[2]), Hold(data[3]))
    if op == Op.POLL:
        return Poll(data[2])
    if len(data) == 5:
        return ModemStatus(Op(op), bool(data[2]), bool(data[3]), bool(data[4]))
    if len(data) == 4:
        return QueueLength(Op(op), data[2] | data[3] << 8)
    return Acknowledged(op, ok=data[1:] == b"OK")
