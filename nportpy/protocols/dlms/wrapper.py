"""The wrapper that carries APDUs over TCP (IEC 62056-47, Green Book 7.3).

    version (2, always 1) | source wPort (2) | destination wPort (2) | length (2) | APDU

The wPorts are the client's address and the server's upper one; there is neither an LLC header nor a checksum.
"""

from typing import Final, NamedTuple

from nportpy.errors import ProtocolError

HEADER: Final = 8
MAX_APDU: Final = 0xFFFF
_VERSION: Final = b"\x00\x01"


class Wrapped(NamedTuple):
    """An APDU, from whom and for whom."""

    source: int
    destination: int
    apdu: bytes

    def encode(self) -> bytes:
        """The bytes on the wire.

        Raises:
            ValueError: the APDU is longer than 65535 bytes.
        """
        if len(self.apdu) > MAX_APDU:
            raise ValueError(f"an APDU over TCP has {MAX_APDU} bytes at most, not {len(self.apdu)}")
        ports = self.source.to_bytes(2, "big") + self.destination.to_bytes(2, "big")
        return _VERSION + ports + len(self.apdu).to_bytes(2, "big") + self.apdu


class WrapperReader:
    """Cuts a stream into APDUs. It holds one unfinished one at most."""

    def __init__(self) -> None:
        """Hear nothing yet."""
        self._held = bytearray()

    def feed(self, data: bytes) -> list[Wrapped]:
        """The APDUs that are complete with `data`.

        Raises:
            ProtocolError: this is no wrapper; nothing that follows can be understood.
        """
        held = self._held
        held += data
        found = []
        at = 0
        while len(held) - at >= 2:
            if held[at : at + 2] != _VERSION:
                raise ProtocolError(f"this is no DLMS over TCP: {held[at : at + 8].hex(' ')}")
            if len(held) - at < HEADER:
                break
            end = at + HEADER + int.from_bytes(held[at + 6 : at + 8], "big")
            if len(held) < end:
                break
            source, destination = (int.from_bytes(held[at + place : at + place + 2], "big") for place in (2, 4))
            found.append(Wrapped(source, destination, bytes(held[at + HEADER : end])))
            at = end
        del held[:at]
        return found
