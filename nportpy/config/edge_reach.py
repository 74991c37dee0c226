"""From a station's keys to how its device is reached, and from a tag's `at` to where its value lies, by protocol.

Passwords are read here, once: from a file or from the environment. They reach no message; a changed one counts from the
next reload on.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from zoneinfo import ZoneInfo

from nportpy.config.edge_access import KEYS, AccessKeys, SecretKeys, given
from nportpy.config.edge_values import EdgeFault
from nportpy.config.positions import Lines
from nportpy.config.toml import Path, key_path
from nportpy.config.values import ValueFault
from nportpy.edge.settings import (
    HISTORY_DEPTH,
    HistorySettings,
    Protocol,
    ReadoutPlace,
    StationSettings,
    TagSettings,
)
from nportpy.errors import Fault, ProtocolError
from nportpy.linesettings import LineSettings

if TYPE_CHECKING:
    from nportpy.meters.dlms.places import Place as CosemPlace
    from nportpy.meters.dlms.settings import DlmsSettings
    from nportpy.meters.iec101.settings import Iec101Settings
    from nportpy.meters.iec62056.settings import Iec62056Settings
    from nportpy.protocols.iec101.addresses import ObjectAddress

DLMS_PORT: Final = 4059
"""The TCP port of DLMS meters on Ethernet (IANA: dlms-cosem)."""

_LONGEST: Final = 4096  # bytes of a password's file that are looked at
_KEY: Final = "a key of 16 bytes as 32 hexadecimal digits in its first line"


_T = TypeVar("_T")

Keys = Mapping[str, Any]
"""What a station and its profile say, by key."""


def access(
    protocol: Protocol, keys: Keys, secrets: SecretKeys, line: LineSettings | None, tags: Sequence[TagSettings]
) -> "DlmsSettings | Iec62056Settings | Iec101Settings | None":
    """How a device is reached.

    Args:
        protocol: what it speaks.
        keys: of the station and its profile.
        secrets: where passwords are.
        line: the station's own speed and format, if it has some.
        tags: what is read there.

    Raises:
        EdgeFault: the keys do not go together, or a password cannot be had.
    """
    match protocol:
        case Protocol.DLMS:
            return _dlms(keys, secrets, line)
        case Protocol.IEC62056:
            programs = any(ReadoutPlace(tag.at).parts[1] for tag in tags)
            return _iec62056(keys, secrets, programs=programs)
        case Protocol.IEC101:
            return _iec101(keys)
        case Protocol.MODBUS:
            return None


def place(protocol: Protocol, at: str) -> "CosemPlace | ReadoutPlace | ObjectAddress":
    """Where a tag's value lies that does not speak Modbus.

    Raises:
        ValueError: nowhere; the message says why, and what could stand there.
    """
    if protocol is Protocol.DLMS:
        from nportpy.meters.dlms.places import Place

        return Place.parse(at)
    if protocol is Protocol.IEC101:
        from nportpy.protocols.iec101.addresses import ObjectAddress

        return ObjectAddress.parse(at)
    if any(each in at for each in "()!") or not at.isascii():
        raise ValueError(f"{at!r} is no code that a meter prints: 1.8.0, 1-0:1.8.0*255, F.F or C.1.0")
    return ReadoutPlace(at)


def neighbours(stations: Sequence[StationSettings], lines: Lines) -> Iterator[Fault]:
    """Outstations that cannot be on one line together, or are one.

    Whoever asks an outstation keeps its frame count bit, so nobody else may; and frames do not tell how many bytes
    their link address has.
    """
    outstations = [each for each in stations if each.protocol is Protocol.IEC101]
    for number, each in enumerate(outstations):
        other = next((before for before in outstations[:number] if before.to == each.to), None)
        if other is None:
            continue
        mine, theirs = _link_of(each), _link_of(other)
        if mine[0] != theirs[0]:
            key, value = "link_size", mine[0]
            reason, allowed = (
                f"goes not with that of station.{other.name} on the same line, {theirs[0]}",
                "one size on a line",
            )
        elif same := next((one for one in outstations[:number] if one.to == each.to and _link_of(one) == mine), None):
            key, value = "link_address", mine[1]
            reason = f"is asked by station.{same.name}, too, and the frame count bit has room for one who asks"
            allowed = 'one station for each; other common addresses are tags, as in at = "2/100"'
        else:
            continue
        path: Path = ("station", each.name, key)
        yield Fault(key_path(path), reason, str(value), allowed, lines.of(path))


def _link_of(station: StationSettings) -> tuple[int, int]:
    """Size and number of the link address; all are one where frames carry none."""
    access = cast("Iec101Settings", station.access)
    return access.link_size, access.link_address if access.link_size else 0


def history(keys: Keys) -> HistorySettings | None:
    """The record of its own by which a DLMS meter's gaps are filled.

    Raises:
        EdgeFault: it is none.
    """
    if "history" not in keys:
        return None
    from nportpy.protocols.dlms.obis import Obis

    try:
        profile = Obis.parse(keys["history"]).code
    except ProtocolError as error:
        raise EdgeFault(("history",), ValueFault(str(error), "a profile's OBIS code, as in 1.0.99.1.0.255")) from error
    return HistorySettings(profile, keys.get("history_depth", HISTORY_DEPTH))


def _dlms(keys: Keys, secrets: SecretKeys, line: LineSettings | None) -> "DlmsSettings":
    from nportpy.meters.dlms.settings import (
        Authentication,
        Bounds,
        Ciphering,
        Deviation,
        DlmsSettings,
        Opening,
        Referencing,
    )

    words = {
        "referencing": Referencing,
        "opening": Opening,
        "authentication": Authentication,
        "deviation": Deviation,
        "bounds": Bounds,
    }
    same = (
        "client", "width", "pdu_size", "information", "window", "long_response", "turnaround", "lists", "list_size",
        "sign_on_baudrate", "response", "tries", "inactivity",
    )  # fmt: skip
    found = {name: keys[name] for name in same if name in keys}
    found |= {name: kind(keys[name]) for name, kind in words.items() if name in keys}
    found |= _renamed(keys, frame_gap="gap", device_address="sign_on_address")
    if "server" in keys:
        found["upper"], found["lower"] = keys["server"]
    if "zone" in keys:
        found["zone"] = _zone(keys["zone"])
    found["line"] = line
    password = _password(secrets)
    if password is not None:
        found["secret"] = password
        found.setdefault("authentication", Authentication.LOW)
    files = secrets.encryption_key_file, secrets.authentication_key_file
    titled = "system_title" in keys
    if titled and not any(files) and found.get("authentication") is Authentication.SHA256:
        found["system_title"] = keys["system_title"]  # which goes into the answer to the challenge
    elif titled or any(files):
        if not titled or not files[0] or not files[1]:
            needed = "system_title, encryption_key_file and authentication_key_file"
            raise EdgeFault((), ValueFault("ciphering is half of it", f"all of {needed}"))
        security = keys.get("security", "both")
        found["ciphering"] = Ciphering(
            keys["system_title"],
            _key("encryption_key_file", files[0]),
            _key("authentication_key_file", files[1]),
            authenticated=security in ("authenticated", "both"),
            encrypted=security in ("encrypted", "both"),
            general=keys.get("general_ciphering", False),
        )
    for key in ("security", "general_ciphering"):
        if key in keys and not titled:
            raise EdgeFault((key,), ValueFault("is about ciphered messages", "system_title and the keys' files"))
    wants = found.get("authentication", Authentication.NONE)
    if wants not in (Authentication.NONE, Authentication.GMAC) and password is None:
        raise EdgeFault(
            ("authentication",), ValueFault(f'"{wants}" goes with a password', "password_file or password_env")
        )
    return _made(DlmsSettings, found)


def _iec62056(keys: Keys, secrets: SecretKeys, *, programs: bool) -> "Iec62056Settings":
    from nportpy.meters.iec62056.settings import Iec62056Settings, Reading
    from nportpy.protocols.iec62056.messages import Command

    same = (
        "software_parity", "wake_up", "check", "reaction", "delay_before", "delay_after", "response", "identify",
        "tries", "pause", "inactivity", "listen", "size", "season",
    )  # fmt: skip
    found = {name: keys[name] for name in same if name in keys}
    found |= _renamed(
        keys, frame_gap="gap", device_address="device", sign_on_baudrate="baudrate", highest_baudrate="highest"
    )
    if "reading" in keys:
        found["reading"] = Reading(keys["reading"])
    if "profile_command" in keys:
        found["profile_command"] = Command(keys["profile_command"])
    if "zone" in keys:
        found["zone"] = _zone(keys["zone"])
    if (password := _password(secrets)) is not None:
        if not programs and found.get("reading") is not Reading.PROGRAMMING:
            where = "password_file" if secrets.password_file else "password_env"
            reason = "would never be sent: a readout needs no password, the programming mode does"
            allowed = 'reading = "programming" beside it, or a tag such as at = "1.5.0 in P.01"; or no password'
            raise EdgeFault((where,), ValueFault(reason, allowed))
        found["password"] = password.decode("latin-1")
    return _made(Iec62056Settings, found)


def _iec101(keys: Keys) -> "Iec101Settings":
    from nportpy.meters.iec101.settings import CounterRequest, Iec101Settings
    from nportpy.protocols.iec101.asdu import Sizes

    same = (
        "link_address", "link_size", "common_address", "interrogate", "interrogate_every", "synchronise_every",
        "burst", "class1_every", "patience", "hold", "zone",
    )  # fmt: skip
    found = {name: keys[name] for name in same if name in keys}
    found |= {name: tuple(keys[name]) for name in ("groups", "counter_groups") if name in keys}
    found |= _renamed(keys, frame_gap="gap", response="timeout")
    if "tries" in keys:
        found["retries"] = keys["tries"] - 1
    if "counters" in keys:
        found["counters"] = CounterRequest(keys["counters"])
    if "sizes" in keys:
        found["sizes"] = Sizes(*keys["sizes"])
    return _made(Iec101Settings, found)


def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)


def _renamed(keys: Keys, **names: str) -> dict[str, Any]:
    return {theirs: keys[ours] for ours, theirs in names.items() if ours in keys}


def _made(kind: Callable[..., _T], found: dict[str, Any]) -> _T:
    try:
        return kind(**found)
    except ValueError as error:
        raise EdgeFault((), ValueFault(str(error))) from error


# Secrets.


def _password(secrets: SecretKeys) -> bytes | None:
    if secrets.password_file is not None and secrets.password_env is not None:
        raise EdgeFault(("password_env",), ValueFault("goes not with password_file", "one of both"))
    if secrets.password_env is not None:
        found = os.environ.get(secrets.password_env, "")
        if not found:
            raise EdgeFault(("password_env",), ValueFault("there is no such variable, or it is empty"))
        return found.encode()
    return None if secrets.password_file is None else _line("password_file", secrets.password_file)


def secret_files(secrets: SecretKeys) -> tuple[str, ...]:
    """The files that hold a password or a key."""
    files = secrets.password_file, secrets.encryption_key_file, secrets.authentication_key_file
    return tuple(dict.fromkeys(each for each in files if each is not None))


def _key(name: str, path: str) -> bytes:
    try:
        key = bytes.fromhex(_line(name, path).decode("ascii"))
    except ValueError:
        raise EdgeFault((name,), ValueFault("holds no key", _KEY)) from None
    if len(key) != 16:
        raise EdgeFault((name,), ValueFault(f"holds {len(key)} bytes", _KEY))
    return key


def _line(name: str, path: str) -> bytes:
    """The first line of a file."""
    try:
        with open(path, "rb") as file:
            found = file.readline(_LONGEST).rstrip(b"\r\n")
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
        raise EdgeFault((name,), ValueFault(reason, "a file that the gateway's user may read")) from error
    if not found:
        raise EdgeFault((name,), ValueFault("its first line is empty", "the password in the first line"))
    return found


def access_keys(protocol: Protocol, *tables: AccessKeys) -> Keys:
    """The keys of a profile and of its station that are about `protocol`: the later table's win."""
    found: dict[str, Any] = {}
    for table in tables:
        found |= {name: value for name, value in given(table).items() if name in KEYS[protocol]}
    return found
