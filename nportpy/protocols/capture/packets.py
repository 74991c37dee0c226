"""Records of a tap as packets of a capture that Wireshark dissects without any setting.

    interface 0, NAME          the line: RTAC serial (link type 250), all that was read and written, and what happened
    interface 1, NAME-modbus   the requests: Modbus/TCP as an upper PDU (link type 252), one packet for each request and
                               each answer, whatever the line speaks: RTU, ASCII or Modbus TCP

The second is there where the line has Modbus requests. Comments say what the bytes do not: who else gets an answer, why
a request waited, that no answer came, or that one was never put on the line.
"""

from collections.abc import Iterable
from ipaddress import ip_address
from struct import pack
from typing import Final

from nportpy.linesettings import LineSettings, ModemLines, UartCounters
from nportpy.protocols.capture.pcapng import NO_FLAGS, Flags, Interface, LinkType, Packet, Section, Statistics, encode
from nportpy.protocols.capture.records import Asked, Changed, Client, Discards, Ended, Hidden, Kind, Record, Unsent
from nportpy.protocols.capture.words import discarded, waited
from nportpy.protocols.modbus.mbap import PORT

_NAMED_PORT: Final = 50200  # of those who ask and have no port
_LINE, _MODBUS = 0, 1
_HELD: Final = 64
"""Records that are held back until it is known what became of them: a wrong check sum marks the bytes before."""

_HELD_FOR, _HELD_AT_MOST = 200_000_000, 2_000_000_000
"""Nanoseconds that they are held back from the last byte on, and from the first."""

LONGEST_FRAME: Final = 4096
"""Bytes that are taken for one frame."""

SILENCE: Final = 0.02
"""Seconds without a byte that part frames where no protocol does, or 3.5 characters if that is longer: a USB adapter
hands bytes on every 16 ms."""

# Event types of the RTAC serial header (packet-rtacser.c of Wireshark documents them by name).
_STATUS, _TX, _RX, _LOST, _FRAMING, _PARITY, _BREAK, _OVERFLOW = 0, 1, 2, 5, 7, 8, 9, 10
_RTAC_LINES = {
    ModemLines.CTS: 0x01,
    ModemLines.CD: 0x02,
    ModemLines.DSR: 0x04,
    ModemLines.RTS: 0x08,
    ModemLines.DTR: 0x10,
    ModemLines.RI: 0x20,
}
_NOTE: Final = (
    "Times are those of the gateway's read and write calls. Between them and the wire stand the UART's FIFO, a USB "
    "adapter (up to 16 ms unless it is set to low latency) and the scheduler."
)


class Capture:
    """Turns records into the bytes of one file or stream. Times of records are given as nanoseconds since the epoch."""

    def __init__(
        self,
        name: str,
        settings: LineSettings | None,
        *,
        requests: bool,
        application: str = "nportpy",
        modem: ModemLines | None = None,
    ) -> None:
        """Nothing was captured.

        Args:
            name: the line's.
            settings: its speed and format when the capture begins; None: it is a connection.
            requests: whether it has Modbus requests.
            application: what writes the file.
            modem: its modem lines when the capture begins.
        """
        self._name = name
        self._settings = settings
        self._character = settings.character_time if settings is not None else 0.0
        self._requests = requests
        self._application = application
        self._modem = modem or ModemLines(0)
        self._held: list[tuple[int, Record]] = []
        self._asking = False  # a request is among it
        self._ends = 0  # when the last byte has passed
        self._last = 0
        self._dropped = 0

    def head(self) -> bytes:
        """What the file begins with."""
        if self._settings is None:
            wire, speed = f"connection to {self._name}", 0
        else:
            wire, speed = f"serial line {self._name}, {self._settings}", self._settings.baudrate
        blocks: list[Section | Interface] = [
            Section(self._application, _NOTE),
            Interface(LinkType.RTAC_SERIAL, self._name, wire, speed),
        ]
        if self._requests:
            text = f"Modbus requests on {self._name}, as its clients ask them"
            blocks.append(Interface(LinkType.UPPER_PDU, f"{self._name}-modbus", text, speed))
        return b"".join(map(encode, blocks))

    def feed(self, records: Iterable[tuple[int, Record]], lost: int = 0) -> bytes:
        """The next records, each with its time; `lost` are missing before them. What is held back comes later."""
        written: list[bytes] = []
        if lost:
            written.append(self.flush())
            self._dropped += lost
            written.append(
                self._event(_LOST, self._last, f"{lost} records were lost: they came faster than they were read")
            )
        for time, record in records:
            self._last = time
            if self._joins(time, record):
                continue
            if not self._asking:
                written.append(self.flush())
            self._held.append((time, record))
            self._asking = self._asking or isinstance(record.about, Asked)
            if self._over(time, record):
                written.append(self.flush())
            settings = record.about.after if isinstance(record.about, Changed) else record.about
            if isinstance(settings, LineSettings) and self._settings is not None:
                self._settings, self._character = settings, settings.character_time
        return b"".join(written)

    def _joins(self, time: int, record: Record) -> bool:
        """Whether bytes go on with what was held back last: frames, and not the chunks in which they were read."""
        spent = round(len(record.data) * self._character * 1e9)
        begins, ends = (time, time + spent) if record.kind is Kind.TX else (time - spent, time)
        before, self._ends = self._ends, max(ends, self._ends)
        if not self._held or record.about is not None or record.kind not in (Kind.RX, Kind.TX):
            return False
        first, last = self._held[-1]
        if last.kind is not record.kind or last.about is not None or len(last.data) + len(record.data) > LONGEST_FRAME:
            return False
        answers = self._asking and record.kind is Kind.RX
        if not answers and begins - before > 1e9 * max(SILENCE, 3.5 * self._character):
            return False
        self._held[-1] = first, last._replace(data=last.data + record.data)
        return True

    def _over(self, time: int, record: Record) -> bool:
        """Whether nothing more is to be waited for."""
        if record.kind not in (Kind.RX, Kind.TX):
            return not self._asking or record.kind is Kind.ANSWER or record.kind is Kind.DISCARDED
        return len(self._held) >= _HELD or time - self._held[0][0] > _HELD_AT_MOST

    def flush(self) -> bytes:
        """What is held back."""
        held, self._held, self._asking = self._held, [], False
        spoilt = any(isinstance(record.about, Discards) and record.about.spoilt for _, record in held)
        flags = Flags.CRC_ERROR if spoilt else NO_FLAGS
        return b"".join(self._packets(time, record, flags) for time, record in held)

    def waits(self, now: int) -> bool:
        """Whether something has been held back for long enough since the last byte."""
        return bool(self._held) and now - max(self._ends, self._last) > _HELD_FOR

    def finish(self) -> bytes:
        """What the file ends with."""
        rest = self.flush()
        for interface in (_LINE, _MODBUS) if self._requests else (_LINE,):
            rest += encode(Statistics(interface, self._last, self._dropped if interface == _LINE else 0))
        return rest

    def _packets(self, time: int, record: Record, flags: Flags) -> bytes:
        about = record.about
        match record.kind:
            case Kind.RX:
                return self._bytes(_RX, time, record, flags | Flags.INBOUND)
            case Kind.TX:
                written = self._bytes(_TX, time, record, Flags.OUTBOUND)
                if isinstance(about, Asked) and not about.probe:
                    written = self._query(time, about) + written
                return written
            case Kind.ANSWER:
                return self._answer(time, about, record.data) if isinstance(about, Ended) else b""
            case Kind.UNSENT:
                return self._unsent(time, about, record.data) if isinstance(about, Unsent) else b""
            case Kind.ERRORS:
                return self._errors(time, about) if isinstance(about, UartCounters) else b""
            case Kind.BREAK:
                return self._event(_BREAK, time, "a break is sent" if about else "the break ends", Flags.OUTBOUND)
            case Kind.MODEM:
                if isinstance(about, ModemLines):
                    self._modem = about
                return self._event(_STATUS, time, "modem lines")
            case _:
                return self._event(_STATUS, time, happened(record))

    def _bytes(self, event: int, time: int, record: Record, flags: Flags) -> bytes:
        if isinstance(record.about, Hidden):
            return self._event(_STATUS, time, hidden(record.kind, record.about), flags)
        comments = ("wrong CRC",) if flags & Flags.CRC_ERROR else ()
        return encode(Packet(_LINE, time, self._header(event, time) + record.data, comments, flags))

    def _event(self, event: int, time: int, comment: str, flags: Flags = NO_FLAGS) -> bytes:
        return encode(Packet(_LINE, time, self._header(event, time), (comment,), flags))

    def _header(self, event: int, time: int) -> bytes:
        seconds, rest = divmod(time, 1_000_000_000)
        lines = sum(bit for line, bit in _RTAC_LINES.items() if self._modem & line)
        return pack(">IIBBH", seconds & 0xFFFFFFFF, rest // 1000, event, lines, 0)

    def _errors(self, time: int, errors: UartCounters) -> bytes:
        found = (
            (_FRAMING, errors.frame, "framing errors"),
            (_PARITY, errors.parity, "parity errors"),
            (_BREAK, errors.breaks, "breaks received"),
            (_OVERFLOW, errors.overrun + errors.buffer_overrun, "overruns"),
        )
        return b"".join(self._event(event, time, f"{count} {what}") for event, count, what in found if count)

    # Requests.

    def _query(self, time: int, asked: Asked) -> bytes:
        comments = [*_known(asked.client), *([waited(asked.waited)] if asked.waited >= _WORTH_SAYING else [])]
        if asked.attempt > 1:
            comments.append(f"retry {asked.attempt - 1}")
        return self._modbus(time, asked.client, asked.request, asked.unit, asked.pdu, comments, query=True)

    def _answer(self, time: int, ended: Ended, pdu: bytes) -> bytes:
        comments = []
        if len(ended.clients) > 1:
            comments.append(f"shared by {len(ended.clients)}: {', '.join(map(str, ended.clients[:8]))}")
        if ended.attempts > 1:
            comments.append(f"sent {ended.attempts} times")
        if not pdu:
            if ended.outcome == "sent":
                return self._event(_STATUS, time, f"unit {ended.unit}: sent, nobody answers")
            comments.append(f"{ended.outcome.replace('_', ' ')} in {ended.took:.3f} s; the gateway's own answer")
            pdu = bytes((ended.pdu[0] | 0x80, _GATEWAY.get(ended.outcome, 0x0B)))
        return self._modbus(time, ended.clients[0], ended.request, ended.unit, pdu, comments, query=False)

    def _unsent(self, time: int, unsent: Unsent, pdu: bytes) -> bytes:
        comment = [*_known(unsent.client), f"never on the line: {unsent.why.replace('_', ' ')}"]
        pdu = pdu or bytes((unsent.pdu[0] | 0x80, _GATEWAY.get(unsent.why, 0x0B)))
        query = self._modbus(time, unsent.client, 0, unsent.unit, unsent.pdu, comment, query=True)
        silent = unsent.why in ("ignored", "gone")
        return query if silent else query + self._modbus(time, unsent.client, 0, unsent.unit, pdu, comment, query=False)

    def _modbus(
        self, time: int, client: Client, number: int, unit: int, pdu: bytes, comments: list[str], *, query: bool
    ) -> bytes:
        if not self._requests:
            return b""
        adu = pack(">HHHB", number & 0xFFFF, 0, len(pdu) + 1, unit) + pdu
        data = _tags(client, query=query) + adu
        flags = Flags.OUTBOUND if query else Flags.INBOUND
        return encode(Packet(_MODBUS, time, data, tuple(comments), flags))


def _known(client: Client) -> list[str]:
    """Who it is by its certificate, if anybody knows."""
    identity = getattr(client, "identity", "")
    return [identity] if identity else []


_WORTH_SAYING: Final = 0.001
_GATEWAY: Final = {"line_down": 0x0A, "queue_full": 0x06, "forbidden": 0x01}
"""Exception codes of what the gateway answers itself (nportpy/modbus/bus.py); else 0B."""


def happened(record: Record) -> str:
    """What a record that is no byte and no request says, in words."""
    about = record.about
    match record.kind:
        case Kind.UP:
            return f"line up, {about}"
        case Kind.DOWN:
            return f"line down: {about}"
        case Kind.SETTINGS if isinstance(about, Changed):
            return f"line set to {about.after}, was {about.before}"
        case Kind.PURGED:
            return f"{about} bytes written before were thrown away: they did not leave"
        case Kind.HOLDER:
            return f"{about} has the line alone" if about else "the line is everybody's again"
        case Kind.DISCARDED if isinstance(about, Discards):
            return discarded(about)
        case _:
            return str(record.kind)


def hidden(kind: Kind, about: Hidden) -> str:
    """Bytes that are not shown, in words."""
    return f"{about.size} bytes {'received' if kind is Kind.RX else 'sent'}, which are secret"


def _tags(client: Client, *, query: bool) -> bytes:
    """The head of an upper PDU: the dissector, and addresses by which it tells queries from answers.

    A tag's length counts its padding: with the bare length tshark 4.0 dissects nothing.
    """
    try:
        address = ip_address(str(getattr(client, "host", "127.0.0.1")).partition("%")[0])
    except ValueError:
        address = ip_address("127.0.0.1")
    gateway = ip_address("127.0.0.1") if address.version == 4 else ip_address("::1")
    port = int(getattr(client, "port", 0)) or _NAMED_PORT
    source, target = (address, gateway) if query else (gateway, address)
    ports = (port, PORT) if query else (PORT, port)
    kinds = (20, 21) if address.version == 4 else (22, 23)
    tags = [
        (12, b"mbtcp\0\0\0"),
        (kinds[0], source.packed),
        (kinds[1], target.packed),
        (24, pack(">I", 2)),
        (25, pack(">I", ports[0])),
        (26, pack(">I", ports[1])),
        (0, b""),
    ]
    return b"".join(pack(">HH", tag, len(value)) + value for tag, value in tags)
