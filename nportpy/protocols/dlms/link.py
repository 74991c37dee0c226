"""The client's side of an HDLC connection: what carries APDUs to a meter and back, whatever the line loses.

    connection closed --connect--> connecting --UA--> connected --disconnect--> disconnecting --UA, DM--> closed
    connected --request--> asked --answer--> connected

The meter speaks only when polled, so this side drives. It reads no clock: who holds the line writes what
`take_output` gives, feeds what comes, and says `expire` when nothing did for as long as a meter may think.

What happens when something is lost (IEC 62056-46 6.4.4, Green Book 8.4.5):

| what comes | while an answer is awaited |
|---|---|
| nothing | RR with P and our V(R): the meter repeats what it said last; never a new N(S), an action would run twice |
| RR, N(R) = our old V(S) | the question was lost: the same frames again |
| RR, N(R) behind our question | it has arrived and is worked on: ask again in a moment |
| RNR | the meter is busy: ask again in a moment |
| I, N(S) = V(R) | taken |
| I, N(S) before V(R) | dropped: it was polled for twice, and what the second poll was for is still to come |
| I, N(S) after V(R) | dropped; RR as soon as the meter has finished, which repeats what is missing |
| DM, FRMR | the connection is gone: `Lost` |
| SNRM, DISC, I with E6 E6 ... of this client | our own echo, counted |
| UI, frames of others | counted |
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from nportpy.errors import MisuseError, ProtocolError
from nportpy.protocols.dlms import hdlc
from nportpy.protocols.dlms.hdlc import Address, Frame, FrameFinder, Parameters

LLC_COMMAND: Final = b"\xe6\xe6\x00"
"""Stands before the first byte of every APDU to the meter (8.3.2)."""

LLC_RESPONSE: Final = b"\xe6\xe7\x00"
"""The same from it."""

MAX_POLLS: Final = 100
"""Times that a busy meter is asked for one answer."""


class Loss(Enum):
    """Why a connection is lost."""

    SILENCE = "no answer"
    NOT_CONNECTED = "the meter says that it is not connected (DM)"
    REFUSED = "the meter refused a frame (FRMR)"
    BUSY = "the meter stays busy (RNR)"
    MALFORMED = "an answer without its LLC header"
    TOO_LONG = "an answer longer than allowed"


@dataclass(frozen=True, slots=True)
class Connected:
    """UA to SNRM: `parameters` are the meter's own."""

    parameters: Parameters


@dataclass(frozen=True, slots=True)
class Received:
    """An answer is complete."""

    apdu: bytes


@dataclass(frozen=True, slots=True)
class Busy:
    """Say `poll` in a moment, some 100 ms."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """UA or DM to DISC."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection is gone, or did not come about: connect again. `detail` is the meter's, may be empty."""

    loss: Loss
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.loss.value}: {self.detail}" if self.detail else self.loss.value


Event = Connected | Received | Busy | Disconnected | Lost


class State(Enum):
    """Of the connection, as this side knows it."""

    CLOSED = "closed"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    DISCONNECTING = "disconnecting"


class Link:
    """One client's connection to one server. One request at a time.

    Attributes:
        state: of the connection.
        echoes: frames heard that were our own.
        foreign: frames heard that are for or from others, and UI frames.
        heard: frames heard that were the meter's to this client.
    """

    def __init__(self, client: int, server: Address, width: int, *, tries: int = 3, max_size: int = 1 << 20) -> None:
        """`tries` of a question without any answer; an answer has `max_size` bytes at most, put together."""
        self._client = hdlc.Address(client).encode(1)
        self._server = server.encode(width)
        self._tries = tries
        self._max_size = max_size
        self.state = State.CLOSED
        self.echoes = self.foreign = self.heard = 0
        self._finder = FrameFinder()
        self._output = b""
        self._proposed: Parameters | None = None
        self._size, self._window = 128, 1  # that the meter takes
        self._sent = 0  # V(S): N(S) of the next I frame
        self._expected = 0  # V(R): N(S) of the next one from the meter
        self._unacknowledged: list[Frame] = []  # on their way, oldest first
        self._waiting: list[bytes] = []  # segments that no window had room for yet
        self._answer = bytearray()
        self._asked = False
        self._failures = self._polls = 0

    @property
    def rejected(self) -> int:
        """Bytes heard that belong to no frame."""
        return self._finder.rejected

    @property
    def pending(self) -> bool:
        """Whether a frame has begun that is not whole yet."""
        return self._finder.pending

    def connect(self, parameters: Parameters | None) -> None:
        """SNRM with `parameters`, or bare: then the defaults hold. Said once: what to try next, the caller knows."""
        self._close()
        self.state = State.CONNECTING
        self._proposed = parameters
        self._command(hdlc.SNRM, parameters.encode() if parameters else b"")

    def disconnect(self) -> None:
        """DISC, once. It may be said at any time: a meter that knows of no connection answers DM."""
        self._close()
        self.state = State.DISCONNECTING
        self._command(hdlc.DISC)

    def request(self, apdu: bytes) -> None:
        """Send `apdu`, in as many segments as the meter's frames need, and await its answer."""
        if self.state is not State.CONNECTED or self._asked:
            raise MisuseError("one request at a time, on a connection")
        data = LLC_COMMAND + apdu
        self._unacknowledged = []
        self._waiting = [data[at : at + self._size] for at in range(0, len(data), self._size)]
        self._asked = True
        self._failures = self._polls = 0
        self._answer.clear()
        self._advance()

    def await_another(self) -> None:
        """What came was no answer, as a notification: poll for the answer, which is still to come."""
        if self.state is not State.CONNECTED or self._asked:
            raise MisuseError("nothing has come that could be another's answer")
        self._asked = True
        self._failures = self._polls = 0
        self._answer.clear()
        self._receive_ready()

    def feed(self, data: bytes) -> list[Event]:
        """What happened with `data`; what there is to write then is taken by `take_output`."""
        return self._hear_all(self._finder.feed(data))

    def gap(self) -> list[Event]:
        """Silence inside a frame: it will not be whole any more."""
        return self._hear_all(self._finder.expire())

    def expire(self) -> list[Event]:
        """No answer in time: try again, or `Lost`."""
        events = self.gap()
        if events or self._output:
            return events
        return self._fail()

    def poll(self) -> list[Event]:
        """Ask a busy meter whether it has the answer now."""
        self._polls += 1
        if self._polls > MAX_POLLS:
            return [self._lose(Loss.BUSY)]
        self._receive_ready()
        return []

    def take_output(self) -> bytes:
        """What is to be written now; b"" if nothing is."""
        output, self._output = self._output, b""
        return output

    def reset(self) -> None:
        """The line is gone or was in other hands: no connection, nothing heard."""
        self._close()
        self._finder.clear()

    def _close(self) -> None:
        self.state = State.CLOSED
        self._sent = self._expected = 0
        self._unacknowledged, self._waiting = [], []
        self._answer.clear()
        self._asked = False
        self._failures = self._polls = 0
        self._output = b""

    def _lose(self, loss: Loss, detail: str = "") -> Lost:
        self._close()
        return Lost(loss, detail)

    def _fail(self) -> list[Event]:
        self._failures += 1
        if self.state is not State.CONNECTED or self._failures >= self._tries:
            return [self._lose(Loss.SILENCE)]
        if self._asked:
            self._receive_ready()
        return []

    def _hear_all(self, frames: list[Frame]) -> list[Event]:
        events: list[Event] = []
        for frame in frames:
            event = self._hear(frame)
            if event:
                events.append(event)
        return events

    def _hear(self, frame: Frame) -> Event | None:
        if self._is_echo(frame):
            self.echoes += 1
            return None
        if frame.destination != self._client or not self._is_from_server(frame) or frame.kind == hdlc.UI:
            self.foreign += 1
            return None
        self.heard += 1
        match self.state:
            case State.CONNECTING:
                return self._hear_connecting(frame)
            case State.CONNECTED:
                return self._hear_connected(frame)
            case State.DISCONNECTING:
                return self._hear_disconnecting(frame)
            case State.CLOSED:
                return None

    def _hear_connecting(self, frame: Frame) -> Event | None:
        if frame.kind == hdlc.UA:
            return self._connected(frame.information)
        if frame.kind == hdlc.DM:
            return self._lose(Loss.NOT_CONNECTED)
        if frame.kind == hdlc.FRMR:
            return self._lose(Loss.REFUSED, hdlc.rejection(frame.information))
        return None

    def _hear_disconnecting(self, frame: Frame) -> Event | None:
        if frame.kind in (hdlc.UA, hdlc.DM, hdlc.FRMR):
            self._close()
            return Disconnected()
        return None

    def _hear_connected(self, frame: Frame) -> Event | None:
        control = frame.control
        if hdlc.is_information(control):
            return self._hear_information(frame) if self._asked else None
        if frame.kind == hdlc.DM:
            return self._lose(Loss.NOT_CONNECTED)
        if frame.kind == hdlc.FRMR:
            return self._lose(Loss.REFUSED, hdlc.rejection(frame.information))
        if not self._asked:
            return None
        if hdlc.is_receive_not_ready(control):
            self._acknowledge(control >> 5)
            return Busy()
        if hdlc.is_receive_ready(control):
            return self._hear_receive_ready(control >> 5)
        return None  # a late UA

    def _hear_receive_ready(self, expected: int) -> Event | None:
        if self._acknowledge(expected):
            self._failures = 0
            if self._waiting:
                self._advance()
                return None
        elif self._unacknowledged:
            events = self._fail()
            if events:
                return events[0]
            self._repeat()
            return None
        if self._unacknowledged:  # a part of a window has arrived
            self._repeat()
            return None
        return Busy()

    def _hear_information(self, frame: Frame) -> Event | None:
        control = frame.control
        number = control >> 1 & 7
        if number != self._expected:
            ahead = (number - self._expected) % 8
            if frame.poll and ahead < 4:
                self._receive_ready()
            return None
        # By its N(S) it comes next, even if its N(R) does not count our question: some meters count wrongly, and a
        # notification may be older than the question; that is repeated when `await_another` finds it missing.
        self._acknowledge(control >> 5)
        self._expected = (number + 1) % 8
        self._failures = self._polls = 0
        data = frame.information
        if not self._answer:
            if data[:3] not in (LLC_RESPONSE, LLC_COMMAND):
                return self._lose(Loss.MALFORMED, data[:8].hex(" "))
            if not frame.segmented:
                self._asked = False
                return Received(data[3:])
        self._answer += data
        if len(self._answer) > self._max_size:
            return self._lose(Loss.TOO_LONG, f"more than {self._max_size} bytes")
        if frame.segmented:
            if frame.poll:
                self._receive_ready()
            return None
        self._asked = False
        return Received(bytes(self._answer[3:]))

    def _connected(self, information: bytes) -> Event:
        try:
            theirs = Parameters.parse(information)
        except ProtocolError:
            theirs = Parameters()  # it is connected all the same
        ours = self._proposed or Parameters()
        self.state = State.CONNECTED
        self._size = min(ours.transmit, theirs.receive)
        self._window = min(ours.transmit_window, theirs.receive_window)
        return Connected(theirs)

    def _advance(self) -> None:
        """Send as many segments as the window has room for; P in the last of them."""
        room = self._window - len(self._unacknowledged)
        now, self._waiting = self._waiting[:room], self._waiting[room:]
        for number, data in enumerate(now, 1):
            more = number < len(now) or bool(self._waiting)
            control = hdlc.information(self._sent, self._expected, poll=number == len(now))
            frame = Frame(self._server, self._client, control, data, more)
            self._sent = (self._sent + 1) % 8
            self._unacknowledged.append(frame)
            self._output += frame.encode()

    def _repeat(self) -> None:
        """What has not arrived, again: the same N(S), and what we have received since."""
        self._output = b"".join(
            frame._replace(control=hdlc.information(frame.control >> 1 & 7, self._expected, poll=frame.poll)).encode()
            for frame in self._unacknowledged
        )

    def _acknowledge(self, expected: int) -> bool:
        """Take N(R) `expected`; whether it says that something has arrived."""
        arrived = len(self._unacknowledged) - (self._sent - expected) % 8
        if arrived <= 0:
            return False
        del self._unacknowledged[:arrived]
        return True

    def _command(self, kind: int, information: bytes = b"") -> None:
        self._output = Frame(self._server, self._client, kind | hdlc.POLL, information).encode()

    def _receive_ready(self) -> None:
        self._output = Frame(self._server, self._client, hdlc.receive_ready(self._expected)).encode()

    def _is_echo(self, frame: Frame) -> bool:
        if frame.source != self._client:
            return False
        if frame.destination != self._client:
            return True
        # Client and server have the same number, so only what is said tells them apart.
        if frame.kind in (hdlc.SNRM, hdlc.DISC) or frame.information[:3] == LLC_COMMAND:
            return True
        return hdlc.is_receive_ready(frame.control) and bool(self.echoes)

    def _is_from_server(self, frame: Frame) -> bool:
        """By its address in any width: some meters answer with another one than they were asked by."""
        return frame.source == self._server or Address.parse(frame.source) == Address.parse(self._server)
