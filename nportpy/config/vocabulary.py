"""What other servers call it: the words of an NPort's pages, of an MGate's, of ser2net's and mbusd's files, and ours.

A key that is unknown here and known there is answered with the line to write instead, its value taken along, and the
table that this line belongs into.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from nportpy.config.schema import table_at
from nportpy.config.toml import Path, key_path, toml_text
from nportpy.config.values import PARITIES, duration, duration_text, flow_meant, format_meant

Keys = dict[str, object]
"""A table as tomllib gave it."""

MODES: Final = {
    "raw": ("tcp server", "tcpserver", "tcp", "raw", "socket", "server", "tcp socket", "raw tcp", "rawlp", "tcp raw"),
    "rfc2217": ("rfc 2217", "rfc2217", "telnet", "com port", "comport", "pair slave", "pair connection slave"),
    "realcom": ("real com", "realcom", "real com mode", "driver", "reverse real com"),
    "tcp_client": ("tcp client", "tcpclient", "client"),
    "udp": ("udp", "udp mode", "udp server", "udp client"),
    "pair": ("pair", "pair connection", "pair master", "pair connection master", "paired"),
    "modem": ("modem", "ethernet modem"),
    "reverse_telnet": ("reverse telnet", "reverse terminal", "terminal", "terminal ascii", "console"),
    "modbus": (
        "modbus", "modbus tcp", "modbus rtu", "modbus ascii", "modbus gateway", "modbus server", "rtu", "gateway",
        "rtu slave", "rtu slave mode", "ascii slave", "ascii slave mode", "mbusd", "modbus slave", "modbus tcp server",
    ),
    "modbus_master": ("rtu master", "rtu master mode", "ascii master", "ascii master mode", "modbus master"),
}  # fmt: skip
"""Our tables, and what the modes that they are for are called elsewhere."""

_TABLE_OF = {word: table for table, words in MODES.items() for word in words}
_WANTS = {
    "tcp_client": 'to = "192.0.2.10:4001"',
    "pair": 'to = "192.0.2.10:4001"',
    "modbus": "listen = 502",
    "rfc2217": "listen = 5001",
    "realcom": "",
    "modbus_master": 'routes = [{ units = "1-31", port = "NAME" }]',
}

_DATA = ("data bits", "databits", "data bit", "bytesize", "byte size", "bits", "char size", "character size", "data")
_PARITY = ("parity", "parity bit", "parity check")
_STOP = ("stop bits", "stopbits", "stop bit", "stop")


def plain(word: object) -> str:
    """A word as all spell it: small letters, blanks between."""
    return re.sub(r"[\s_-]+", " ", str(word)).strip().lower()


def meant(path: Path, value: object, table: Keys, data: Keys) -> str | None:
    """What to write for an unknown key.

    Args:
        path: where it stands.
        value: its value.
        table: the table that it stands in.
        data: the whole file.

    Returns:
        The line or the table, and where it belongs, if that is another place; None: nobody knows the word.
    """
    word = plain(path[-1])
    where = [step for step in path[:-1] if isinstance(step, str)]
    for known in (_table, _of_line, _of_service, _without_equal):
        text = known(word, value, where, table, data)
        if text is not None:
            return text
    return None


def _port_of(where: list[str]) -> str:
    return where[1] if where[:1] == ["port"] and len(where) > 1 else "NAME"


def _named(*steps: str) -> str:
    return f"[{key_path(steps)}]"


# Modes are tables.


_MODE_WORDS = (
    "mode", "operation mode", "operating mode", "op mode", "opmode", "type", "application", "protocol", "service",
)  # fmt: skip


def _table(word: str, value: object, where: list[str], _table: Keys, _data: Keys) -> str | None:
    port = _port_of(where)
    if where and where[0] == "port" and len(where) == 2:
        if word in (
            "mode",
            "operation mode",
            "operating mode",
            "op mode",
            "opmode",
            "type",
            "application",
            "protocol",
            "service",
        ):
            if found := format_meant(value):  # mbusd's
                return f"format = {toml_text(found)}"
            return _mode_table(_TABLE_OF.get(plain(value)), port)
        if isinstance(value, (dict, list)) and word in _TABLE_OF:
            return _mode_table(_TABLE_OF[word], port)
    if not where and word in _MODE_WORDS and (found := format_meant(value)):
        return f"format = {toml_text(found)} in [port.NAME]"
    if not where and isinstance(value, dict):
        if re.fullmatch(r"(?:port|modbus)\.[A-Za-z0-9._ -]+", word):
            return f"[{path_name(word, _data)}], without quotes"
        if "device" in value:
            return _named("port", str(path_name(word, _data)))
        if word in ("serial", "serial port", "ports", "line", "lines", "uart", "tty"):
            return "[port.NAME], one table for each serial line"
        if word in _TABLE_OF:
            return f"{_named('port', 'NAME', _TABLE_OF[word])}, below a [port.NAME] with its device"
        if word in ("network", "server", "general", "main", "global", "system"):
            return "[gateway]"
    return None


def path_name(word: str, data: Keys) -> str:
    """The key of a file that reads `word` in small letters."""
    return next((key for key in data if plain(key) == word), word)


def _mode_table(found: str | None, port: str) -> str:
    if found is None:
        kinds = ", ".join(_named("port", port, kind) for kind in MODES)
        return f"a mode is a table of its own: {kinds}"
    wants = _WANTS.get(found, "listen = 4001")
    return (
        f"{_named('port', port, found)}{f' with a line such as {wants}' if wants else ''}: a mode is a table of its own"
    )


# What describes the line.


def _of_line(word: str, value: object, where: list[str], table: Keys, _data: Keys) -> str | None:
    text = _line_text(word, value, table)
    if text is None:
        return None
    if len(where) == 2 and where[0] == "port":
        return text
    return f"{text} in {_named('port', _port_of(where))}"


def _line_text(word: str, value: object, table: Keys) -> str | None:
    if word in ("baud", "baud rate", "speed", "bps", "bitrate", "bit rate", "baudrate"):
        digits = re.match(r"\d+", str(value))
        form = re.search(r"[A-Za-z]+[5-8][12]|[5-8][A-Za-z][12]", str(value)[len(digits[0]) :]) if digits else None
        also = f", format = {toml_text(format_meant(form[0]))}" if form and format_meant(form[0]) else ""
        return f"baudrate = {digits[0] if digits else 9600}{also}"
    if word in (*_DATA, *_PARITY, *_STOP):
        return f"format = {toml_text(_format_of(table))}"
    if word in ("flow control", "flowcontrol", "flowctrl", "flow ctrl", "handshake", "handshaking"):
        known = flow_meant(value) or "none"
        return f"flow = {toml_text(known)}"
    if word in ("rtscts", "xonxoff", "dsrdtr") and isinstance(value, (bool, int)):
        return f"flow = {toml_text(word if value else 'none')}"
    if word in (
        "interface",
        "interface type",
        "interface mode",
        "serial interface",
        "port type",
        "serial mode",
        "serial type",
    ):
        if re.search(r"485|2.?wire", str(value)):
            return 'rs485 = "on", where the kernel driver switches the direction; no such line where the board does'
        return "no such line: RS-232 or RS-422 is the wiring of the board"
    if word in ("trx control", "trx cntl", "trx", "rs485 mode", "rs 485", "direction control", "rts toggle"):
        return 'rs485 = "on"' if value and plain(value) not in ("addc", "off", "none") else 'rs485 = "keep"'
    if word in ("tty", "serial port", "serial device", "com", "com port", "dev", "path", "file", "connector") or (
        word == "port" and isinstance(value, str) and not value.isdigit()
    ):
        device = re.search(r"/dev/[^\s,\"]+", str(value))
        return f"device = {toml_text(device[0] if device else '/dev/ttyUSB0')}"
    if word in ("alias", "port alias", "description", "title", "label"):
        return "NAME in [port.NAME]"
    if word in ("trace read", "trace write", "trace both", "tr", "tw", "tb", "data log", "serial data log", "debug"):
        return "trace = true"
    if word in ("port buffering", "buffering"):
        return 'buffer = "64KiB"'
    if word in ("terminator", "termination"):
        return "rs485 = { termination = true }"
    return None


def _format_of(table: Keys) -> str:
    """The format that the keys of a table describe."""
    found = {plain(key): value for key, value in table.items()}

    def first(words: tuple[str, ...]) -> str:
        return next((plain(found[word]) for word in words if word in found), "")

    data, stop = re.match(r"[5-8]", first(_DATA)), re.match(r"1\.5|[12]", first(_STOP))
    return f"{data[0] if data else 8}{PARITIES.get(first(_PARITY), 'N')}{stop[0] if stop else 1}"


# What describes a service.


def _time(unit: str) -> Callable[[object], str]:
    def text(value: object) -> str:
        amount = re.fullmatch(r"(\d+)\s*(ms|s|min|h|d)?", str(value))
        if amount is None:
            return toml_text(f"5{unit}")
        seconds = duration(amount[1][-9:] + (amount[2] or unit), "0s", "1000000000d")
        return toml_text(duration_text(seconds) if seconds else "off")

    return text


def _number(default: int) -> Callable[[object], str]:
    def text(value: object) -> str:
        found = re.search(r"(?:^|[:,\s])([1-9]\d*)$", str(value)) if not isinstance(value, bool) else None
        return found[1] if found else str(default)

    return text


def _fixed(text: str) -> Callable[[object], str]:
    return lambda _value: text


def _text_or(default: str) -> Callable[[object], str]:
    return lambda value: toml_text(value if isinstance(value, str) and value else default)


def _listed(value: object) -> str:
    found = value if isinstance(value, list) else re.split(r"[\s,;]+", str(value))
    good = [str(item) for item in found if re.fullmatch(r"[0-9a-fA-F.:/]*[.:][0-9a-fA-F.:/]*", str(item))]
    return toml_text(good or ["192.168.0.0/16"])


_LISTENERS = ("raw", "rfc2217", "realcom", "modbus", "reverse_telnet", "modem")
_PACKED = ("raw", "rfc2217", "tcp_client", "udp", "pair", "realcom")


@dataclass(frozen=True, slots=True)
class _Word:
    """A key of services: ours, in which tables it stands, how a value is written, and what it is called elsewhere."""

    ours: str
    tables: tuple[str, ...]
    written: Callable[[object], str]
    others: tuple[str, ...]


def _packing(key: str, written: Callable[[object], str]) -> Callable[[object], str]:
    return lambda value: f"{{ {key} = {written(value)} }}"


_SERVICE = (
    _Word("listen", ("raw", "rfc2217", "modbus", "udp", "reverse_telnet", "modem"), _number(4001), (
        "tcp port", "local port", "local tcp port", "listen port", "localport", "tcpport", "port", "port number",
        "server port", "local listen port", "accepter", "listen", "bind", "address", "data port", "rfc2217 port",
    )),
    _Word("command", ("realcom",), _number(966), ("command port", "cmd port", "local command port")),
    _Word("max_clients", _LISTENERS, _number(4), (
        "max connection", "max connections", "max conn", "maxconn", "maxconnections", "maximum connections",
        "max client", "connections", "max users",
    )),
    _Word("inactivity", ("raw", "rfc2217", "realcom", "reverse_telnet", "tcp_client", "modem"), _time("ms"), (
        "inactivity time", "inactivity timeout",
    )),
    _Word("inactivity", ("raw", "rfc2217", "realcom", "reverse_telnet", "tcp_client", "modem"), _time("s"), (
        "timeout", "idle timeout", "idle time", "tcp timeout",
    )),
    _Word("alive_check", (*_LISTENERS, "tcp_client", "pair"), _time("min"), (
        "tcp alive check", "tcp alive check time", "alive check time", "keepalive", "keep alive", "tcp keepalive",
    )),
    _Word("when_full", _LISTENERS, _fixed('"kick_oldest"'), ("kickolduser", "kick old user", "kick")),
    _Word("when_jammed", ("raw", "rfc2217", "realcom", "tcp_client"), _fixed('"skip"'), ("ignore jammed ip", "jammed")),
    _Word("to", ("tcp_client", "udp", "pair"), _text_or("192.0.2.10:4001"), (
        "destination", "destination ip", "destination address", "destination ip address", "dest ip", "remote host",
        "remote", "remote address", "host", "server",
    )),
    _Word("allow", _LISTENERS, _listed, (
        "accessible ip", "accessible ip list", "accessible ips", "allowed ips", "allowed hosts", "allow from",
        "whitelist", "white list", "ip filter", "hosts allow",
    )),
    _Word("packing", _PACKED, _packing("length", _number(64)), ("packing length", "packet length")),
    _Word("packing", _PACKED, _packing("delimiters", _fixed('"0D 0A"')), (
        "delimiter", "delimiter 1", "delimiter1", "delimiter 2", "delimiter2",
    )),
    _Word("packing", _PACKED, _fixed('{ delimiters = "0D 0A", delimiting = "strip" }'), ("delimiter process",)),
    _Word("packing", _PACKED, _packing("force_transmit", _time("ms")), (
        "force transmit", "force tx", "chardelay", "chardelay max",
    )),
    _Word("connect", ("tcp_client",), _fixed('"any_character"'), ("connection control", "connect on", "connect mode")),
    _Word("commands", ("raw",), _fixed("true"), ("command by command", "command mode")),
    _Word("timeout", ("modbus",), _time("ms"), (
        "response timeout", "wait", "reply timeout", "slave timeout", "modbus timeout",
    )),
    _Word("silence", ("modbus",), _time("ms"), (
        "inter frame delay", "interframe delay", "frame delay", "inter frame timeout", "pause", "t35", "t3.5",
    )),
    _Word("character_timeout", ("modbus",), _time("ms"), (
        "inter character timeout", "inter char timeout", "char timeout", "character delay",
    )),
    _Word("retries", ("modbus",), _number(1), ("retry", "maxretry", "max retry", "retry count", "number of retries")),
    _Word("framing", ("modbus",), lambda value: toml_text("ascii" if "ascii" in plain(value) else "rtu"), (
        "modbus mode", "modbus protocol", "transmission mode",
    )),
    _Word("unrouted", ("modbus",), lambda value: toml_text("exception" if value else "silence"), (
        "exception", "modbus tcp exception", "modbus exception",
    )),
)  # fmt: skip


def _of_service(word: str, value: object, where: list[str], _table: Keys, data: Keys) -> str | None:
    here = where[2] if len(where) == 3 and where[0] == "port" else ""
    for known in _SERVICE:
        if word not in known.others:
            continue
        text = f"{known.ours} = {known.written(value)}"
        if where and where[0] != "port":
            if known.ours in table_at(tuple(where))[1].model_fields:
                return text
            continue
        if (here and (here not in known.tables or known.ours == word)) or (word == "timeout" and not here):
            continue
        return text if here else f"{text} in {_service_of(where, known.tables, data)}"
    if word in ("slave id map", "slave id", "slave ids", "id map", "unit id", "slave map") and where[:1] == ["modbus"]:
        return 'routes = [{ units = "1-31", port = "NAME" }]'
    return None


def _service_of(where: list[str], tables: tuple[str, ...], data: Keys) -> str:
    """The table of a port that is there already, or the commonest."""
    port = _port_of(where)
    ports = data.get("port")
    there = ports.get(port) if isinstance(ports, dict) else None
    found = next((kind for kind in tables if isinstance(there, dict) and kind in there), tables[0])
    return _named("port", port, found)


_NO_EQUAL = (
    "logfile", "log file", "syslog", "pidfile", "pid file", "daemon", "lockfile", "banner", "openstr", "closestr",
    "rotator", "led rx", "led tx", "fifo", "password", "username", "web console", "telnet console",
)  # fmt: skip


def _without_equal(word: str, _value: object, where: list[str], _table: Keys, _data: Keys) -> str | None:
    if word in ("loglevel", "log level", "verbosity", "verbose"):
        return 'level = "info" in [log]'
    if word in _NO_EQUAL:
        return "no such line: it has no equal here"
    if word in ("ip", "ip address", "netmask", "subnet", "gateway", "dhcp", "dns", "ip config") and where in (
        [],
        ["gateway"],
    ):
        return "no such line: addresses are the operating system's to set"
    if word in ("connection", "connections", "accepter") and not where:
        return "tables [port.NAME]; of a file of ser2net's, nportpy import makes them"
    return None
