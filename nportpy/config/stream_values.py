"""Single values of the tables of stream modes, in the manner of values.py."""

import re
from ipaddress import ip_address

from nportpy.config import values
from nportpy.config.values import ValueFault
from nportpy.modes.udp_base import WIDEST_RANGE, Range
from nportpy.network.addresses import Destination, Group

_A_HOST = '"host:port", as in "scada.example:4001", "192.0.2.10:4001" or "[fd00::7]:4001"'
_A_RANGE = '"address:port" or "first-last:port", as in "192.0.2.10-192.0.2.19:4001"'
_A_GROUP = 'a multicast address, as in "239.1.1.1", or with its interface "239.1.1.1%eth0"'
_HOST_PORT = re.compile(r"(\[[^\]]*\]|[^:\[\]]*):([0-9]{1,5})")
_RANGE = re.compile(r"(\[?)([0-9a-fA-F:.]+?)(?:\s*-\s*([0-9a-fA-F:.]+?))?(\]?):([0-9]{1,5})")
_DELIMITER = re.compile(r"[0-9a-fA-F]{2}(?: ?[0-9a-fA-F]{2})?")
_INTERFACE = re.compile(r"[^\s/%]{1,15}")  # IFNAMSIZ of linux/if.h, less the zero at its end
_MAC = re.compile(r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}")
_NUMBER = re.compile(r"[0-9*#]{1,32}")


def destination(value: object, local_port: int = 0) -> Destination:
    """A host to call: "host:port". Whether a name means anything is found out when it is called."""
    values.typed(value, str, _A_HOST)
    match = _HOST_PORT.fullmatch(str(value))
    if not match:
        raise ValueFault("is no host with a port", _host_meant(str(value)) or _A_HOST)
    return Destination(values.host(match[1], _A_HOST), _port(match[2]), local_port)


def _host_meant(text: str) -> str:
    """A URL without its scheme, a host with the commonest port; empty if that is no host."""
    bare = re.sub(r"^[a-z0-9+]+://|/$", "", text.strip())
    for meant in (bare, f"{bare}:4001", f"[{bare}]:4001"):
        match = _HOST_PORT.fullmatch(meant)
        try:
            if match and values.host(match[1], ""):
                return f'"{meant}"'
        except ValueFault:
            pass
    return ""


def udp_range(value: object) -> Range:
    """Where datagrams go."""
    values.typed(value, str, _A_RANGE)
    match = _RANGE.fullmatch(str(value))
    if not match:
        raise ValueFault("is no address with a port", _A_RANGE)
    try:
        first, last = ip_address(match[2]), ip_address(match[3] or match[2])
    except ValueError as error:
        raise ValueFault("is no address with a port", _A_RANGE) from error
    if bool(match[1]) is not (first.version == 6) or bool(match[4]) is not bool(match[1]):
        raise ValueFault("IPv6 addresses stand in brackets, IPv4 addresses do not", _A_RANGE)
    try:
        return Range(first, last, _port(match[5]))
    except ValueError as error:
        raise ValueFault(str(error), f"up to {WIDEST_RANGE} addresses of one kind in their order") from error


def group(value: object) -> Group:
    """A multicast group to hear."""
    values.typed(value, str, _A_GROUP)
    text, percent, interface = str(value).partition("%")
    try:
        found = ip_address(text)
    except ValueError as error:
        alone = text.rpartition(":")[0].strip("[]")
        with_port = re.fullmatch(r"2[23][0-9](?:\.[0-9]{1,3}){3}", alone)
        reason = "has a port, and a multicast address alone stands here" if with_port else "is no multicast address"
        raise ValueFault(reason, f'"{alone}"; the port is the one of listen' if with_port else _A_GROUP) from error
    if not found.is_multicast or (percent and not _INTERFACE.fullmatch(interface)):
        raise ValueFault("is no multicast address", _A_GROUP)
    return Group(found, interface)


def interface(value: object) -> str:
    """A network interface's name."""
    allowed = 'the name of a network interface, as in "eth0"'
    values.typed(value, str, allowed)
    if not _INTERFACE.fullmatch(str(value)):
        raise ValueFault("is no network interface's name", allowed)
    return str(value)


def delimiters(value: object) -> bytes:
    """One or two bytes, from their hexadecimal digits."""
    allowed = 'one byte or two in hexadecimal digits, as in "0A" or "0D 0A"'
    values.typed(value, str, allowed)
    if not _DELIMITER.fullmatch(str(value)):
        raise ValueFault("is neither one byte nor two", allowed)
    return bytes.fromhex(str(value))


def characters(value: object) -> float:
    """A time in characters of the line, whole or not."""
    allowed = "0.5 to 1000"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueFault(f"must be a number, not {values.kind(value)}", allowed)
    if not 0.5 <= value <= 1000:
        raise ValueFault("is out of range", allowed)
    return float(value)


def mac(value: object) -> bytes:
    """A MAC address."""
    allowed = 'six bytes, as in "00:90:e8:12:34:56"'
    values.typed(value, str, allowed)
    if not _MAC.fullmatch(str(value)):
        meant = re.sub(r"[-:. ]", "", str(value)).lower()
        if re.fullmatch(r"[0-9a-f]{12}", meant):
            allowed = f'"{":".join(meant[n : n + 2] for n in range(0, 12, 2))}"'
        raise ValueFault("is no MAC address", allowed)
    return bytes.fromhex(str(value).replace(":", ""))


def number(value: object) -> str:
    """What may be dialled: a key of `numbers`."""
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        raise ValueFault("cannot be dialled", "digits, * and #, up to 32")
    return value


def at_commands(value: object) -> str:
    """AT commands without the AT."""
    return values.label(value, 128, ascii_only=True)


def local_address(value: object) -> str:
    """An IP address of this machine."""
    return values.address(value)


def _port(text: str) -> int:
    if not 1 <= int(text) <= 65535:
        raise ValueFault("the port is out of range", "1 to 65535")
    return int(text)
