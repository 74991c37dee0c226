"""How a DLMS/COSEM meter is reached, and what it is asked for: frozen, parsed once by those above.

Source: IEC 62056-46 (link), IEC 62056-5-3 (application) and DLMS UA 1000-2, the Green Book; field reports are named
where a setting exists because of them.
"""

from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from enum import StrEnum
from typing import Final

from nportpy.linesettings import LineSettings

WRAPPER_PORT: Final = 4059
"""The TCP port of meters on Ethernet (IANA: dlms-cosem)."""

CLIENT_PUBLIC: Final = 16
"""The client address of the public client, which needs no password (Green Book 8.4.2.3)."""


class Referencing(StrEnum):
    """How objects are named: it is the meter's, not a matter of taste."""

    SHORT = "short"
    LOGICAL = "logical"


class Opening(StrEnum):
    """What comes before HDLC. `MODE_E`: the sign-on of IEC 62056-21 at 300 baud, usual on optical heads."""

    DIRECT = "direct"
    MODE_E = "mode_e"


class Authentication(StrEnum):
    """How the client proves who it is: by nothing, by a password in clear, or by answering a challenge."""

    NONE = "none"
    LOW = "low"
    MD5 = "md5"
    SHA1 = "sha1"
    GMAC = "gmac"
    SHA256 = "sha256"


class Bounds(StrEnum):
    """How the bounds of a profile are written; meters differ, and refuse the other form.

    Attributes:
        LOCAL: the meter's local time, deviation not specified (8000): most meters.
        DEVIATION: local time and its deviation from UTC.
        ENTRIES: no times: by the numbers of entries (selector 2).
    """

    LOCAL = "local"
    DEVIATION = "deviation"
    ENTRIES = "entries"


class Deviation(StrEnum):
    """What the deviation in a meter's time stamps is worth.

    Attributes:
        STANDARD: UTC = local time + deviation, as the Blue Book says.
        INVERTED: the meter writes it with the other sign.
        IGNORED: it is wrong: local times are of the configured zone.
    """

    STANDARD = "standard"
    INVERTED = "inverted"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Ciphering:
    """Security suite 0: AES-128-GCM with keys that client and meter share. No key is ever shown.

    Attributes:
        system_title: the client's own name, 8 bytes.
        encryption_key: the global unicast encryption key, 16 bytes.
        authentication_key: 16 bytes.
        authenticated: messages carry a tag (security control 10).
        encrypted: messages are encrypted (20). Both: 30. Neither: the keys serve HLS GMAC alone.
        general: in general-glo-ciphering (DB) instead of the ciphered form of each service.
        counter: the first invocation counter to use; a meter refuses one that it has seen. None: as many as there
            were seconds since 2020 began, which grows faster than any poller counts.
    """

    system_title: bytes
    encryption_key: bytes = field(repr=False)
    authentication_key: bytes = field(repr=False)
    authenticated: bool = True
    encrypted: bool = True
    general: bool = False
    counter: int | None = None

    def __post_init__(self) -> None:
        """Refuse keys and titles of another size.

        Raises:
            ValueError: which; the key itself is not in it.
        """
        for what, value, size in (
            ("system title", self.system_title, 8),
            ("encryption key", self.encryption_key, 16),
            ("authentication key", self.authentication_key, 16),
        ):
            if len(value) != size:
                raise ValueError(f"the {what} has {size} bytes, not {len(value)}")


@dataclass(frozen=True, slots=True)
class DlmsSettings:
    """How a meter is reached and spoken to. The defaults are those that most meters on RS-485 take.

    Attributes:
        referencing: by short names (older meters such as the ZMD) or by logical ones.
        client: the client's address, 0..127: it selects the association, its rights and its password.
        upper: the logical device, 1 for the meter itself; over the TCP wrapper it is the destination wPort.
        lower: the physical device on the line; 0 on a line of one meter.
        width: bytes of the server's address: 1, 2 or 4 as the meter is set; 0: find out, 2 then 4 then, where
            `lower` is 0, 1.
        opening: straight into HDLC, or by mode E.
        line: speed and format of HDLC; None: as the port is configured. After mode E the speed is the meter's.
        sign_on_baudrate: of mode E's opening, 7E1.
        sign_on_address: the device address within `/?...!`; usually none.
        authentication: how.
        secret: the password of LOW, the shared secret of MD5, SHA-1 and SHA-256. Never shown.
        ciphering: keys and titles, where messages are ciphered, and for GMAC.
        pdu_size: the longest message this side takes; 0 says no limit. Where it is refused, 0 is tried by itself.
        information: bytes of information in a frame, 32..2030, each way.
        window: frames in a row without an acknowledgement, 1..7; 1 is right on a serial line.
        response: seconds that a meter may think before the first byte of its answer.
        long_response: the same for the object list and for profiles, which it has to look together.
        gap: seconds of silence inside a frame after which its beginning is dropped.
        turnaround: seconds of silence before each frame of ours, for transceivers of RS-485.
        tries: of one frame, and of a connection.
        inactivity: seconds after which a meter forgets a connection that is not used; 0: never. The standard's
            default is 120.
        conformance: services to propose, 24 bits; None: 007E1F by logical, 1C1320 by short names.
        lists: ask for several attributes at once where the meter agrees to it.
        list_size: attributes in one request at most; 0: as many as the meter's PDU holds.
        zone: the meter's time zone, for stamps that do not say their deviation.
        deviation: what the deviation in its stamps is worth.
        bounds: how the bounds of a profile are written.
        max_size: bytes that one answer may have, put together.
        system_title: the client's own name, 8 bytes, where there are no keys; SHA-256 counts it in. Empty: none.
    """

    referencing: Referencing = Referencing.LOGICAL
    client: int = CLIENT_PUBLIC
    upper: int = 1
    lower: int = 0
    width: int = 0
    opening: Opening = Opening.DIRECT
    line: LineSettings | None = None
    sign_on_baudrate: int = 300
    sign_on_address: str = ""
    authentication: Authentication = Authentication.NONE
    secret: bytes = field(default=b"", repr=False)
    ciphering: Ciphering | None = None
    pdu_size: int = 1200
    information: int = 128
    window: int = 1
    response: float = 2.0
    long_response: float = 5.0
    gap: float = 0.3
    turnaround: float = 0.005
    tries: int = 3
    inactivity: float = 120.0
    conformance: int | None = None
    lists: bool = True
    list_size: int = 0
    zone: tzinfo = UTC
    deviation: Deviation = Deviation.STANDARD
    bounds: Bounds = Bounds.LOCAL
    max_size: int = 1 << 20
    system_title: bytes = b""

    def __post_init__(self) -> None:
        """Refuse what no meter can be reached by.

        Raises:
            ValueError: which, and what would be right.
        """
        for what, value, allowed in (
            ("client", self.client, range(128)),
            ("upper", self.upper, range(1 << 14)),
            ("lower", self.lower, range(1 << 14)),
            ("information", self.information, range(32, 2031)),
            ("window", self.window, range(1, 8)),
            ("pdu_size", self.pdu_size, range(1 << 16)),
            ("tries", self.tries, range(1, 11)),
        ):
            if value not in allowed:
                raise ValueError(f"{what} {value} is not in {allowed.start}..{allowed.stop - 1}")
        if self.width not in (0, 1, 2, 4):
            raise ValueError(f"a server address has 1, 2 or 4 bytes, not {self.width}; 0 finds out")
        if self.width == 1 and self.lower:
            raise ValueError(f"an address of one byte has no room for a lower address ({self.lower})")
        if self.width in (1, 2) and max(self.upper, self.lower) > 127:
            raise ValueError(f"address {self.upper}/{self.lower} needs 4 bytes, not {self.width}")
        if self.authentication is Authentication.GMAC and self.ciphering is None:
            raise ValueError("GMAC needs the keys of ciphering")
        if self.authentication not in (Authentication.NONE, Authentication.GMAC) and not self.secret:
            raise ValueError(f"authentication {self.authentication} needs a password")
        if self.authentication is Authentication.NONE and self.secret:
            raise ValueError("there is a password, but authentication is none")
