"""HDLC frames of type 3 for COSEM: addresses, control fields, checksums, connection parameters, and what finds frames.

    7E | format (2) | destination (1, 2, 4) | source (1, 2, 4) | control | HCS (2) | information | FCS (2) | 7E

Without information the HCS is left out. There is no transparency: a 7E may be anywhere inside, and frames end where
their length says. Addresses are kept as they are on the wire; `Address` reads and writes them.

Source: IEC 62056-46 clause 6, Green Book 8.4. What carries an APDU over it is in link.py.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from fastcrc import crc16

from nportpy.errors import ProtocolError

FLAG: Final = 0x7E
MAX_LENGTH: Final = 2047
"""The most that a frame may have between its flags, in bytes: 11 bits say it."""

# Control fields without the P/F bit (8.4.3)
POLL: Final = 0x10
SNRM: Final = 0x83
DISC: Final = 0x43
UA: Final = 0x63
DM: Final = 0x0F
FRMR: Final = 0x87
UI: Final = 0x03

_MIN_LENGTH: Final = 7  # format, two addresses of a byte, control, FCS
_FORMAT: Final = 0xA0  # type 3
_SEGMENTED: Final = 0x08
_WIDTHS: Final = (1, 2, 4)
_NAMES: Final = {SNRM: "SNRM", DISC: "DISC", UA: "UA", DM: "DM", FRMR: "FRMR", UI: "UI"}

_crc = crc16.ibm_sdlc  # CRC-16/X-25


class Address(NamedTuple):
    """A server: the logical device (upper) on a physical one (lower). A client has an upper address alone."""

    upper: int
    lower: int = 0

    def encode(self, width: int) -> bytes:
        """The address in 1, 2 or 4 bytes, seven bits in each, the last one marked (8.4.2.1).

        Raises:
            ValueError: it does not fit.
        """
        parts: tuple[int, ...]
        if width == 4:
            parts = (self.upper >> 7, self.upper & 0x7F, self.lower >> 7, self.lower & 0x7F)
        else:
            parts = (self.upper, self.lower)[:width]
        if width not in _WIDTHS or max(parts) > 0x7F or (width == 1 and self.lower):
            raise ValueError(f"address {self} does not fit into {width} bytes")
        return bytes(part << 1 | (number == width) for number, part in enumerate(parts, 1))

    @classmethod
    def parse(cls, wire: bytes) -> "Address":
        """The address that `wire`, of 1, 2 or 4 bytes, is."""
        if len(wire) == 4:
            return cls(wire[0] >> 1 << 7 | wire[1] >> 1, wire[2] >> 1 << 7 | wire[3] >> 1)
        return cls(wire[0] >> 1, wire[1] >> 1 if len(wire) == 2 else 0)

    def __str__(self) -> str:
        return f"{self.upper}/{self.lower}"


class Frame(NamedTuple):
    """One frame.

    Attributes:
        destination: its address, as on the wire.
        source: the same.
        control: the control field, with the P/F bit.
        information: what it carries.
        segmented: more of the same APDU follows.
    """

    destination: bytes
    source: bytes
    control: int
    information: bytes = b""
    segmented: bool = False

    def encode(self) -> bytes:
        """The bytes on the wire, with both flags.

        Raises:
            ValueError: the information does not fit into a frame.
        """
        head = self.destination + self.source + bytes((self.control,))
        length = 2 + len(head) + 2 + (len(self.information) + 2 if self.information else 0)
        if length > MAX_LENGTH:
            raise ValueError(f"a frame has {MAX_LENGTH} bytes at most, not {length}")
        body = bytes((_FORMAT | self.segmented << 3 | length >> 8, length & 0xFF)) + head
        if self.information:
            body += _crc(body).to_bytes(2, "little") + self.information
        return b"\x7e" + body + _crc(body).to_bytes(2, "little") + b"\x7e"

    @property
    def poll(self) -> bool:
        """P of a command: answer! F of a response: that was all."""
        return bool(self.control & POLL)

    @property
    def kind(self) -> int:
        """Its control field without the P/F bit: one of `SNRM`, `DISC` ... for frames without a number."""
        return self.control & ~POLL

    def __str__(self) -> str:
        """Addresses as upper/lower, control in words; the information is not shown, there may be a password in it."""
        size = f", {len(self.information)} bytes{' and more' * self.segmented}" if self.information else ""
        return f"{described(self.control)} {shown(self.source)} -> {shown(self.destination)}{size}"


def shown(address: bytes) -> str:
    """An address from the wire as `upper/lower`, or `upper` where it is of one byte, as every client's."""
    return str(Address.parse(address)) if len(address) > 1 else str(address[0] >> 1)


def described(control: int) -> str:
    """A control field in words: `I 0/1 P` is an I frame with N(S)=0 and N(R)=1."""
    final = " P" if control & POLL else ""
    if not control & 1:
        return f"I {control >> 1 & 7}/{control >> 5}{final}"
    if control & 0x03 == 0x01 and control & 0x0F in (0x01, 0x05):
        return f"{'RNR' if control & 4 else 'RR'} {control >> 5}{final}"
    return _NAMES.get(control & ~POLL, f"control {control:02X}")


def information(sent: int, expected: int, *, poll: bool) -> int:
    """The control field of an I frame with N(S) `sent` and N(R) `expected`."""
    return expected << 5 | poll << 4 | sent << 1


def receive_ready(expected: int) -> int:
    """The control field of RR with N(R) `expected`, and P."""
    return expected << 5 | POLL | 0x01


def is_information(control: int) -> bool:
    """Whether it is an I frame's."""
    return not control & 1


def is_receive_ready(control: int) -> bool:
    """Whether it is RR's."""
    return control & 0x0F == 0x01


def is_receive_not_ready(control: int) -> bool:
    """Whether it is RNR's."""
    return control & 0x0F == 0x05


@dataclass(frozen=True, slots=True)
class Parameters:
    """What SNRM proposes and UA answers, each from its sender's side (8.4.5.3.2).

    Attributes:
        transmit: bytes of information in a frame that the sender sends at most; the LLC header counts.
        receive: the same that it receives.
        transmit_window: frames that it sends in a row.
        receive_window: frames that it takes in a row.
    """

    transmit: int = 128
    receive: int = 128
    transmit_window: int = 1
    receive_window: int = 1

    def encode(self) -> bytes:
        """The information field: sizes in as few bytes as they need, windows in four."""
        body = b"".join(
            bytes((identifier, width)) + value.to_bytes(width, "big")
            for identifier, value, width in (
                (5, self.transmit, 1 + (self.transmit > 255)),
                (6, self.receive, 1 + (self.receive > 255)),
                (7, self.transmit_window, 4),
                (8, self.receive_window, 4),
            )
        )
        return bytes((0x81, 0x80, len(body))) + body

    @classmethod
    def parse(cls, information: bytes) -> "Parameters":
        """What the information field of a UA says; the defaults for what it does not, and for values out of range.

        Raises:
            ProtocolError: it is cut, or of another format.
        """
        if not information:
            return cls()
        if information[:2] != b"\x81\x80" or len(information) < 3:
            raise ProtocolError(f"these are no HDLC parameters: {information[:16].hex(' ')}")
        values = {}
        at, end = 3, min(len(information), 3 + information[2])
        while at < end:
            size = information[at + 1] if at + 1 < end else end
            if at + 2 + size > end:
                raise ProtocolError(f"HDLC parameters are cut: {information[:40].hex(' ')}")
            values[information[at]] = int.from_bytes(information[at + 2 : at + 2 + size], "big")
            at += 2 + size
        default = cls()
        return cls(
            _within(values.get(5, 0), 2030, default.transmit),
            _within(values.get(6, 0), 2030, default.receive),
            _within(values.get(7, 0), 7, default.transmit_window),
            _within(values.get(8, 0), 7, default.receive_window),
        )


def _within(value: int, top: int, default: int) -> int:
    return min(value, top) or default


def rejection(information: bytes) -> str:
    """What an FRMR says in words: which control field was refused, and why (8.4.3.6)."""
    if len(information) < 3:
        return "no reason given"
    why = [
        text
        for bit, text in enumerate(("unknown control", "information not allowed", "too long", "wrong N(R)"))
        if information[2] & 1 << bit
    ]
    return f"{described(information[0])} refused: {', '.join(why) or 'no reason given'}"


class FrameFinder:
    """Finds frames in a stream of bytes, whatever stands between them, and holds one unfinished frame at most.

    The rule: hunt for a flag with a format field of type 3 and a possible length behind it, check the HCS as soon as it
    is there, then the FCS and the closing flag; on failure go on hunting one byte behind the flag that failed.

    Attributes:
        rejected: bytes, flags aside, that belonged to no frame.
    """

    def __init__(self) -> None:
        """Hear nothing yet."""
        self.rejected = 0
        self._held = b""
        self._wanted = 0  # bytes to hold before it makes sense to look again

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete with `data`."""
        held = self._held + data if self._held else data
        if len(held) < self._wanted:
            self._held = held
            return []
        return self._find(held)

    def expire(self) -> list[Frame]:
        """Silence: what is held is the beginning of no frame; whole ones that came behind it are found."""
        frames: list[Frame] = []
        while self.pending:
            self.rejected += self._held[0] != FLAG
            frames += self._find(self._held[1:])
        return frames

    def clear(self) -> None:
        """Forget what is held."""
        self._held, self._wanted = b"", 0

    @property
    def pending(self) -> bool:
        """Whether a frame has begun."""
        return len(self._held) > 1

    def _find(self, data: bytes) -> list[Frame]:
        frames: list[Frame] = []
        at, size = 0, len(data)
        while True:
            start = data.find(b"\x7e", at)
            if start < 0:
                self._reject(data, at, size)
                self._held, self._wanted = b"", 0
                return frames
            self._reject(data, at, start)
            frame, length = _frame_at(data, start, size)
            if frame is not None:
                frames.append(frame)
                at = start + length - 1  # a closing flag may open the next one
            elif length:
                self._held, self._wanted = data[start:], length
                return frames
            else:
                at = start + 1

    def _reject(self, data: bytes, start: int, end: int) -> None:
        if end > start:
            self.rejected += end - start - data.count(b"\x7e", start, end)


def _frame_at(data: bytes, start: int, end: int) -> tuple[Frame | None, int]:
    """The frame whose flag is at `start`, and its length; None and the bytes to wait for; None and 0: there is none."""
    held = end - start
    if held < 3:
        return None, 0 if held == 2 and data[start + 1] & 0xF0 != _FORMAT else 3
    form = data[start + 1]
    length = (form & 0x07) << 8 | data[start + 2]
    if form & 0xF0 != _FORMAT or length < _MIN_LENGTH:
        return None, 0
    whole = length + 2
    source = _behind_address(data, start + 3, end)
    control = _behind_address(data, source, end) if source > 0 else source
    if control < 0:
        return None, 0
    if not control or control == end:
        return None, held + 1 if held < whole else 0
    checked = control + 3 - start  # bytes up to the first checksum's end
    if checked >= whole:
        return None, 0
    if held < checked:
        return None, checked
    if _crc(data[start + 1 : control + 1]) != data[control + 1] | data[control + 2] << 8:
        return None, 0
    if held < whole:
        return None, whole
    last = start + whole - 1
    if data[last] != FLAG:
        return None, 0
    information = b""
    if checked + 1 < whole:
        if whole < checked + 3 or _crc(data[start + 1 : last - 2]) != data[last - 2] | data[last - 1] << 8:
            return None, 0
        information = data[control + 3 : last - 2]
    segmented = bool(form & _SEGMENTED)
    return Frame(data[start + 3 : source], data[source:control], data[control], information, segmented), whole


def _behind_address(data: bytes, start: int, end: int) -> int:
    """Where the address at `start` ends; 0: its end is not there yet; -1: it is none."""
    for width in (1, 2, 3, 4):
        if start + width > end:
            return 0
        if data[start + width - 1] & 1:
            return -1 if width == 3 else start + width
    return -1
