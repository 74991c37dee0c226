"""Records of a tap as rows of a monitor: whole frames, what they mean, gaps, and what is wrong with them.

A frame is what belongs together by its protocol: what is heard between a request and its end. Where there is no
request, silence parts frames. It is never a chunk as it was read.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from nportpy.linesettings import LineSettings, ModemLines, UartCounters
from nportpy.protocols.capture.packets import LONGEST_FRAME, SILENCE, happened, hidden
from nportpy.protocols.capture.records import Asked, Changed, Discards, Ended, Hidden, Kind, Record, Unsent
from nportpy.protocols.capture.words import waited
from nportpy.protocols.modbus.functions import Span
from nportpy.protocols.modbus.pdu import EXCEPTION_BIT
from nportpy.protocols.modbus.wording import answer_text, request_text, spans

_HARMLESS = ("answered", "sent", "gone", "cache")
_DISCARD_FAULTS = ("junk", "crc", "foreign", "unfit", "late", "")


@dataclass(slots=True)
class Row:
    """One row.

    Attributes:
        number: of its first record.
        time: nanoseconds since the epoch.
        kind: see `Kind`.
        data: bytes of the line; of a request's end the PDU of the answer.
        text: what it means.
        gap: seconds of silence on the line before it; None: that is not known.
        gap_characters: the same in character times.
        since_request: seconds since the request's last byte; None: no request is on the line.
        request: number of the request; 0: of none.
        unit: whom it is about; None: nobody in particular.
        function: of the request; 0: none.
        exception: code of an exception that was answered; 0: none.
        spans: what the request reads and writes.
        clients: who asked.
        faults: what is wrong, in words for filters: exception, no_answer, crc, junk, foreign, unfit, late, unreachable,
            expired, queue_full, line_down, forbidden, ignored, uart, down, purged, lost.
        lost: records that are missing before it.
        marked: a trigger matched, or what is counted.
        count: of what is counted, with this one; 0: it is none.
    """

    number: int
    time: int
    kind: str
    data: bytes = b""
    text: str = ""
    gap: float | None = None
    gap_characters: float | None = None
    since_request: float | None = None
    request: int = 0
    unit: int | None = None
    function: int = 0
    exception: int = 0
    spans: tuple[Span, ...] = ()
    clients: tuple[str, ...] = ()
    faults: list[str] = field(default_factory=list)
    lost: int = 0
    marked: bool = False
    count: int = 0

    def as_json(self) -> dict[str, Any]:
        """For programs; what is not known is left out."""
        found: dict[str, Any] = {"n": self.number, "time": stamp(self.time), "kind": self.kind}
        if self.data:
            found |= {"hex": self.data.hex(" "), "ascii": printable(self.data)}
        for name, seconds in (("gap_ms", self.gap), ("since_request_ms", self.since_request)):
            if seconds is not None:
                found[name] = round(seconds * 1000, 3)
        if self.gap_characters is not None:
            found["gap_characters"] = round(self.gap_characters, 1)
        known = {
            "request": self.request, "unit": self.unit, "function": self.function, "exception": self.exception,
            "clients": list(self.clients), "text": self.text, "faults": self.faults, "lost": self.lost,
            "marked": self.marked, "count": self.count,
        }  # fmt: skip
        return found | {key: value for key, value in known.items() if value or (key == "unit" and value is not None)}


def stamp(time: int) -> str:
    """Nanoseconds since the epoch as text, to the microsecond."""
    seconds, rest = divmod(time, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"


def printable(data: bytes) -> str:
    """Bytes as ASCII; what cannot be shown is a dot."""
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)


class Rows:
    """Makes rows of records. Times of records are given as nanoseconds since the epoch."""

    def __init__(self, settings: LineSettings | None) -> None:
        """Nothing was heard; `settings` are those of the line when it begins; None: of a connection."""
        self._serial = settings is not None
        self._character = settings.character_time if settings is not None else 0.0
        self._frame: Row | None = None  # that may go on
        self._frame_ends = 0  # when its last byte had passed
        self._quiet_since: int | None = None  # when the last byte before it had passed
        self._asked: Asked | None = None
        self._asked_ends = 0
        self._lost = 0

    def feed(self, records: Iterable[tuple[int, Record]], lost: int = 0) -> Iterator[Row]:
        """The rows that these records complete."""
        if lost:
            yield from self.flush()
            self._lost += lost
            self._asked = None
            self._quiet_since = None
        for time, record in records:
            yield from self._of(time, record)

    def flush(self) -> Iterator[Row]:
        """A frame that would perhaps go on."""
        frame, self._frame = self._frame, None
        if frame is not None:
            self._quiet_since = self._frame_ends
            yield frame

    def expire(self, now: int) -> Iterator[Row]:
        """A frame that silence has ended, or that has waited for more of it for long enough."""
        if self._frame is not None and now - self._frame_ends > 1e9 * max(self._silence, 0.1):
            yield from self.flush()

    @property
    def _silence(self) -> float:
        return max(SILENCE, 3.5 * self._character)

    def _of(self, time: int, record: Record) -> Iterator[Row]:
        if record.kind is Kind.RX or record.kind is Kind.TX:
            yield from self._bytes(time, record)
            return
        about = record.about
        if isinstance(about, Discards) and about.spoilt and self._frame is not None and self._frame.kind == Kind.RX:
            self._frame.faults.append("crc")
        yield from self.flush()
        row = self._new(time, record)
        match about:
            case Ended():
                _tell_end(row, about, record.data)
                self._asked = None
            case Unsent():
                _tell_unsent(row, about, record.data)
            case Discards():
                row.faults = [word for count, word in zip(about, _DISCARD_FAULTS, strict=True) if count and word]
            case UartCounters():
                row.faults = ["uart"]
                row.text = _errors(about)
            case ModemLines():
                row.text = " ".join(str(line.name) for line in ModemLines if about & line) or "all down"
            case Changed():
                self._character = about.after.character_time
            case LineSettings() if self._serial:
                self._character = about.character_time
        if record.kind in (Kind.DOWN, Kind.PURGED):
            row.faults = [str(record.kind)]
        if record.kind is Kind.BREAK:
            row.text = "a break is sent" if about else "the break ends"
        row.text = row.text or happened(record)
        yield row

    def _new(self, time: int, record: Record) -> Row:
        lost, self._lost = self._lost, 0
        row = Row(record.number, time, str(record.kind), record.data, lost=lost)
        if lost:
            row.faults.append("lost")
        if self._asked is not None:
            self._belongs(row, self._asked)
            row.since_request = max(time - self._asked_ends, 0) / 1e9
        return row

    def _bytes(self, time: int, record: Record) -> Iterator[Row]:
        frame, about = self._frame, record.about
        count = about.size if isinstance(about, Hidden) else len(record.data)
        spent = round(count * self._character * 1e9)  # RX is told when it has come, TX when it begins
        begins, ends = (time, time + spent) if record.kind is Kind.TX else (time - spent, time)
        if frame is not None and not isinstance(about, (Asked, Hidden)) and self._goes_on(frame, record, begins):
            frame.data += record.data
            self._frame_ends = max(ends, self._frame_ends)
            return
        yield from self.flush()
        row = self._new(time, record)
        if self._quiet_since is not None:
            row.gap = max(begins - self._quiet_since, 0) / 1e9
            row.gap_characters = row.gap / self._character if self._serial else None
        if isinstance(about, Asked):
            self._asked, self._asked_ends = about, ends
            self._belongs(row, about)
            row.since_request = None
            row.text = _asked_text(about)
        elif isinstance(about, Hidden):
            row.text = hidden(record.kind, about)
        self._frame, self._frame_ends = row, ends
        if isinstance(about, (Asked, Hidden)):
            yield from self.flush()

    def _goes_on(self, frame: Row, record: Record, begins: int) -> bool:
        same = frame.kind == record.kind and not frame.text and len(frame.data) + len(record.data) <= LONGEST_FRAME
        answers = self._asked is not None and record.kind is Kind.RX
        return same and (answers or begins - self._frame_ends <= 1e9 * self._silence)

    def _belongs(self, row: Row, asked: Asked) -> None:
        row.request, row.unit, row.function = asked.request, asked.unit, asked.pdu[0]
        row.spans = spans(asked.pdu)
        row.clients = (str(asked.client),)


def _asked_text(asked: Asked) -> str:
    text = request_text(asked.pdu)
    if asked.probe:
        text = f"looks for an echo before: {text}"
    if asked.attempt > 1:
        text += f" (retry {asked.attempt - 1})"
    return f"{text}; {waited(asked.waited)}" if asked.waited >= 0.001 else text


def _tell_end(row: Row, ended: Ended, answer: bytes) -> None:
    row.request, row.unit, row.function = ended.request, ended.unit, ended.pdu[0]
    row.spans = spans(ended.pdu)
    row.clients = tuple(map(str, ended.clients))
    took = f"{ended.took * 1000:.1f} ms"
    if ended.outcome == "answered":
        row.text = f"{answer_text(ended.pdu, answer)}; {took}"
    else:
        row.text = f"{ended.outcome.replace('_', ' ')}; {took}"
    if ended.attempts > 1:
        row.text += f", sent {ended.attempts} times"
    if len(ended.clients) > 1:
        row.text += f", shared by {len(ended.clients)}"
    if answer and answer[0] & EXCEPTION_BIT:
        row.exception = answer[1] if len(answer) > 1 else 0
        row.faults.append("exception")
    elif ended.outcome not in _HARMLESS:
        row.faults.append(str(ended.outcome))


def _tell_unsent(row: Row, unsent: Unsent, answer: bytes) -> None:
    row.request, row.since_request = 0, None
    row.unit, row.function = unsent.unit, unsent.pdu[0]
    row.spans = spans(unsent.pdu)
    row.clients = (str(unsent.client),)
    row.text = f"{request_text(unsent.pdu)}: never on the line, {unsent.why.replace('_', ' ')}"
    if answer:
        row.text += f": {answer_text(unsent.pdu, answer)}"
    if unsent.why not in _HARMLESS:
        row.faults.append(unsent.why)


def _errors(errors: UartCounters) -> str:
    counts = {
        "framing errors": errors.frame, "parity errors": errors.parity, "breaks": errors.breaks,
        "overruns": errors.overrun, "buffer overruns": errors.buffer_overrun,
    }  # fmt: skip
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)
