"""pcapng: the blocks of a capture file, written and read (draft-ietf-opsawg-pcapng).

Written little-endian, with nanosecond stamps built from integers: a float would lose some. Read in either byte order,
as other programs write it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from struct import Struct, error, pack, unpack_from
from typing import Final, Literal

from nportpy.errors import ProtocolError

MAX_BLOCK: Final = 1 << 20
"""Bytes of a block that is read; a longer one is taken for damage."""

_SECTION, _INTERFACE, _PACKET, _STATISTICS = 0x0A0D0D0A, 1, 6, 5
HEAD_KINDS: Final = frozenset((_SECTION, _INTERFACE))
"""Blocks that every file begins with."""

_MAGIC: Final = 0x1A2B3C4D
_COMMENT, _END_OF_OPTIONS = 1, 0
_SHB_APPLICATION: Final = 4
_IF_NAME, _IF_DESCRIPTION, _IF_SPEED, _IF_RESOLUTION = 2, 3, 8, 9
_EPB_FLAGS: Final = 2
_ISB_DROPPED: Final = 5
_NANOSECONDS: Final = 9
_OPTION = Struct("<HH")
_MAX_TEXT: Final = 4096
_NO_LENGTH: Final = b"\xff" * 8  # of a section: a stream's is not known


class LinkType(IntEnum):
    """What is in the packets of an interface (the registry of LINKTYPE values)."""

    RTAC_SERIAL = 250
    UPPER_PDU = 252


class Flags(IntFlag):
    """Flags of a packet (epb_flags)."""

    INBOUND = 1
    OUTBOUND = 2
    CRC_ERROR = 1 << 24
    WRONG_GAP = 1 << 27


NO_FLAGS: Final = Flags(0)


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface of a section.

    Attributes:
        link_type: of its packets.
        name: as `bus` or `bus-modbus`.
        description: for people.
        speed: bits a second; 0: none is told.
    """

    link_type: LinkType
    name: str = ""
    description: str = ""
    speed: int = 0


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet.

    Attributes:
        interface: its number in the section.
        time: nanoseconds since the epoch.
        data: its bytes.
        comments: for people; Wireshark filters by them.
        flags: see `Flags`.
    """

    interface: int
    time: int
    data: bytes
    comments: tuple[str, ...] = ()
    flags: Flags = NO_FLAGS


@dataclass(frozen=True, slots=True)
class Statistics:
    """How many packets of an interface are missing."""

    interface: int
    time: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Section:
    """The head of a file.

    Attributes:
        application: what wrote it.
        comment: for people.
    """

    application: str = ""
    comment: str = ""


Block = Section | Interface | Packet | Statistics


def encode(block: Block) -> bytes:
    """A block as bytes."""
    match block:
        case Section():
            options = _texts((_COMMENT, block.comment), (_SHB_APPLICATION, block.application))
            return _block(_SECTION, pack("<IHH", _MAGIC, 1, 0) + _NO_LENGTH + options)
        case Interface():
            told = [
                *_options((_IF_NAME, block.name), (_IF_DESCRIPTION, block.description)),
                (_IF_RESOLUTION, bytes((_NANOSECONDS,))),
            ]
            if block.speed:
                told.append((_IF_SPEED, pack("<Q", block.speed)))
            return _block(_INTERFACE, pack("<HHI", block.link_type, 0, 0) + _closed(told))
        case Packet():
            return _packet(block)
        case Statistics():
            body = pack("<III", block.interface, block.time >> 32, block.time & 0xFFFFFFFF)
            return _block(_STATISTICS, body + _closed([(_ISB_DROPPED, pack("<Q", block.dropped))]))


def _packet(packet: Packet) -> bytes:
    size, time = len(packet.data), packet.time
    body = (
        pack("<IIIII", packet.interface, time >> 32, time & 0xFFFFFFFF, size, size) + packet.data + b"\0" * (-size & 3)
    )
    options = _options(*((_COMMENT, comment) for comment in packet.comments))
    if packet.flags:
        options.append((_EPB_FLAGS, pack("<I", packet.flags)))
    return _block(_PACKET, body + _closed(options) if options else body)


def _block(kind: int, body: bytes) -> bytes:
    length = len(body) + 12
    return pack("<II", kind, length) + body + pack("<I", length)


def _options(*texts: tuple[int, str]) -> list[tuple[int, bytes]]:
    """Without what is empty; a text that is cut ends with a whole character."""
    return [
        (code, text.encode(errors="replace")[:_MAX_TEXT].decode(errors="ignore").encode())
        for code, text in texts
        if text
    ]


def _texts(*texts: tuple[int, str]) -> bytes:
    return _closed(_options(*texts))


def _closed(options: Iterable[tuple[int, bytes]]) -> bytes:
    """Options, and what ends them."""
    found = b"".join(_OPTION.pack(code, len(value)) + value + b"\0" * (-len(value) & 3) for code, value in options)
    return found + _OPTION.pack(_END_OF_OPTIONS, 0)


class Blocks:
    """Cuts a stream of bytes into whole blocks, as they are."""

    def __init__(self) -> None:
        """Nothing was read."""
        self._rest = bytearray()
        self.order: Literal["<", ">"] = "<"
        self._begun = False

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The blocks that `data` completes, each with its kind.

        Raises:
            ProtocolError: these bytes are no pcapng.
        """
        self._rest += data
        at, rest = 0, self._rest
        try:
            while len(rest) - at >= 12:
                if rest[at : at + 4] == b"\x0a\x0d\x0d\x0a":
                    self.order = "<" if rest[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
                    if unpack_from(f"{self.order}I", rest, at + 8)[0] != _MAGIC:
                        raise ProtocolError("no pcapng: its head has no magic number")
                    self._begun = True
                elif not self._begun:
                    raise ProtocolError("no pcapng: it does not begin with a section")
                kind, length = unpack_from(f"{self.order}II", rest, at)
                if length < 12 or length % 4 or length > MAX_BLOCK:
                    raise ProtocolError(f"no pcapng: a block of {length} bytes")
                if len(rest) - at < length:
                    break
                if rest[at + 4 : at + 8] != rest[at + length - 4 : at + length]:
                    raise ProtocolError("no pcapng: a block whose two lengths differ")
                block = bytes(rest[at : at + length])
                at += length
                yield kind, block
        finally:
            del rest[:at]

    @property
    def incomplete(self) -> bool:
        """Whether a block has begun that is not there whole."""
        return bool(self._rest)


class Reader:
    """Finds the blocks in a stream of bytes; blocks of other kinds are passed over."""

    def __init__(self) -> None:
        """Nothing was read."""
        self._blocks = Blocks()
        self._units: list[int] = []  # nanoseconds of a tick, of each interface

    def feed(self, data: bytes) -> Iterator[Block]:
        """The blocks that `data` completes.

        Raises:
            ProtocolError: these bytes are no pcapng.
        """
        for kind, block in self._blocks.feed(data):
            if (found := self._read(kind, block[8:-4])) is not None:
                yield found

    @property
    def _order(self) -> Literal["<", ">"]:
        return self._blocks.order

    @property
    def incomplete(self) -> bool:
        """Whether a block has begun that is not there whole."""
        return self._blocks.incomplete

    def _read(self, kind: int, body: bytes) -> Block | None:
        try:
            match kind:
                case 0x0A0D0D0A:
                    self._units = []
                    options = self._options_of(body[16:])
                    return Section(_text(options, _SHB_APPLICATION), _text(options, _COMMENT))
                case 1:
                    return self._interface(body)
                case 6:
                    return self._packet(body)
                case 5:
                    number, high, low = unpack_from(f"{self._order}III", body)
                    dropped = self._number(self._options_of(body[12:]), _ISB_DROPPED)
                    return Statistics(number, self._time(number, high, low), dropped)
        except (ValueError, IndexError, error) as fault:
            raise ProtocolError(f"no pcapng: a damaged block of kind {kind}") from fault
        return None

    def _interface(self, body: bytes) -> Interface | None:
        link_type, _, _ = unpack_from(f"{self._order}HHI", body)
        options = self._options_of(body[8:])
        resolution = next((value[0] for code, value in options if code == _IF_RESOLUTION and value), 6)
        if resolution > _NANOSECONDS:
            raise ProtocolError(f"no pcapng of ours: time stamps of resolution {resolution}")
        self._units.append(10 ** (_NANOSECONDS - resolution))
        speed = self._number(options, _IF_SPEED)
        return Interface(LinkType(link_type), _text(options, _IF_NAME), _text(options, _IF_DESCRIPTION), speed)

    def _packet(self, body: bytes) -> Packet:
        number, high, low, size, _ = unpack_from(f"{self._order}IIIII", body)
        if size > len(body) - 20:
            raise ProtocolError("no pcapng: a packet that is longer than its block")
        options = self._options_of(body[20 + size + (-size & 3) :])
        comments = tuple(value.decode(errors="replace") for code, value in options if code == _COMMENT)
        flags = Flags(self._number(options, _EPB_FLAGS))
        return Packet(number, self._time(number, high, low), body[20 : 20 + size], comments, flags)

    def _time(self, interface: int, high: int, low: int) -> int:
        return int((high << 32 | low) * self._units[interface])

    def _options_of(self, data: bytes) -> list[tuple[int, bytes]]:
        found, at = [], 0
        while len(data) - at >= 4:
            code, length = unpack_from(f"{self._order}HH", data, at)
            if code == _END_OF_OPTIONS:
                break
            value = data[at + 4 : at + 4 + length]
            if len(value) < length:
                raise ProtocolError("no pcapng: an option that is longer than its block")
            found.append((code, value))
            at += 4 + length + (-length & 3)
        return found

    def _number(self, options: list[tuple[int, bytes]], code: int) -> int:
        value = next((value for each, value in options if each == code), b"")
        return int.from_bytes(value[:8], "little" if self._order == "<" else "big")


def _text(options: list[tuple[int, bytes]], code: int) -> str:
    return next((value.decode(errors="replace") for each, value in options if each == code), "")
