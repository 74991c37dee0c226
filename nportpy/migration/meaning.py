"""What a connection of ser2net's is here: a line and a service on it, and a remark for each thing without an equal."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address

from nportpy.config.toml import toml_text
from nportpy.config.values import duration_text
from nportpy.linesettings import LineSettings
from nportpy.migration import gensio
from nportpy.migration.format import Format
from nportpy.migration.options import Options
from nportpy.migration.source import Connection, Notes, Remark, Text, switch
from nportpy.modes.tcp_client_base import MOST_DESTINATIONS

_LONGEST_TIMEOUT = 7 * 86400.0  # seconds; what `inactivity` takes
_LONGEST_RS485_DELAY = 100  # milliseconds; what the kernel takes
_FOR_EVER = 86400.0  # seconds; the longest reply_time
_NO_REMARK = frozenset(("readbuf", "reuseaddr", "nodelay", "custspeed", "nouucplock", "nobreak"))


@dataclass(slots=True)
class Service:
    """A service: its kind is its table's name. It listens nowhere if it calls."""

    kind: str
    listen: list[int | str]
    keys: dict[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class Line:
    """A connection as it is here.

    Attributes:
        name: ser2net's alias.
        line: where it stands.
        device: path or URL; empty if it cannot be had here.
        keys: of the port's table, the device aside.
        character_time: seconds that a character takes on it.
        services: who may come in, and who is called; none if that cannot be had here.
        remarks: what has no equal.
        left_out: why it is not served; empty if it is.
        enabled: whether ser2net served it.
    """

    name: str
    line: int
    device: str = ""
    keys: dict[str, object] = field(default_factory=dict)
    character_time: float = LineSettings().character_time
    services: list[Service] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    left_out: str = ""
    enabled: bool = True

    def remark(self, line: int, text: str) -> None:
        """Something has no equal."""
        self.remarks.append(Remark(line, text))


def understand(connection: Connection, notes: Notes) -> Line | None:
    """What a connection is here; None if something must not be guessed, or could not be read: `notes` say what."""
    with notes.of(connection.name, connection.line):
        line = _understood(connection, notes)
    return None if any(each.line == connection.line for each in notes.left_out) else line


def _understood(connection: Connection, notes: Notes) -> Line:
    line = Line(connection.name, connection.line, enabled=connection.enabled)
    _Connector(connection, line, notes).read()
    _Accepter(connection, line, notes).read()
    for service in line.services:
        Options(connection, service.keys, line.remarks, notes).read(service.kind, line.character_time)
        _timeout(connection, line, service, notes)
    _calls(connection, line, notes)
    return line


def _timeout(connection: Connection, line: Line, service: Service, notes: Notes) -> None:
    timeout = connection.timeout
    if timeout is None:
        return
    if not re.fullmatch(r"\d{1,18}", timeout.text.strip()):
        notes.fault(timeout.line, f"{connection.name}.timeout", f"is no number of seconds: {timeout.text}")
        return
    seconds = float(int(timeout.text))
    longest = _FOR_EVER if service.kind == "udp" else _LONGEST_TIMEOUT
    if seconds > longest:
        line.remark(timeout.line, f"timeout: {timeout.text}: the longest is {duration_text(longest)}")
        seconds = longest
    if service.kind == "udp":
        service.keys["reply_time"] = duration_text(seconds or _FOR_EVER)
    elif seconds:
        service.keys["inactivity"] = duration_text(seconds)


def _calls(connection: Connection, line: Line, notes: Notes) -> None:
    """Hosts that ser2net connects to when the line says something; each has the place of a client."""
    hosts: list[object] = []
    for option in connection.options:
        for text in filter(None, (part.strip() for part in option.value.split(";") if option.name == "connback")):
            try:
                stack = gensio.parse(text)
            except ValueError as error:
                notes.fault(option.line, f"{connection.name}.connback = {toml_text(text)}", str(error))
                continue
            if stack.filters or stack.terminal.name != "tcp" or len(stack.arguments) != 2:
                line.remark(option.line, f"connback = {toml_text(text)}: TCP client calls hosts in plain TCP")
            elif len(hosts) == MOST_DESTINATIONS:
                line.remark(option.line, f"connback = {toml_text(text)}: the most is {MOST_DESTINATIONS}")
            else:
                hosts.append(f"{_bracketed(stack.arguments[0])}:{stack.arguments[1]}")
    if not hosts or not line.services or line.services[0].kind == "udp":
        return
    listener = line.services[0]
    keys: dict[str, object] = {"to": hosts, "connect": "any_character"}
    if "inactivity" in listener.keys:
        keys |= {"disconnect": "inactivity", "inactivity": listener.keys["inactivity"]}
    keys |= {key: listener.keys[key] for key in ("packing", "direction") if key in listener.keys}
    line.services.append(Service("tcp_client", [], keys))
    places = listener.keys.get("max_clients", 1)
    if isinstance(places, int):
        listener.keys["max_clients"] = places - len(hosts)
        if places <= len(hosts):
            del line.services[0]  # nobody else has a place


class _Half:
    """What the two strings of a connection have in common."""

    def __init__(self, connection: Connection, line: Line, notes: Notes) -> None:
        self._connection = connection
        self._line = line
        self._notes = notes

    def _parsed(self, text: Text, key: str) -> gensio.Stack | None:
        try:
            return gensio.parse(text.text)
        except ValueError as error:
            self._notes.fault(text.line, f"{self._connection.name}.{key} = {toml_text(text.text)}", str(error))
            return None

    def _switched(self, text: Text, value: str | None, kind: str, name: str) -> bool:
        """A switch of a layer, or its default; off if neither says anything."""
        value = self._connection.default(kind, name) if value is None else value
        if value is None:
            return False
        on = switch(value)
        if on is None:
            self._notes.fault(text.line, f"{self._connection.name}: {name}={value}", "is neither true nor false")
        return bool(on)

    def _unused(self, text: Text, layer: gensio.Layer, known: Iterable[str]) -> None:
        for name, value in layer.options:
            if name not in known and name not in _NO_REMARK:
                shown = f"{name}={value}" if value else name
                self._line.remark(text.line, f"{shown} of {layer.name}: no equal")


class _Accepter(_Half):
    """Who may come in."""

    def read(self) -> None:
        text = self._connection.accepter
        stack = self._parsed(text, "accepter")
        if stack is None:
            return
        layers = [*(layer.name for layer in stack.filters), stack.terminal.name]
        strange = [name for name in layers if name not in ("telnet", "tcp")]
        if layers == ["udp"]:
            keys: dict[str, object] = {"reply_to_last": True, "reply_time": duration_text(_FOR_EVER)}
            service = Service("udp", self._listen(text, stack.arguments), keys)
            self._line.remark(text.line, "udp: what the line says goes to whoever spoke last")
        elif strange:
            self._line.left_out = f"its accepter needs {', '.join(strange)}, which has no equal"
            if {"ssl", "certauth"} & set(strange):
                self._line.left_out += ": there is no encryption and no login; a VPN and `allow` are the way"
            return
        elif (telnet := stack.filter("telnet")) is None:
            service = Service("raw", self._listen(text, stack.arguments))
        else:
            service = Service("rfc2217", self._listen(text, stack.arguments))
            self._telnet(text, telnet, service)
        self._line.services = [service]
        self._unused(text, stack.terminal, ())
        if switch(stack.terminal.option("nodelay") or "") is False:
            self._line.remark(text.line, "nodelay=false: small segments are never held back here")

    def _telnet(self, text: Text, telnet: gensio.Layer, service: Service) -> None:
        self._unused(text, telnet, ("rfc2217",))
        if not self._switched(text, telnet.option("rfc2217"), "telnet", "rfc2217"):
            service.keys["control"] = "none"
            self._line.remark(
                text.line, "telnet without rfc2217: the same telnet; settings that a client asks for are not done"
            )

    def _listen(self, text: Text, arguments: Iterable[str]) -> list[int | str]:
        """Where to listen, from [[protocol,]host,]port and more of the kind."""
        found: list[int | str] = []
        host, protocol = "", ""
        faults = len(self._notes.faults)
        for argument in arguments:
            if argument in ("ipv4", "ipv6", "ipv6n4"):
                protocol = argument
            elif re.fullmatch(r"\d{1,5}", argument):
                if protocol == "ipv6" and not host:
                    self._line.remark(text.line, "ipv6 without an address: IPv4 hosts may come, too; see `allow`")
                place = self._place(text, host or {"ipv4": "0.0.0.0"}.get(protocol, ""), int(argument))  # noqa: S104
                found += [] if place is None else [place]
                host, protocol = "", ""
            elif host:
                self._fault(text, f"{argument} is no port by number")
                return found
            else:
                host = argument
        if host or (not found and len(self._notes.faults) == faults):
            self._fault(text, f"{host} is no port by number" if host else "has no port")
        return found

    def _place(self, text: Text, host: str, port: int) -> int | str | None:
        if not 1 <= port <= 65535:
            self._fault(text, f"port {port} is no port that can be listened on", "1 to 65535")
            return None
        if not host:
            return port
        if host == "localhost":
            host = "127.0.0.1"
        try:
            address = ip_address(host.removeprefix("[").removesuffix("]"))
        except ValueError:
            self._fault(text, f"{host} is a name: here a service listens on an address", f'"192.168.0.7,{port}"')
            return None
        return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"

    def _fault(self, text: Text, reason: str, allowed: str = "") -> None:
        self._notes.fault(text.line, f"{self._connection.name}.accepter = {toml_text(text.text)}", reason, allowed)


class _Connector(_Half):
    """What is at the other end."""

    def read(self) -> None:
        text = self._connection.connector
        stack = self._parsed(text, "connector")
        if stack is None:
            return
        # keepopen is what a line here always is: opened again for as long as it takes
        filters = [layer for layer in stack.filters if layer.name != "keepopen"]
        match ([layer.name for layer in filters], stack.terminal.name, stack.arguments):
            case [], "serialdev", (device, *options):
                self._serial(text, stack.terminal, device, options)
            case [], "echo", _:
                self._line.device = "loop://"
            case [], "tcp", (host, port):
                self._line.device = f"socket://{_bracketed(host)}:{port}"
            case ["telnet"], "tcp", (host, port) if self._switched(
                text, filters[0].option("rfc2217"), "telnet", "rfc2217"
            ):
                self._line.device = f"rfc2217://{_bracketed(host)}:{port}"
            case names, terminal, _:
                self._line.left_out = f"its connector is {', '.join([*names, terminal])}, which has no equal"

    def _serial(self, text: Text, terminal: gensio.Layer, device: str, options: list[str]) -> None:
        name = self._connection.name
        if re.search(r"\s", device) or not device.startswith("/"):
            missing = "has a space: is a comma missing before the speed?" if " " in device else "is no whole path"
            self._notes.fault(
                text.line, f"{name}.connector: {toml_text(device)}", missing, "serialdev,/dev/...,9600n81"
            )
            return
        self._line.device = device
        self._unused(text, terminal, ())
        form = Format()  # 9600n81, as in gensio(5)
        usual = self._connection.default("serialdev", "speed")
        if usual and not form.take(usual):
            self._notes.fault(
                text.line, f"{name}.connector", f"has a default speed that cannot be read: {usual}", "9600n81"
            )
            return
        words: dict[str, str] = {}
        for option in ("local", "xonxoff", "rtscts", "hangup-when-done", "dtr", "rts", "rs485", "wronly"):
            default = self._connection.default("serialdev", option)
            if default is not None:
                words[option] = default
        for word in " ".join(options).split():
            if not form.take(word):
                key, equals, value = word.removeprefix("-").partition("=")
                off = word.startswith("-")  # as it was before version 4
                words[key.lower().replace("_", "-")] = value if equals else "false" if off else ""
        self._settings(text, form, words)

    def _settings(self, text: Text, form: Format, words: dict[str, str]) -> None:
        keys = self._line.keys
        try:
            settings = form.settings()
        except ValueError as error:
            self._notes.fault(text.line, f"{self._connection.name}.connector", str(error), "9600n81")
            return
        keys |= {"baudrate": settings.baudrate, "format": settings.format}
        self._line.character_time = settings.character_time
        flows = [name for name in ("rtscts", "xonxoff") if self._word(text, words, name)]
        if flows:
            keys["flow"] = flows[0]
        if len(flows) > 1:
            self._line.remark(text.line, "xonxoff beside rtscts: one flow control at a time")
        if not self._word(text, words, "local"):
            self._line.remark(
                text.line, "without local, ser2net hung up when DCD dropped: here modem inputs are ignored"
            )
        if self._word(text, words, "hangup-when-done"):
            keys["on_close"] = "drop"
        if self._word(text, words, "wronly"):
            self._line.left_out = "its device is written to as it is (wronly, rawlp), and here each is a serial line"
        for name in ("dtr", "rts"):
            if name in words:
                keys[name] = "on" if self._word(text, words, name) else "off"
        if "rs485" in words:
            self._rs485(text, words.pop("rs485"))
        for name, value in words.items():
            if name not in _NO_REMARK:
                shown = f"{name}={value}" if value else name
                self._line.remark(text.line, f"{shown}: no equal among the settings of a line")

    def _word(self, text: Text, words: dict[str, str], name: str) -> bool:
        return name in words and self._switched(text, words.pop(name), "", "")

    def _rs485(self, text: Text, value: str) -> None:
        if value in ("off", ""):
            self._line.keys["rs485"] = "off"
            return
        before, after, *details = [*value.split(":"), ""]
        if not (before.isdecimal() and after.isdecimal()):
            self._notes.fault(text.line, f"{self._connection.name}: rs485={value}", "has no delays", "before:after:...")
            return
        table: dict[str, object] = {}
        for key, delay in (("delay_before", int(before)), ("delay_after", int(after))):
            if delay > _LONGEST_RS485_DELAY:
                self._line.remark(
                    text.line, f"rs485: {delay} ms: the kernel's longest delay is {_LONGEST_RS485_DELAY} ms"
                )
            table[key] = f"{min(delay, _LONGEST_RS485_DELAY)}ms"
        given = set(filter(None, details))
        table["rts_on_send"] = "rts_on_send" in given
        table["rx_during_tx"] = "rx_during_tx" in given
        if "terminate_bus" in given:
            table["termination"] = True
        if {"rts_on_send", "rts_after_send"} <= given:
            self._line.remark(text.line, "rs485: rts_after_send: RTS falls after sending if it rises for it")
        self._line.keys["rs485"] = table


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
