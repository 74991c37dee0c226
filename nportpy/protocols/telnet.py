"""Telnet: data, commands and option negotiation (RFC 854, 855, 856; negotiation by RFC 1143).

Every option has one state for each side: `US` is what we do, `THEM` is what the peer does. The states and the moves
are those of the Q method of RFC 1143, its queue bit folded into the state:

    NO                off, and both ends know it
    YES               on, and both ends know it
    WANTNO            we asked for off and wait for the answer
    WANTNO_OPPOSITE   the same, and we shall ask for on when the answer is there
    WANTYES           we asked for on and wait for the answer
    WANTYES_OPPOSITE  the same, and we shall ask for off when the answer is there

A move that is not in the table changes nothing and sends nothing. This is what ends every loop: a request for the
state that is there already is never answered (ser2net#8, ser2net#30), and a request that we refuse costs three bytes
for three. Options that nobody made us willing for are refused.

A Synch (RFC 854, pages 8 and 9) is a data mark that is sent as urgent data and asks its receiver to throw away the data
before it. Here a data mark is a command like others, and no data are thrown away: what was on its way to a device is
meant for the device, and how much of it came before the mark depends on the network. Whoever owns the socket has to
set SO_OOBINLINE (network/keepalive.py), or the kernel takes the mark out of the stream and leaves its IAC there: the
next byte would be taken for a command and lost.

BINARY (RFC 856) decides about carriage returns, in each direction by itself. While it is off the network virtual
terminal rules: CR travels as CR NUL or as the first half of CR LF (RFC 854, page 11).
"""

import re
from dataclasses import dataclass
from enum import Enum, IntEnum, auto

from nportpy.errors import MisuseError


class Code(IntEnum):
    """Command codes (RFC 854, page 14)."""

    SE = 240
    NOP = 241
    DM = 242
    BRK = 243
    IP = 244
    AO = 245
    AYT = 246
    EC = 247
    EL = 248
    GA = 249
    SB = 250
    WILL = 251
    WONT = 252
    DO = 253
    DONT = 254
    IAC = 255


class Option(IntEnum):
    """Options that a serial device server has to do with; every other number from 0 to 255 is an option too."""

    TRANSMIT_BINARY = 0  # RFC 856
    ECHO = 1  # RFC 857
    SUPPRESS_GO_AHEAD = 3  # RFC 858
    COM_PORT_OPTION = 44  # RFC 2217


class Side(IntEnum):
    """Who performs an option."""

    US = auto()
    THEM = auto()


@dataclass(frozen=True, slots=True)
class Data:
    """Data bytes, unescaped; never empty."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Subnegotiation:
    """A complete suboption, unescaped. It comes whether or not the option is on: the caller decides."""

    option: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Break:
    """The break key (IAC BRK)."""


@dataclass(frozen=True, slots=True)
class Command:
    """Any other command: a `Code`, or a number below 240 that RFC 854 gives no meaning."""

    code: int


@dataclass(frozen=True, slots=True)
class Negotiated:
    """An option was settled: the peer switched it, or answered our request, with a refusal too."""

    option: int
    side: Side
    enabled: bool


@dataclass(frozen=True, slots=True)
class Malformed:
    """A suboption was thrown away; the connection can go on."""

    reason: str


Event = Data | Subnegotiation | Break | Command | Negotiated | Malformed


# These are keys, and the hash of a plain Enum is a Python function; hence IntEnum.
class _State(IntEnum):
    NO = auto()
    YES = auto()
    WANTNO = auto()
    WANTNO_OPPOSITE = auto()
    WANTYES = auto()
    WANTYES_OPPOSITE = auto()


class _Input(IntEnum):
    ASK_ON = auto()
    ASK_OFF = auto()
    PEER_ON = auto()
    PEER_OFF = auto()


# The next state, and what to send: a request or an agreement for on, for off, or nothing.
_MOVES: dict[tuple[_State, _Input], tuple[_State, bool | None]] = {
    (_State.NO, _Input.ASK_ON): (_State.WANTYES, True),
    (_State.WANTNO, _Input.ASK_ON): (_State.WANTNO_OPPOSITE, None),
    (_State.WANTYES_OPPOSITE, _Input.ASK_ON): (_State.WANTYES, None),
    (_State.YES, _Input.ASK_OFF): (_State.WANTNO, False),
    (_State.WANTYES, _Input.ASK_OFF): (_State.WANTYES_OPPOSITE, None),
    (_State.WANTNO_OPPOSITE, _Input.ASK_OFF): (_State.WANTNO, None),
    (_State.NO, _Input.PEER_ON): (_State.YES, True),
    # Our "off" answered with "on" is the peer's fault; RFC 1143 takes the state that we asked for last.
    (_State.WANTNO, _Input.PEER_ON): (_State.NO, None),
    (_State.WANTNO_OPPOSITE, _Input.PEER_ON): (_State.YES, None),
    (_State.WANTYES, _Input.PEER_ON): (_State.YES, None),
    (_State.WANTYES_OPPOSITE, _Input.PEER_ON): (_State.WANTNO, False),
    (_State.YES, _Input.PEER_OFF): (_State.NO, False),
    (_State.WANTNO, _Input.PEER_OFF): (_State.NO, None),
    (_State.WANTNO_OPPOSITE, _Input.PEER_OFF): (_State.WANTYES, True),
    (_State.WANTYES, _Input.PEER_OFF): (_State.NO, None),
    (_State.WANTYES_OPPOSITE, _Input.PEER_OFF): (_State.NO, None),
}

# A side performs an option until it says that it stops: we at our "off", the peer at its answer to ours.
_ENABLED = {
    Side.US: frozenset({_State.YES}),
    Side.THEM: frozenset({_State.YES, _State.WANTNO, _State.WANTNO_OPPOSITE}),
}

_SAID = {
    (Side.US, True): bytes((Code.IAC, Code.WILL)),
    (Side.US, False): bytes((Code.IAC, Code.WONT)),
    (Side.THEM, True): bytes((Code.IAC, Code.DO)),
    (Side.THEM, False): bytes((Code.IAC, Code.DONT)),
}

_HEARD: dict[int, tuple[Side, bool]] = {
    Code.DO: (Side.US, True),
    Code.DONT: (Side.US, False),
    Code.WILL: (Side.THEM, True),
    Code.WONT: (Side.THEM, False),
}


class _Expecting(Enum):
    BYTES = auto()  # data, or the inside of a suboption
    CODE = auto()  # IAC was the last byte
    OPTION = auto()  # WILL, WONT, DO or DONT was


# Bound once: in Python 3.11 the way to a member through its class takes 0.2 us, and a peer may send nothing but
# commands.
_BYTES, _CODE, _OPTION = _Expecting
_NO, _YES = _State.NO, _State.YES
_SE, _BRK, _SB = int(Code.SE), int(Code.BRK), int(Code.SB)
_BINARY = int(Option.TRANSMIT_BINARY)

_IAC = b"\xff"
_IAC_IAC = b"\xff\xff"
_NOT_IAC = re.compile(rb"[^\xff]")
_LONE_CR = re.compile(rb"\r(?!\n)")


class TelnetCodec:
    r"""One end of one telnet connection.

    What `take_output` gives has its place in the stream: write it after every call of `feed`, `ask_us` and `ask_them`,
    before anything that is encoded later.

    Look for the 0xFF with `0xFF not in data`: in CPython that takes a tenth of what `b"\xff" not in data` does.

    Attributes:
        plain: the next byte from the peer is data and BINARY is on: what has no 0xFF in it may go by without `feed`.
        plain_out: BINARY is on towards the peer: what has no 0xFF in it may go out without `encode`.
    """

    __slots__ = (
        "_after_cr",
        "_binary_in",
        "_body",
        "_events",
        "_expecting",
        "_heard",
        "_max_subnegotiation",
        "_output",
        "_overlong",
        "_pieces",
        "_states",
        "_willing",
        "plain",
        "plain_out",
    )

    def __init__(self, *, us: frozenset[int], them: frozenset[int], max_subnegotiation: int = 1024) -> None:
        """`us` are the options we are willing to perform, `them` those we let the peer perform.

        A suboption of more than `max_subnegotiation` bytes, counted after the option and unescaped, is not kept.
        """
        self.plain = False
        self.plain_out = False
        self._willing = {Side.US: us, Side.THEM: them}
        self._states: dict[tuple[Side, int], _State] = {}
        self._max_subnegotiation = max_subnegotiation
        self._output = bytearray()
        self._expecting = _BYTES
        self._heard = (Side.US, False)  # what the verb before an option said
        self._body: bytearray | None = None  # the suboption so far, its option first; None outside of one
        self._overlong = False
        self._binary_in = False
        self._after_cr = False  # the last byte of data was CR; kept only while BINARY is off
        self._pieces: list[bytes] = []
        self._events: list[Event] = []

    def ask_us(self, option: int, *, enable: bool = True) -> None:
        """Offer to perform an option, or stop performing it. Nothing happens if that is so or asked for already.

        An option that we stop performing is off at once; `feed` reports when the peer knows.

        Raises:
            MisuseError: we are not willing to perform it.
        """
        self._ask(Side.US, option, enable)

    def ask_them(self, option: int, *, enable: bool = True) -> None:
        """Ask the peer to perform an option, or to stop. Nothing happens if that is so or asked for already.

        Raises:
            MisuseError: we would not let the peer perform it.
        """
        self._ask(Side.THEM, option, enable)

    def us_enabled(self, option: int) -> bool:
        """Whether we perform an option."""
        return self._enabled(Side.US, option)

    def them_enabled(self, option: int) -> bool:
        """Whether the peer performs an option."""
        return self._enabled(Side.THEM, option)

    def take_output(self) -> bytes:
        """Requests and answers that the peer must get; empty if there are none."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def feed(self, data: bytes) -> list[Event]:
        """Events in the order of the stream, adjacent data in one `Data`. Takes any bytes, keeps no data back.

        While BINARY is off from the peer, CR NUL becomes CR; CR LF stays.
        """
        if self.plain and 0xFF not in data:
            return [Data(data)] if data else []
        self._events = []
        position, size = 0, len(data)
        # All in pairs: no command in here, and nothing to go through byte by byte.
        if self._expecting is _BYTES and data.count(_IAC) == 2 * data.count(_IAC_IAC):
            self._keep(data.replace(_IAC_IAC, _IAC))
            position = size
        while position < size:
            expecting = self._expecting
            if expecting is _BYTES:
                position = self._take_bytes(data, position)
            elif expecting is _CODE:
                self._take_code(data[position])
                position += 1
            else:
                self._expecting = _BYTES
                self._hear(data[position])
                position += 1
        self._end_data()
        self._settle_plain()
        return self._events

    def encode(self, data: bytes) -> bytes:
        r"""Data as it goes to the peer: 0xFF doubled, and while BINARY is off, CR as CR NUL unless LF follows.

        A CR at the end of `data` becomes CR NUL at once, whatever comes next: the peer need not wait for the byte
        that RFC 854 wants after every CR, a command may follow, and CR NUL LF reads as the same two characters.
        The same object comes back if there is nothing to do.
        """
        if 0xFF in data:
            data = data.replace(_IAC, _IAC_IAC)
        if not self.plain_out and 0x0D in data:
            data = _LONE_CR.sub(b"\r\0", data)
        return data

    @staticmethod
    def encode_subnegotiation(option: int, payload: bytes) -> bytes:
        """A whole suboption, for one write: clients have stumbled over one in two reads (microcom#64)."""
        body = bytes((option,)) + payload
        return b"\xff\xfa" + body.replace(_IAC, _IAC_IAC) + b"\xff\xf0"

    def _take_bytes(self, data: bytes, start: int) -> int:
        """Take literal bytes up to the next command; where to go on."""
        iac = data.find(_IAC, start)
        if iac < 0:
            self._keep(data[start:])
            return len(data)
        # A run of n IACs is n // 2 literal ones, and one that begins a command if n is odd. Taken as a run, a
        # stream of nothing else costs one pass.
        other = _NOT_IAC.search(data, iac)
        end = other.start() if other else len(data)
        pairs, odd = divmod(end - iac, 2)
        self._keep(data[start : iac + pairs])
        if odd:
            self._expecting = _CODE
        return end

    def _take_code(self, code: int) -> None:
        self._expecting = _BYTES
        if code == 0xFF:
            self._keep(_IAC)
            return
        if self._body is not None:
            body, self._body = self._body, None
            if code == _SE:
                self._end_suboption(body)
                return
            # RFC 855 does not say what another command inside a suboption means. Some senders forget to double 0xFF,
            # others die half-way; either way the rest cannot be trusted, and waiting for an IAC SE that may never
            # come would swallow data. So the suboption ends here and the command is obeyed.
            if not self._overlong:
                self._emit(Malformed(f"suboption of {len(body)} bytes cut short by command {code}"))
        heard = _HEARD.get(code)
        if heard is not None:
            self._heard = heard
            self._expecting = _OPTION
        elif code == _SB:
            self._body = bytearray()
            self._overlong = False
        elif code == _BRK:
            self._emit(Break())
        else:
            self._emit(Command(code))

    def _keep(self, piece: bytes) -> None:
        """Add literal bytes to the data or to the suboption, whichever is under way."""
        if not piece:
            return
        if self._body is not None:
            self._keep_suboption(self._body, piece)
            return
        if not self._binary_in:
            second_half = self._after_cr and piece[0] == 0
            self._after_cr = piece.endswith(b"\r")
            if second_half:
                piece = piece[1:]
            piece = piece.replace(b"\r\0", b"\r")
        if piece:
            self._pieces.append(piece)

    def _keep_suboption(self, body: bytearray, piece: bytes) -> None:
        if self._overlong:
            return
        if len(body) + len(piece) > 1 + self._max_subnegotiation:
            self._overlong = True
            body.clear()
            self._emit(Malformed(f"suboption of more than {self._max_subnegotiation} bytes"))
            return
        body += piece

    def _end_suboption(self, body: bytearray) -> None:
        if self._overlong:
            return
        if not body:
            self._emit(Malformed("suboption without an option"))
            return
        self._emit(Subnegotiation(body[0], bytes(body[1:])))

    def _emit(self, event: Event) -> None:
        self._end_data()
        self._events.append(event)

    def _end_data(self) -> None:
        if self._pieces:
            self._events.append(Data(b"".join(self._pieces)))
            self._pieces.clear()

    def _ask(self, side: Side, option: int, enable: bool) -> None:
        if enable and option not in self._willing[side]:
            raise MisuseError(f"telnet option {option} asked for, but not willing")
        self._move(side, option, _Input.ASK_ON if enable else _Input.ASK_OFF)
        self._settle_plain()

    def _hear(self, option: int) -> None:
        side, on = self._heard
        if on and option not in self._willing[side] and self._states.get((side, option), _NO) is _NO:
            self._send(side, option, on=False)
            return
        settled = self._move(side, option, _Input.PEER_ON if on else _Input.PEER_OFF)
        if settled is _YES or settled is _NO:
            self._emit(Negotiated(option, side, settled is _YES))

    def _move(self, side: Side, option: int, what: _Input) -> _State | None:
        """Make a move; the state it leads to, None if there is no such move."""
        state = self._states.get((side, option), _NO)
        move = _MOVES.get((state, what))
        if move is None:
            return None
        after, reply = move
        self._states[side, option] = after
        if reply is not None:
            self._send(side, option, on=reply)
        if option == _BINARY:
            self.plain_out = self._enabled(Side.US, option)
            self._binary_in = self._enabled(Side.THEM, option)
            if self._binary_in:
                self._after_cr = False
        return after

    def _send(self, side: Side, option: int, *, on: bool) -> None:
        self._output += _SAID[side, on]
        self._output.append(option)

    def _enabled(self, side: Side, option: int) -> bool:
        return self._states.get((side, option), _NO) in _ENABLED[side]

    def _settle_plain(self) -> None:
        self.plain = self._binary_in and self._body is None and self._expecting is _BYTES
