"""Single values of the second storey's tables, in the manner of values.py."""

import math
import re
from collections.abc import Collection
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from nportpy.client.target import FORMS, Target
from nportpy.config import values
from nportpy.config.toml import Path
from nportpy.config.values import ValueFault
from nportpy.edge.links import SCHEMES
from nportpy.network.addresses import Endpoint
from nportpy.protocols.modbus.values import TYPES, ValueType

SQLITE: Final = "sqlite:"
"""How the URL of a file begins."""

TAG_NAME: Final = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$"
TOPIC_NAME: Final = r"^[A-Za-z0-9_-]{1,64}$"
_PROFILE: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_BITS: Final = re.compile(r"([0-9]{1,2})(?:-([0-9]{1,2}))?")
_PERCENT: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?%")


class StationTarget(NamedTuple):
    """Whom a station leads to: as it is for Modbus, and as it was written."""

    target: Target
    text: str

    @property
    def names_port(self) -> bool:
        """Whether a TCP port is named."""
        return self.text.endswith(f":{self.target.place.port}") if isinstance(self.target.place, Endpoint) else False


class EdgeFault(ValueError):
    """Something about a station or an upstream is wrong: `path` is where, from its table on."""

    def __init__(self, path: Path, fault: ValueFault) -> None:
        super().__init__(str(fault))
        self.path = path
        self.fault = fault


class Deadband(NamedTuple):
    """A change that is not worth a sample: absolute, or in percent of the tag's `range`."""

    size: float
    percent: bool = False


def number(value: object) -> int | float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueFault(f"must be a number, not {values.kind(value)}", "a number such as 0.1 or -40")
    return value


def tag_name(value: object) -> str:
    """A tag's name: it becomes a label, and a part of topics."""
    allowed = "letters, digits, _ . and -, up to 64 in all"
    values.typed(value, str, allowed)
    if not re.fullmatch(TAG_NAME[1:-1], str(value)):
        raise ValueFault("is not a name for a tag", allowed)
    return str(value)


def station_name(value: object) -> str:
    """The name in [station.NAME], of the same kind."""
    allowed = "letters, digits, _ . and -, up to 64 in all"
    if not isinstance(value, str) or not re.fullmatch(TAG_NAME[1:-1], value):
        raise ValueFault("is not a name for a station", allowed)
    return value


def upstream_name(value: object) -> str:
    """The name in [upstream.NAME]."""
    return topic_name(value)


def topic_name(value: object) -> str:
    """A part of a topic: no dots, as those part NATS subjects."""
    allowed = "letters, digits, _ and -, up to 64 in all"
    values.typed(value, str, allowed)
    if not re.fullmatch(TOPIC_NAME[1:-1], str(value)):
        raise ValueFault("cannot be a part of a topic", allowed)
    return str(value)


def tag_address(value: object) -> str:
    """An address as the manual prints it: a text, or a number. What it means depends on the numbering."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 999_999:
        return str(value)
    values.typed(value, str, 'an address as the manual prints it, as in "41009" or "holding:1008"')
    return values.label(value, 64)


def value_type(value: object) -> ValueType:
    """A type such as float32."""
    values.typed(value, str, ", ".join(TYPES))
    try:
        return ValueType.parse(str(value))
    except ValueError as error:
        raise ValueFault("is no type", f"{', '.join(TYPES)}, where N is a number of characters") from error


def bits(value: object) -> tuple[int, int]:
    """One bit, or several: 3, "3", "4-7"; counted from 0, the lowest."""
    allowed = 'a bit or a range, counted from 0, as in "3" or "4-7"'
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    values.typed(value, str, allowed)
    match = _BITS.fullmatch(str(value))
    if not match:
        raise ValueFault("is no bit", allowed)
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first or last > 63:
        raise ValueFault("is out of range", "0 to 63, the lower bit first")
    return first, last


def enum_words(value: object) -> dict[int, str]:
    """Words for numbers: { 0 = "off", 1 = "on" }."""
    allowed = '{ 0 = "off", 1 = "on" }'
    values.typed(value, dict, allowed)
    assert isinstance(value, dict)
    found: dict[int, str] = {}
    for key, word in value.items():
        if not re.fullmatch("-?[0-9]{1,20}", key):
            raise ValueFault(f"has a key that is no whole number: {key}", allowed)
        found[int(key)] = values.label(word, 64)
    if not found:
        raise ValueFault("is empty: numbers stay numbers without such a line", allowed)
    return found


def deadband(value: object) -> Deadband:
    """A change: a number, or a percentage."""
    allowed = 'a number of the tag\'s unit, or "2%" of its `range`'
    if isinstance(value, str) and (match := _PERCENT.fullmatch(value)):
        return Deadband(float(match[1]), percent=True)
    if isinstance(value, str):
        raise ValueFault("is no deadband", allowed)
    found = number(value)
    if found < 0:
        raise ValueFault("is negative", allowed)
    return Deadband(float(found))


def value_range(value: object) -> tuple[float, float]:
    """From where to where a tag's values go: [0, 400]."""
    allowed = "the lowest and the highest value, as in [0, 400]"
    values.typed(value, list, allowed)
    if not isinstance(value, list) or len(value) != 2:
        raise ValueFault("has not two numbers", allowed)
    low, high = float(number(value[0])), float(number(value[1]))
    if not low < high:
        raise ValueFault("ends before it begins", allowed)
    return low, high


def target(value: object) -> StationTarget:
    """Whom to ask: as `nportpy read` takes it, or raw://HOST:PORT, a serial line elsewhere by plain TCP."""
    allowed = f"{FORMS}, or raw://HOST:PORT"
    values.typed(value, str, allowed)
    text = str(value)
    try:
        return StationTarget(Target.parse(text.replace("raw://", "rtu+tcp://", 1)), text)
    except ValueError as error:
        raise ValueFault("is no target", allowed) from error


def tag_history(value: object) -> str:
    """The column of a profile that fills a tag's gaps; false: none does."""
    if value is False:
        return ""
    allowed = "an OBIS code of the profile's column, as in 1.0.1.29.0.255, or false"
    values.typed(value, str, allowed)
    if not str(value).strip():
        raise ValueFault("is empty", allowed)
    return values.label(value, 64)


def profile_name(value: object) -> str:
    """The name of a profile: of a file without its .toml."""
    allowed = "the name of a profile that is shipped, or that lies in /etc/nportpy/profiles"
    values.typed(value, str, allowed)
    if not _PROFILE.fullmatch(str(value)):
        raise ValueFault("is not the name of a profile", allowed)
    return str(value)


def path(value: object) -> str:
    """A file's absolute path."""
    allowed = 'an absolute path, as in "/etc/nportpy/broker.password"'
    values.typed(value, str, allowed)
    if not str(value).startswith("/") or not str(value).isprintable():
        raise ValueFault("is not an absolute path", allowed)
    return str(value)


def archive_path(value: object) -> str:
    """A file in the state directory, or an absolute path."""
    allowed = 'a file\'s name in the state directory, as in "archive.db", or an absolute path'
    values.typed(value, str, allowed)
    text = str(value)
    if not text.isprintable() or not text.strip() or text.endswith("/") or ".." in text.split("/"):
        raise ValueFault("is no path of a file", allowed)
    return text


def upstream_url(value: object) -> str:
    """Where samples are sent: to a host, or into a file of this machine, `sqlite:/PATH`."""
    if isinstance(value, str) and value.startswith(SQLITE):
        return SQLITE + _sqlite_path(value.removeprefix(SQLITE))
    return broker_url(value, [each for each in SCHEMES if f"{each}:" != SQLITE], "of an upstream", f"{SQLITE}/PATH")


def _sqlite_path(text: str) -> str:
    allowed = f"{SQLITE} and an absolute path, as in {SQLITE}/var/lib/nportpy/collect.db"
    if not text.startswith("/") or text.startswith("//") or text.endswith("/") or not text.isprintable():
        raise ValueFault("names no file", allowed)
    return text


def broker_url(value: object, schemes: Collection[str], whose: str, *more: str) -> str:
    """A URL with one of `schemes`; users and passwords stand in keys of their own, where they do not reach a log.

    Args:
        value: what the file says.
        schemes: those that are known.
        whose: for the message.
        more: other forms that are allowed there, for the message.
    """
    allowed = ", ".join([*(f"{scheme}://host:port" for scheme in schemes), *more])
    values.typed(value, str, allowed)
    text = str(value)
    scheme, there, rest = text.partition("://")
    if not there or scheme not in schemes:
        raise ValueFault(f"is no URL {whose}", allowed)
    for each in rest.split(",") if scheme in ("nats", "tls") else [rest]:
        try:
            place = urlsplit(each if "://" in each else f"{scheme}://{each}")
            host, port = place.hostname, place.port
        except ValueError as error:
            raise ValueFault("has a port that is none", "1 to 65535") from error
        if not host or port == 0:
            raise ValueFault("names no host", allowed)
        if place.username is not None:
            raise ValueFault("has a user in it", 'user = "..." and password_file = "/etc/nportpy/..."')
    return text


def rate(value: object) -> int:
    """Samples a second; "off" is 0."""
    if value == "off":
        return 0
    try:
        return values.integer(value, 1, 10_000_000)
    except ValueFault as fault:
        raise ValueFault(fault.reason, f'{fault.allowed} samples a second, or "off"') from fault


def homeassistant(value: object) -> str:
    """The prefix of Home Assistant's discovery; false: none."""
    if isinstance(value, bool):
        return "homeassistant" if value else ""
    return topic_name(value)
