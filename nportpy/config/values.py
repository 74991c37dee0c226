"""Single values of a configuration file: from TOML to what the rest of the program works with, and to text.

Every parser takes what tomllib gives and returns the value, or raises ValueFault with a reason and what would be
right, in words for the person who wrote the file.
"""

import os
import re
import socket
from collections.abc import Iterable
from datetime import date, datetime, time
from decimal import Decimal
from ipaddress import ip_address, ip_network, summarize_address_range
from itertools import islice

from nportpy.linesettings import Flow, LineSettings
from nportpy.network.addresses import Endpoint, Network

_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "a boolean"),  # before int: a bool is one
    (int, "an integer"),
    (float, "a float"),
    (str, "a string"),
    (list, "an array"),
    (dict, "a table"),
    ((datetime, date, time), "a date or a time"),
)
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")  # RFC 1123, 2.1
# From the largest down; of two that are close, the one to suggest comes last.
_SECONDS = {"d": Decimal(86400), "h": Decimal(3600), "min": Decimal(60), "s": Decimal(1), "ms": Decimal("0.001")}
_BYTES = {"MB": Decimal(10**6), "MiB": Decimal(1 << 20), "kB": Decimal(1000), "KiB": Decimal(1024), "B": Decimal(1)}
# The lengths keep the numbers finite and exact.
_AMOUNT = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)([a-zA-Z]*)")
_DEVICE_URL = re.compile(r"[a-z][a-z0-9+.-]*://.*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

PARITIES = {
    "none": "N", "no": "N", "n": "N", "even": "E", "e": "E", "odd": "O", "o": "O", "mark": "M", "m": "M",
    "space": "S", "s": "S",
}  # fmt: skip
"""The letter of each parity, by what it is called."""

_FLOWS = {
    "rtscts": ("hardware", "hw", "rts/cts", "rts cts", "cts/rts", "crtscts", "rts", "handshake"),
    "xonxoff": ("software", "sw", "xon/xoff", "xon xoff", "soft"),
    "dsrdtr": ("dtr/dsr", "dsr/dtr", "dtr dsr", "dsr dtr"),
    "none": ("off", "no", "false", "disable", "disabled", "0", "keine"),
}
_EVERYWHERE = ("*", "", "any", "all", "+", "0")
NAME_PATTERN = f"^{_NAME.pattern}$"
_AN_ENDPOINT = '"address:port", as in "192.168.0.7:4001" or "[fd00::7]:4001"'


class ValueFault(ValueError):
    """A value is wrong: `reason` says why, `allowed` what would be right."""

    def __init__(self, reason: str, allowed: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.allowed = allowed


def kind(value: object) -> str:
    """What TOML calls this sort of value, with its article."""
    return next(name for types, name in _KINDS if isinstance(value, types))


def typed(value: object, wanted: type, allowed: str) -> None:
    """Refuse what is of another kind."""
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        wish = next(name for types, name in _KINDS if types is wanted)
        raise ValueFault(f"must be {wish}, not {kind(value)}", allowed)


def boolean(value: object) -> bool:
    """True or false."""
    small = str(value).lower()
    allowed = "true" if small in ("true", "yes", "on", "1") else "false" if small in ("false", "no", "off", "0") else ""
    typed(
        value, bool, f"{allowed}, without quotes" if allowed and isinstance(value, str) else allowed or "true or false"
    )
    return bool(value)


def integer(value: object, low: int, high: int) -> int:
    """A whole number from `low` to `high`."""
    allowed = f"{low} to {high}"
    if isinstance(value, str) and re.fullmatch("[0-9]{1,10}", value) and low <= int(value) <= high:
        raise ValueFault("a number stands without quotes", str(int(value)))
    typed(value, int, allowed)
    assert isinstance(value, int)
    if not low <= value <= high:
        raise ValueFault("is out of range", allowed)
    return value


def word(value: object, words: Iterable[str]) -> str:
    """One of `words`."""
    known = [str(known) for known in words]
    allowed = ", ".join(f'"{known}"' for known in known)
    typed(value, str, allowed)
    if value not in known:
        raise ValueFault("is none of the words known here", allowed)
    return str(value)


def label(value: object, longest: int, *, ascii_only: bool = False) -> str:
    """A printable text of at most `longest` characters; may be empty."""
    allowed = f"up to {longest} printable {'ASCII ' if ascii_only else ''}characters"
    typed(value, str, allowed)
    assert isinstance(value, str)
    if len(value) > longest:
        raise ValueFault("is too long", allowed)
    if not value.isprintable() or (ascii_only and not value.isascii()):
        raise ValueFault("has characters that cannot stand here", allowed)
    return value


def host_name() -> str:
    """The gateway's name where none is given."""
    return socket.gethostname()


def gateway_name(value: object) -> str:
    """A gateway's name: not empty, printable."""
    name = label(value, 253)  # a host name's length
    if not name.strip():
        raise ValueFault("is empty", "a name, or no such line for the host name")
    return name


def port_name(value: object) -> str:
    """The name in `[port.NAME]`; it becomes a label of metrics and a word in the log."""
    return _name(value, "is not a port name")


def tls_name(value: object) -> str:
    """The name of a `[tls.NAME]`, whether there is one or not."""
    typed(value, str, "the name of a table, NAME in [tls.NAME]")
    return str(value)


def router_name(value: object) -> str:
    """The name in `[modbus.NAME]`, of the same kind."""
    return _name(value, "is not a name for a service")


def _name(value: object, reason: str) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueFault(reason, "a letter or digit, then letters, digits, - _ and ., up to 128 in all")
    return value


def device(value: object) -> str:
    """A device's absolute path or a pyserial URL."""
    allowed = 'a path such as "/dev/ttyAMA0" or "/dev/serial/by-id/...", or a pyserial URL'
    typed(value, str, allowed)
    assert isinstance(value, str)
    if value.startswith("/") and value.isprintable():
        return value
    if _DEVICE_URL.fullmatch(value) and value.isprintable():
        return value
    if re.fullmatch(r"(?:dev/)?(?:tty\w+|serial/\S+)", value):
        raise ValueFault("is not a whole path", f'"/dev/{value.removeprefix("dev/")}"')
    if re.fullmatch(r"(?:\\\\[.?]\\)?com[0-9]{1,3}:?", value, re.IGNORECASE):
        raise ValueFault(
            "is a name that Windows gives", 'a path such as "/dev/ttyUSB0"; nportpy ports lists what is here'
        )
    if re.fullmatch(r"\S+:[0-9]{1,5}", value):
        far = f'"socket://{value}" for a raw TCP port elsewhere, "rfc2217://{value}" for one with its settings'
        raise ValueFault("is a place on the network and no device", far)
    raise ValueFault("is neither an absolute path nor a URL", allowed)


def folder(value: object) -> str:
    """A directory's absolute path."""
    allowed = 'an absolute path, as in "/var/lib/nportpy/captures"'
    typed(value, str, allowed)
    text = str(value)
    if not text.startswith("/") or not text.isprintable() or ".." in text.split("/"):
        raise ValueFault("is no whole path of a directory", allowed)
    return text.rstrip("/") or "/"


def file(value: object) -> str:
    """A file's absolute path."""
    allowed = 'an absolute path, as in "/var/lib/nportpy/accounts.json"'
    typed(value, str, allowed)
    text = str(value)
    if not text.startswith("/") or not text.isprintable() or ".." in text.split("/") or text.endswith("/"):
        raise ValueFault("is no whole path of a file", allowed)
    return text


def device_identity(text: str) -> str | None:
    """What two names of one device have in common; None for `loop:`, which is a line of its own each time."""
    if text.startswith("loop:"):
        return None
    return os.path.realpath(text) if text.startswith("/") else text


def line_format(value: object) -> str:
    """A line format such as 8N1 in its usual spelling."""
    allowed = '5-8 data bits, N E O M or S, 1 1.5 or 2 stop bits, as in "8N1"'
    if isinstance(value, float):  # 8E1 without quotes is a number, 80.0
        for meant in (f"{bits}E{stop}" for bits in "5678" for stop in "12"):
            if value == float(meant):
                raise ValueFault("is a number without quotes", f'"{meant}"')
    typed(value, str, allowed)
    try:
        parsed = LineSettings.parse(9600, str(value))
    except ValueError as error:
        if "1.5" in str(value)[2:] and str(value)[:1] in set("678"):
            raise ValueFault(str(error), '"5N1.5" and the like') from error
        written = format_meant(value)
        raise ValueFault("is not a line format", f'"{written}"' if written else allowed) from error
    return parsed.format


def flow_control(value: object) -> Flow:
    """How the line is held up."""
    try:
        return Flow(word(value, Flow))
    except ValueFault as fault:
        meant = flow_meant(value)
        raise ValueFault(fault.reason, f'"{meant}"' if meant else fault.allowed) from fault


def flow_meant(value: object) -> str | None:
    """The flow control that a word of others' means."""
    text = re.sub(r"[\s_-]+", " ", str(value)).strip().lower()
    return next((ours for ours, words in _FLOWS.items() if text == ours or text in words), None)


def format_meant(value: object) -> str | None:
    """The line format in other spellings: "8-N-1", "N81", "8,none,1"."""
    text = str(value).strip()
    found = re.fullmatch(r"([5-8])[\s,/:-]*([A-Za-z]+)[\s,/:-]*(1\.5|[12])", text)
    turned = re.fullmatch(r"([A-Za-z]+)[\s,/:-]*([5-8])[\s,/:-]*(1\.5|[12])", text)
    data, parity, stop = found.groups() if found else (turned[2], turned[1], turned[3]) if turned else ("", "", "")
    letter = PARITIES.get(parity.lower(), "")
    return f"{data}{letter}{stop}" if letter else None


def duration(value: object, low: str, high: str, *, off: bool = False) -> float:
    """Seconds of a duration such as "500ms"; "off" is 0 where it is allowed."""
    or_off = ', or "off"' if off else ""
    if off and value == "off":
        return 0.0
    return float(
        _amount(value, _SECONDS, (low, high), f'a number with ms, s, min, h or d, as in "500ms"{or_off}', or_off)
    )


def rs485_delay(value: object) -> float:
    """Seconds of an RS-485 delay: whole milliseconds, as the kernel takes them.

    Linux cuts longer ones to 100 ms (RS485_MAX_RTS_DELAY in drivers/tty/serial/serial_core.c).
    """
    seconds = duration(value, "0ms", "100ms")
    if Decimal(repr(seconds)) * 1000 % 1:
        raise ValueFault("the kernel counts this delay in whole milliseconds", '"0ms" to "100ms"')
    return seconds


def duration_text(seconds: float) -> str:
    """A duration as one writes it in the file; `duration` reads it back exactly."""
    exact = Decimal(repr(seconds))
    for unit in ("d", "h", "min", "s"):
        if exact and exact % _SECONDS[unit] == 0:
            return f"{int(exact / _SECONDS[unit])}{unit}"
    return f"{(exact * 1000).normalize():f}ms" if exact else "0s"


def size(value: object, low: str, high: str) -> int:
    """Bytes of a size such as "64KiB"."""
    count = _amount(value, _BYTES, (low, high), 'a number with B, kB, KiB, MB or MiB, as in "64KiB"')
    if count % 1:
        raise ValueFault("is not a whole number of bytes", f'"{low}" to "{high}"')
    return int(count)


def size_text(count: int) -> str:
    """A size as one writes it in the file; `size` reads it back."""
    unit = next(unit for unit in ("MiB", "KiB", "B") if count % _BYTES[unit] == 0)
    return f"{count // _BYTES[unit]}{unit}" if count else "0B"


def _amount(value: object, units: dict[str, Decimal], limits: tuple[str, str], form: str, or_else: str = "") -> Decimal:
    """A number with a unit, in the base unit, within limits."""
    low, high = (Decimal(number) * units[unit] for number, unit in map(_split, limits))
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 10**12:
        value = str(value)
    number, unit = _split(value) if isinstance(value, str) else ("", "")
    if number and not unit:
        fitting = [name for name in reversed(units) if low <= Decimal(number) * units[name] <= high]
        raise ValueFault("has no unit", " or ".join(f'"{number}{name}"' for name in fitting[:2]) or form)
    if unit not in units:
        raise ValueFault("is not a number with a unit", form)
    amount = Decimal(number) * units[unit]
    if not low <= amount <= high:
        raise ValueFault("is out of range", f'"{limits[0]}" to "{limits[1]}"{or_else}')
    return amount


def _split(text: str) -> tuple[str, str]:
    """The number and the unit; both empty if it does not begin with a number."""
    found = _AMOUNT.fullmatch(text)
    return (found[1], found[2]) if found else ("", "")


def tcp_port(value: object) -> int:
    """A TCP port to listen on."""
    return integer(value, 1, 65535)


def address(value: object) -> str:
    """An IP address to listen on, in its shortest spelling. Names are refused: a gateway starts before DNS does."""
    allowed = 'an address of this machine, or "::" for all of them (IPv4 too), or "0.0.0.0" for all of IPv4'
    typed(value, str, allowed)
    text = str(value)
    try:
        return str(ip_address(text))
    except ValueError as error:
        if text.lower() == "localhost":
            raise ValueFault("is a name, and an address stands here", '"127.0.0.1"') from error
        if text.lower() in _EVERYWHERE:
            raise ValueFault("is not an IPv4 or IPv6 address", '"::", which is all addresses') from error
        alone, port = _parted(text)
        if alone and port:
            reason = "is an address with a port, and an address alone stands here"
            raise ValueFault(reason, f'"{alone}"; the port belongs to a service, as in listen = {port}') from error
        if alone:
            raise ValueFault(
                "is a network or stands in brackets, and an address alone stands here", f'"{alone}"'
            ) from error
        raise ValueFault("is not an IPv4 or IPv6 address", allowed) from error


def _parted(text: str) -> tuple[str, str]:
    """The address, and the port, in a text that has an address and more; else nothing."""
    match = re.fullmatch(
        r"(?:[a-z+]+://)?(\[[0-9a-fA-F:.]+\]|[0-9.]+|[0-9a-fA-F:]+)(?::([0-9]{1,5}))?(?:/[0-9]{0,3})?", text
    )
    try:
        return (str(ip_address(match[1].strip("[]"))), match[2] or "") if match else ("", "")
    except ValueError:
        return "", ""


def endpoint(value: object, usual: int = 9550) -> Endpoint:
    """Where to listen, from "address:port" or "[v6]:port"; `usual` is the port to name where there is none."""
    if re.fullmatch("[0-9]{1,5}", str(value)):
        raise ValueFault("has no address", f'"127.0.0.1:{value}" or "[::]:{value}"')
    typed(value, str, _AN_ENDPOINT)
    host, colon, port = str(value).rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        found = str(ip_address(host[1:-1] if bracketed else host))
    except ValueError as error:
        raise _no_endpoint(str(value), host, port if colon else "", usual) from error
    if (":" in found) is not bracketed:
        right = f'"[{host}]:{port}"' if not bracketed else f'"{found}:{port}"'
        raise ValueFault("IPv6 addresses stand in brackets, IPv4 addresses do not", right)
    if not colon or not re.fullmatch("[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueFault("the port is out of range", "1 to 65535")
    return Endpoint(found, int(port))


def _no_endpoint(text: str, host: str, port: str, usual: int) -> ValueFault:
    """What to say of a text that should be an address with a port, in two parts at its last colon."""
    alone, there = _parted(text)
    if alone and there:
        return ValueFault("is a URL, and an address with a port stands here", f'"{Endpoint(alone, int(there))}"')
    if alone:
        return ValueFault("has no port", f'"{Endpoint(alone, usual)}"')
    if not re.fullmatch("[0-9]{1,5}", port):
        return ValueFault("is not an address with a port", _AN_ENDPOINT)
    if host.lower().removeprefix("tcp://") in _EVERYWHERE:
        return ValueFault("is not an address with a port", f'"[::]:{port}", which is all addresses')
    if host.lower() == "localhost":
        return ValueFault("has a name where an address stands", f'"127.0.0.1:{port}"')
    if _HOST.fullmatch(host.lower()):
        reason = "has a name where an address of this machine stands"
        return ValueFault(reason, f'"[::]:{port}" for all addresses, "127.0.0.1:{port}" for this machine alone')
    return ValueFault("is not an address with a port", _AN_ENDPOINT)


def listener(value: object) -> int | Endpoint:
    """Where a service listens: a port alone, or "address:port"."""
    if isinstance(value, str) and (match := re.fullmatch(r"(.*?):?([1-9][0-9]{0,4})", value)):
        host = match[1].lower().removeprefix("tcp://")
        if host in _EVERYWHERE and ":" in value:
            raise ValueFault("is all addresses, for which a port alone stands", match[2])
    if isinstance(value, str) and (match := re.fullmatch(r"([1-9][0-9]{0,4})\s*(-|,|\s)\s*([1-9][0-9]{0,4})", value)):
        dots = ", ..." if match[2] == "-" and int(match[3]) > int(match[1]) + 1 else ""
        raise ValueFault("is several ports, which stand in an array", f"[{match[1]}{dots}, {match[3]}]")
    if isinstance(value, str) and re.fullmatch("[1-9][0-9]{0,4}", value):
        raise ValueFault("a port alone stands without quotes", value)
    if isinstance(value, str):
        return endpoint(value, 4001)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueFault(f"must be a port or an address with a port, not {kind(value)}", f"4001 or {_AN_ENDPOINT}")
    return tcp_port(value)


def host(text: str, allowed: str) -> str:
    """A host's name or address, IPv6 in brackets, in its usual spelling."""
    bracketed = text.startswith("[")
    try:
        found = ip_address(text.strip("[]"))
    except ValueError as error:
        name = text.lower().removesuffix(".")
        # A name whose last part is a number would be an address with a mistake (RFC 1123, 2.1).
        if len(name) > 253 or not _HOST.fullmatch(name) or re.search(r"(?:^|\.)[0-9]+$", name):
            raise ValueFault("is neither an address nor a host's name", allowed) from error
        return name
    if found.is_unspecified or bracketed is not (found.version == 6):
        raise ValueFault("is no address of a host", allowed)
    return str(found)


def network(value: object) -> Network:
    """A network, or the network of one address."""
    allowed = 'an address or a network, as in "192.168.0.0/16" or "fd00::/8"'
    typed(value, str, allowed)
    try:
        meant = ip_network(str(value), strict=False)
    except ValueError as error:
        raise ValueFault("is not a network", _network_meant(str(value)) or allowed) from error
    alone = str(value).partition("/")[0]
    if meant.network_address != ip_address(alone):
        raise ValueFault("has bits set behind its prefix", f'"{meant}" for the network, "{alone}" for the one address')
    mapped = getattr(meant.network_address, "ipv4_mapped", None)
    if mapped is not None and meant.prefixlen >= 96:
        # A client's address is compared as the IPv4 address that it is.
        raise ValueFault("is an IPv4 network in IPv6 spelling", f'"{mapped}/{meant.prefixlen - 96}"')
    return meant


def _network_meant(text: str) -> str:
    """What to write instead of something that is no network; empty if nobody knows."""
    if text.lower() in _EVERYWHERE:
        return "no such line for anyone"
    if text.lower() == "localhost":
        return '"127.0.0.1", "::1"'
    if match := re.fullmatch(r"((?:[0-9]{1,3}\.){1,3})\*(?:\.\*)*", text):
        parts = match[1].split(".")[:-1]
        return f'"{".".join([*parts, "0", "0", "0"][:4])}/{8 * len(parts)}"'
    if match := re.fullmatch(r"([0-9.]+)\s*-\s*([0-9.]+)", text):
        try:
            first, last = ip_address(match[1]), ip_address(match[2])
            networks = list(islice(summarize_address_range(first, last), 5))
        except (TypeError, ValueError):
            return ""
        return ", ".join(f'"{network}"' for network in networks) if len(networks) < 5 else ""
    alone, port = _parted(text)
    return f'"{alone}": clients come from any port' if alone and port else ""
