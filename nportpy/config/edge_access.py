"""The keys of a station that does not speak Modbus: how its device is reached, protocol by protocol.

Their names are those of the settings in meters/*/settings.py, but where several protocols mean the same by one key. A
key that is not given has no value here: what it is then, those settings say. What they become is in edge_reach.py,
which alone imports them: a file without such stations costs nothing.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from pydantic import Field

from nportpy.config import edge_values, values
from nportpy.config.tables import BOOLEAN, TEXT, Leaf, Many, Table, duration, integer
from nportpy.config.values import ValueFault
from nportpy.edge.settings import Protocol

_HEX: Final = re.compile("[0-9a-fA-F]{16}")
_SERVER: Final = re.compile(r"([0-9]{1,5})(?:/([0-9]{1,5}))?")
_SIZES: Final = re.compile(r"([12])/([12])/([123])")
_DEVICE: Final = re.compile("[0-9A-Za-z ]{1,32}")
_ENVIRONMENT: Final = re.compile("[A-Za-z_][A-Za-z0-9_]{0,63}")


def _one_of(*choices: str) -> Leaf:
    return Leaf(lambda value: values.word(value, choices), {"enum": list(choices)})


def server_address(value: object) -> tuple[int, int]:
    """A DLMS server address: the logical device, and the physical one behind a slash."""
    allowed = 'UPPER or "UPPER/LOWER", as in 1 or "1/17", 0 to 16383 each'
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    values.typed(value, str, allowed)
    match = _SERVER.fullmatch(str(value))
    if match is None:
        raise ValueFault("is no server address", allowed)
    upper, lower = int(match[1]), int(match[2] or 0)
    if max(upper, lower) > 0x3FFF:
        raise ValueFault("is out of range", allowed)
    return upper, lower


def zone_name(value: object) -> str:
    """A time zone by its name in the IANA database."""
    allowed = '"UTC", or a zone such as "Europe/Bratislava"'
    values.typed(value, str, allowed)
    try:
        ZoneInfo(str(value))
    except (ValueError, OSError, LookupError) as error:
        raise ValueFault("is no time zone that this machine knows", allowed) from error
    return str(value)


def client_title(value: object) -> bytes:
    """A client's own name in ciphered messages."""
    allowed = "8 bytes as 16 hexadecimal digits"
    values.typed(value, str, allowed)
    if not _HEX.fullmatch(str(value)):
        raise ValueFault("is no system title", allowed)
    return bytes.fromhex(str(value))


def object_sizes(value: object) -> tuple[int, int, int]:
    """Bytes of cause of transmission, common address and object address, which no frame tells."""
    allowed = '"CAUSE/COMMON/OBJECT" in bytes, as in "1/1/2" or "2/2/3"'
    values.typed(value, str, allowed)
    match = _SIZES.fullmatch(str(value))
    if match is None:
        raise ValueFault("are no sizes", allowed)
    return int(match[1]), int(match[2]), int(match[3])


def meter_address(value: object) -> str:
    """A device address of IEC 62056-21, often the serial number."""
    allowed = 'up to 32 letters, digits and spaces, as in "72211943"'
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    values.typed(value, str, allowed)
    if not _DEVICE.fullmatch(str(value)):
        raise ValueFault("is no device address", allowed)
    return str(value)


def environment(value: object) -> str:
    """The name of an environment variable."""
    allowed = "a name such as MAINS_PASSWORD"
    values.typed(value, str, allowed)
    if not _ENVIRONMENT.fullmatch(str(value)):
        raise ValueFault("is no name of an environment variable", allowed)
    return str(value)


def address_width(value: object) -> int:
    """Bytes of a server's address."""
    if value not in (0, 1, 2, 4) or isinstance(value, bool):
        raise ValueFault("is no width of an address", "1, 2 or 4 bytes; 0 finds out")
    assert isinstance(value, int)
    return value


_FILE = Leaf(edge_values.path, {"type": "string", "pattern": "^/"})
_ADDRESS_SIZE = integer(0, 2)
_GROUPS = Many("the whole station is interrogated without such a line", single=True, example="[1, 2]")


class SecretKeys(Table):
    """Passwords: from a file or the environment, never from the configuration itself."""

    password_file: Annotated[str | None, _FILE] = None
    password_env: Annotated[str | None, Leaf(environment, TEXT)] = None
    encryption_key_file: Annotated[str | None, _FILE] = None
    authentication_key_file: Annotated[str | None, _FILE] = None


class AccessKeys(Table):
    """How devices of all other protocols are reached; which keys are whose says KEYS."""

    # DLMS/COSEM.
    referencing: Annotated[str | None, _one_of("short", "logical")] = None
    client: Annotated[int | None, integer(0, 127)] = None
    server: Annotated[tuple[int, int] | None, Leaf(server_address, {"type": ["integer", "string"]})] = None
    width: Annotated[int | None, Leaf(address_width, {"enum": [0, 1, 2, 4]})] = None
    opening: Annotated[str | None, _one_of("direct", "mode_e")] = None
    authentication: Annotated[str | None, _one_of("none", "low", "md5", "sha1", "gmac", "sha256")] = None
    system_title: Annotated[bytes | None, Leaf(client_title, TEXT)] = None
    security: Annotated[str | None, _one_of("none", "authenticated", "encrypted", "both")] = None
    general_ciphering: Annotated[bool | None, BOOLEAN] = None
    pdu_size: Annotated[int | None, integer(0, 65535)] = None
    information: Annotated[int | None, integer(32, 2030)] = None
    window: Annotated[int | None, integer(1, 7)] = None
    long_response: Annotated[float | None, duration("100ms", "2min")] = None
    turnaround: Annotated[float | None, duration("0ms", "5s")] = None
    lists: Annotated[bool | None, BOOLEAN] = None
    list_size: Annotated[int | None, integer(0, 1000)] = None
    deviation: Annotated[str | None, _one_of("standard", "inverted", "ignored")] = None
    bounds: Annotated[str | None, _one_of("local", "deviation", "entries")] = None
    history: Annotated[str | None, Leaf(lambda value: values.label(value, 32), TEXT)] = None
    history_depth: Annotated[float | None, duration("1h", "366d")] = None
    # IEC 62056-21.
    reading: Annotated[str | None, _one_of("readout", "programming", "listen")] = None
    highest_baudrate: Annotated[int | None, integer(300, 115200)] = None
    software_parity: Annotated[bool | None, BOOLEAN] = None
    wake_up: Annotated[bool | None, BOOLEAN] = None
    check: Annotated[bool | None, BOOLEAN] = None
    reaction: Annotated[float | None, duration("0ms", "5s")] = None
    delay_before: Annotated[float | None, duration("0ms", "5s")] = None
    delay_after: Annotated[float | None, duration("0ms", "5s")] = None
    identify: Annotated[float | None, duration("100ms", "1min")] = None
    pause: Annotated[float | None, duration("0ms", "10min")] = None
    listen: Annotated[float | None, duration("1s", "1h")] = None
    size: Annotated[int | None, integer(256, 65536)] = None
    season: Annotated[bool | None, BOOLEAN] = None
    profile_command: Annotated[str | None, _one_of("R5", "R6")] = None
    # IEC 60870-5-101.
    link_address: Annotated[int | None, integer(0, 65534)] = None
    link_size: Annotated[int | None, _ADDRESS_SIZE] = None
    common_address: Annotated[int | None, integer(1, 65534)] = None
    sizes: Annotated[tuple[int, int, int] | None, Leaf(object_sizes, TEXT)] = None
    interrogate: Annotated[bool | None, BOOLEAN] = None
    interrogate_every: Annotated[float | None, duration("10s", "30d", off=True)] = None
    groups: Annotated[list[Annotated[int, integer(1, 16)]], _GROUPS] = Field(default_factory=list)
    counters: Annotated[str | None, _one_of("off", "read", "freeze")] = None
    counter_groups: Annotated[list[Annotated[int, integer(1, 4)]], _GROUPS] = Field(default_factory=list)
    synchronise_every: Annotated[float | None, duration("10s", "30d", off=True)] = None
    burst: Annotated[int | None, integer(1, 1000)] = None
    class1_every: Annotated[int | None, integer(1, 1000)] = None
    patience: Annotated[float | None, duration("1s", "10min")] = None
    hold: Annotated[float | None, duration("500ms", "1min")] = None
    # Several of them.
    device_address: Annotated[str | None, Leaf(meter_address, {"type": ["string", "integer"]})] = None
    sign_on_baudrate: Annotated[int | None, integer(300, 115200)] = None
    zone: Annotated[str | None, Leaf(zone_name, TEXT)] = None
    response: Annotated[float | None, duration("100ms", "2min")] = None
    frame_gap: Annotated[float | None, duration("10ms", "10s")] = None
    tries: Annotated[int | None, integer(1, 10)] = None
    inactivity: Annotated[float | None, duration("1s", "1d", off=True)] = None


_MODBUS: Final = frozenset(("unit", "numbering", "order", "type", "gap", "priority"))
_DLMS: Final = frozenset(
    ("referencing", "client", "server", "width", "opening", "authentication", "system_title", "security",
     "general_ciphering", "pdu_size", "information", "window", "long_response", "turnaround", "lists", "list_size",
     "deviation", "bounds", "history", "history_depth", "device_address", "sign_on_baudrate", "zone", "response",
     "frame_gap", "tries", "inactivity", "password_file", "password_env", "encryption_key_file",
     "authentication_key_file")
)  # fmt: skip
_IEC62056: Final = frozenset(
    ("reading", "highest_baudrate", "software_parity", "wake_up", "check", "reaction", "delay_before", "delay_after",
     "identify", "pause", "listen", "size", "season", "profile_command", "device_address", "sign_on_baudrate", "zone",
     "response", "frame_gap", "tries", "inactivity", "password_file", "password_env")
)  # fmt: skip
_IEC101: Final = frozenset(
    ("link_address", "link_size", "common_address", "sizes", "interrogate", "interrogate_every", "groups", "counters",
     "counter_groups", "synchronise_every", "burst", "class1_every", "patience", "hold", "zone", "response",
     "frame_gap", "tries")
)  # fmt: skip

KEYS: Final = {
    Protocol.MODBUS: _MODBUS,
    Protocol.DLMS: _DLMS,
    Protocol.IEC62056: _IEC62056,
    Protocol.IEC101: _IEC101,
}
"""Keys of a station that are about one protocol or some; all others are everybody's."""

TAG_KEYS: Final = {
    Protocol.MODBUS: frozenset(("type", "order")),
    Protocol.DLMS: frozenset(("history",)),
    Protocol.IEC62056: frozenset[str](),
    Protocol.IEC101: frozenset[str](),
}
"""The same of tags."""


def strange(keys: Iterable[str], protocol: Protocol, whose: dict[Protocol, frozenset[str]]) -> dict[str, str]:
    """Those of `keys` that are not for `protocol`, and for which they are."""
    found = {}
    for key in keys:
        of = [each for each in Protocol if key in whose[each]]
        if of and protocol not in of:
            found[key] = " and ".join(f'"{each}"' for each in of)
    return found


def given(keys: AccessKeys) -> dict[str, Any]:
    """What a table says."""
    return {name: value for name in AccessKeys.model_fields if (value := getattr(keys, name)) not in (None, [])}
