"""Single values of the Modbus tables, in the manner of values.py."""

import re
from collections.abc import Iterable

from nportpy.config import values
from nportpy.config.values import ValueFault
from nportpy.line.turns import Priority
from nportpy.network.addresses import Endpoint
from nportpy.protocols.modbus import addresses
from nportpy.protocols.modbus.functions import Span

AUTO = "auto"
_PORTS = {"tcp": 502, "tls": 802}
_UNITS = re.compile(r"([0-9]{1,3})(?:\s*-\s*([0-9]{1,3}))?")
_URL = re.compile(r"(tcp|tls)://(\[[^\]]*\]|[^:/\[\]]*)(?::([0-9]{1,5}))?/?", re.IGNORECASE)
_A_SERVER = '"tcp://host:port", as in "tcp://192.0.2.10:502" or "tcp://[fd00::7]:502"'


def units(value: object, low: int, high: int) -> frozenset[int]:
    """Unit ids from a text such as "1-5,9"."""
    allowed = f'unit ids and ranges from {low} to {high}, as in "1-5,9"'
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        allowed = f'"{value}"'
    values.typed(value, str, allowed)
    found: set[int] = set()
    for part in str(value).split(","):
        match = _UNITS.fullmatch(part.strip())
        if not match:
            raise ValueFault("is not a list of unit ids", allowed)
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueFault(f"{first}-{last} ends before it begins", f'"{last}-{first}"')
        if not low <= first <= last <= high:
            raise ValueFault("is out of range", allowed)
        found.update(range(first, last + 1))
    return frozenset(found)


def units_text(ids: Iterable[int]) -> str:
    """Unit ids as one writes them in the file: `1-5,9`."""
    runs: list[list[int]] = []
    for unit in sorted(ids):
        if runs and unit == runs[-1][-1] + 1:
            runs[-1][1:] = [unit]
        else:
            runs.append([unit])
    return ",".join("-".join(map(str, run)) for run in runs)


def unit_or(value: object, word: str) -> int | None:
    """A unit id; None for `word`."""
    if value == word:
        return None
    allowed = f'"{word}" or a unit id, 1 to 247'
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueFault(f"must be a word or an integer, not {values.kind(value)}", allowed)
    if isinstance(value, str) or not 1 <= value <= 247:
        raise ValueFault("is not possible here", allowed)
    return value


def timeout(value: object, low: str, high: str) -> float | str:
    """Seconds, or AUTO."""
    if value == AUTO:
        return AUTO
    try:
        return values.duration(value, low, high)
    except ValueFault as fault:
        raise ValueFault(fault.reason, f'{fault.allowed}, or "{AUTO}"') from fault


def role(value: object) -> str:
    """A role, as a certificate names it; "" is that of one that names none."""
    from nportpy.protocols.x509 import LONGEST_ROLE  # few files name roles

    return values.label(value, LONGEST_ROLE)


def priority(value: object) -> Priority:
    """How urgent something is."""
    return Priority[values.word(value, [known.name.lower() for known in Priority]).upper()]


def registers(value: object) -> Span:
    """One span of registers or bits, from a text such as "41001-41100" or "holding:1000"."""
    allowed = 'an address or a range, as in "41001-41100", "holding:1000-1099" or "coil:5"'
    values.typed(value, str, allowed)
    try:
        found = addresses.parse_range(str(value))
    except ValueError as error:
        reason = str(error).removeprefix(f"{value}: ") if str(value).isprintable() else "is no address"
        raise ValueFault(reason, allowed) from error
    table, first = found.first
    last = found.first if found.last is None else found.last
    return Span(table, first, last.number - first + 1)


def server(value: object) -> Endpoint:
    """A Modbus TCP server elsewhere: "tcp://host:port". Whether a name means anything is found out when it is asked."""
    values.typed(value, str, _A_SERVER)
    match = _URL.fullmatch(str(value))
    if not match:
        bare = re.sub(r"^[a-z0-9+]+://", "", str(value).strip(), flags=re.IGNORECASE)
        meant = f'"tcp://{bare}"' if bare and _URL.fullmatch(f"tcp://{bare}") else ""
        if str(value).lower().startswith(("rtu", "socket")):  # as an address of RTU over TCP
            meant = 'a port of its own with device = "socket://..." and a [port.NAME.modbus], for RTU over TCP'
        raise ValueFault("is not the address of a Modbus TCP server", meant or _A_SERVER)
    port = int(match[3] or _PORTS[match[1].lower()])
    if not 1 <= port <= 65535:
        raise ValueFault("the port is out of range", "1 to 65535")
    return Endpoint(values.host(match[2], _A_SERVER), port)


def port(value: object) -> str:
    """The name of a port, whether there is one or not."""
    values.typed(value, str, "the name of a port, NAME in [port.NAME]")
    return str(value)
