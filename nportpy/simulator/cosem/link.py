"""The meter's end of one HDLC connection: it answers and never speaks by itself (IEC 62056-46, 6.4)."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from nportpy.simulator.cosem.frames import POLL, Control, Frame, information, receive_not_ready, receive_ready

LLC_REQUEST, LLC_RESPONSE = bytes.fromhex("E6E600"), bytes.fromhex("E6E700")
DEFAULT_INFORMATION = 128
MAX_APDU = 65535
"""Bytes of a request in several segments."""

_INVALID_SEND, _INVALID_RECEIVE, _TOO_LONG = 0x10, 0x08, 0x04  # reasons in FRMR
_FORMAT, _GROUP = 0x81, 0x80
_MAX_TRANSMIT, _MAX_RECEIVE, _WINDOW_TRANSMIT, _WINDOW_RECEIVE = 5, 6, 7, 8
_MODULUS = 8


class UaForm(StrEnum):
    """How UA tells the parameters."""

    PLAIN = "plain"
    MIXED = "mixed"
    """Each with a length of its own, as some meters do."""
    EMPTY = "empty"
    """Not at all: the defaults hold."""


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What the meter does on HDLC.

    Attributes:
        information: bytes of an information field that it sends and receives at most.
        window: I frames that it takes and sends in a row.
        inactivity: seconds without a frame after which it forgets a connection; 0: never.
        bare_only: it does not answer an SNRM with parameters.
        ua: how it tells its parameters.
        ignored_window: I frames that it sends in a row whatever was agreed; 0: it keeps to that.
    """

    information: int = DEFAULT_INFORMATION
    window: int = 1
    inactivity: float = 120.0
    bare_only: bool = False
    ua: UaForm = UaForm.PLAIN
    ignored_window: int = 0


@dataclass(slots=True)
class _Limits:
    """What was agreed for one connection: bytes and frames, each way."""

    transmit: int = DEFAULT_INFORMATION
    receive: int = DEFAULT_INFORMATION
    window_transmit: int = 1
    window_receive: int = 1

    def encode(self, form: UaForm) -> bytes:
        """The information field of UA."""
        if form is UaForm.EMPTY:
            return b""
        sizes = (2, 1) if form is UaForm.MIXED else (1, 1)
        windows = (1, 4) if form is UaForm.MIXED else (4, 4)
        parameters = b"".join(
            bytes((name, size)) + value.to_bytes(size, "big")
            for name, value, size in (
                (_MAX_TRANSMIT, self.transmit, max(sizes[0], 1 + (self.transmit > 255))),
                (_MAX_RECEIVE, self.receive, max(sizes[1], 1 + (self.receive > 255))),
                (_WINDOW_TRANSMIT, self.window_transmit, windows[0]),
                (_WINDOW_RECEIVE, self.window_receive, windows[1]),
            )
        )
        return bytes((_FORMAT, _GROUP, len(parameters))) + parameters


def _parameters(information: bytes) -> dict[int, int]:
    """What an SNRM wishes, by parameter; what cannot be read is not wished."""
    if information[:2] != bytes((_FORMAT, _GROUP)):
        return {}
    wishes, at = {}, 3
    while at + 1 < len(information):
        size = information[at + 1]
        wishes[information[at]] = int.from_bytes(information[at + 2 : at + 2 + size], "big")
        at += 2 + size
    return wishes


Serve = Callable[[bytes, float], bytes | None]
"""What answers a request of the connected client at a time; None: nothing does."""


class Link:
    """One client at a time, window and segments.

    Attributes:
        client: who is connected; None: nobody.
    """

    def __init__(self, settings: LinkSettings, serve: Serve, closed: Callable[[], None]) -> None:
        """A link whose requests `serve` answers; `closed` hears that a connection is gone."""
        self.client: int | None = None
        self._settings = settings
        self._serve = serve
        self._closed = closed
        self._limits = _Limits()
        self._last = 0.0
        self._request = bytearray()
        self._busy = 0
        self._reset()

    def _reset(self) -> None:
        self._send = self._receive = 0  # V(S), V(R)
        self._heard = False  # any I frame in this connection
        self._rejected = b""  # the information of FRMR, until the client connects anew
        self._request.clear()
        self._segments: deque[bytes] = deque()  # of the answer, not yet sent
        self._unacknowledged: deque[tuple[int, bytes, bool]] = deque()  # N(S), information, more follows
        self._busy = 0

    def drop(self) -> None:
        """Lose the connection without a word, as a meter does that starts anew."""
        if self.client is not None:
            self.client = None
            self._closed()
        self._reset()

    def hold(self, polls: int) -> None:
        """Be busy: answer RNR so often before the next answer."""
        self._busy = polls

    def reject(self, control: int, reason: int) -> list[Frame]:
        """Refuse a frame: FRMR, until the client connects anew."""
        state = self._receive << 5 | self._send << 1
        self._rejected = bytes((control, state, reason))
        return [self._frame(Control.FRMR, self._rejected)]

    def hear(self, frame: Frame, now: float) -> list[Frame]:
        """The answer to a frame that is for this meter."""
        self._source, self._destination = frame.destination, frame.source
        if self.client is not None and 0 < self._settings.inactivity < now - self._last:
            self.drop()
        match frame.control | POLL:
            case Control.SNRM:
                return self._connect(frame, now)
            case Control.DISC:
                return self._disconnect(frame)
            case Control.UI:
                return []
        if frame.client != self.client:
            # Who is connected keeps the line: another client hears nothing meanwhile.
            return [self._frame(Control.DM)] if self.client is None and frame.control & POLL else []
        self._last = now
        if self._rejected:
            return [self._frame(Control.FRMR, self._rejected)]
        if not frame.control & 1:
            return self._hear_information(frame, now)
        return self._hear_supervision(frame)

    def _connect(self, frame: Frame, now: float) -> list[Frame]:
        if self.client not in (None, frame.client) or (self._settings.bare_only and frame.information):
            return []
        self.drop()
        wishes, ours = _parameters(frame.information), self._settings
        receive = wishes.get(_MAX_RECEIVE, DEFAULT_INFORMATION)
        transmit = wishes.get(_MAX_TRANSMIT, DEFAULT_INFORMATION)
        if ours.ua is UaForm.EMPTY:
            receive = transmit = DEFAULT_INFORMATION
        self._limits = _Limits(
            min(ours.information, max(receive, 32)),
            min(ours.information, max(transmit, 32)),
            min(ours.window, max(wishes.get(_WINDOW_RECEIVE, 1), 1)),
            min(ours.window, max(wishes.get(_WINDOW_TRANSMIT, 1), 1)),
        )
        self.client, self._last = frame.client, now
        return [self._frame(Control.UA, self._limits.encode(ours.ua))]

    def _disconnect(self, frame: Frame) -> list[Frame]:
        if self.client is None:
            return [self._frame(Control.DM)]
        if frame.client != self.client:
            return []
        self.drop()
        return [self._frame(Control.UA)]

    def _hear_information(self, frame: Frame, now: float) -> list[Frame]:
        send, receive, poll = frame.control >> 1 & 7, frame.control >> 5, frame.control & POLL
        if not self._acknowledge(receive):
            return self.reject(frame.control, _INVALID_RECEIVE)
        if len(frame.information) > self._limits.receive:
            return self.reject(frame.control, _TOO_LONG)
        if send != self._receive:
            if self._heard and send == (self._receive - 1) % _MODULUS:
                return self._repeat() if poll else []
            return self.reject(frame.control, _INVALID_SEND)
        self._heard = True
        self._receive = (self._receive + 1) % _MODULUS
        self._request += frame.information
        if len(self._request) > MAX_APDU:
            return self.reject(frame.control, _TOO_LONG)
        if frame.segmented or not poll:
            return [self._frame(receive_ready(self._receive))] if poll else []
        request = bytes(self._request)
        self._request.clear()
        answer = self._serve(request[3:], now) if request[:2] == LLC_REQUEST[:2] else None
        if answer is None:
            return [self._frame(receive_ready(self._receive))]
        self._cut(LLC_RESPONSE + answer)
        return self._go_on()

    def _hear_supervision(self, frame: Frame) -> list[Frame]:
        if not self._acknowledge(frame.control >> 5):
            return self.reject(frame.control, _INVALID_RECEIVE)
        if not frame.control & POLL:
            return []
        if frame.control & 0x0F == 0x05:  # RNR: the client is busy
            return [self._frame(receive_ready(self._receive))]
        return self._repeat()

    def _acknowledge(self, receive: int) -> bool:
        """Forget what the client has; whether it can have that."""
        outstanding = len(self._unacknowledged)
        taken = (receive - (self._send - outstanding)) % _MODULUS
        if taken > outstanding:
            return False
        for _ in range(taken):
            self._unacknowledged.popleft()
        return True

    def _cut(self, apdu: bytes) -> None:
        size = self._limits.transmit
        self._segments = deque(apdu[at : at + size] for at in range(0, len(apdu), size))
        self._unacknowledged.clear()

    def _go_on(self) -> list[Frame]:
        """The next frames of the answer, as many as the window lets through."""
        if self._busy:
            self._busy -= 1
            return [self._frame(receive_not_ready(self._receive))]
        window = self._settings.ignored_window or self._limits.window_transmit
        while self._segments and len(self._unacknowledged) < window:
            self._unacknowledged.append((self._send, self._segments.popleft(), bool(self._segments)))
            self._send = (self._send + 1) % _MODULUS
        return self._outstanding()

    def _repeat(self) -> list[Frame]:
        """What the client has not got; the next part where it has got everything; else that there is nothing."""
        if self._unacknowledged and not self._busy:
            return self._outstanding()
        return self._go_on() or [self._frame(receive_ready(self._receive))]

    def _outstanding(self) -> list[Frame]:
        last = len(self._unacknowledged) - 1
        return [
            self._frame(information(send, self._receive, number == last), part, more)
            for number, (send, part, more) in enumerate(self._unacknowledged)
        ]

    def _frame(self, control: int, information: bytes = b"", segmented: bool = False) -> Frame:
        return Frame(self._destination, self._source, control, information, segmented)
