"""ser2net.conf, a line for each port: what ser2net read before version 4 (ser2net(8) of 3.5).

    [host,]port:state:timeout:device:options

A line becomes the connection that ser2net.yaml would have for it.
"""

import re
from collections.abc import Iterable, Iterator

from nportpy.migration.format import Format
from nportpy.migration.source import Connection, Notes, Option, Text, switch

FORM = "ser2net.conf"

_PORT_LINE = re.compile(r"(?P<accepter>[^:\s][^:]*):(?P<state>\w+):(?P<timeout>[^:]*):(?P<rest>.*)")
_STATES = ("raw", "rawlp", "telnet", "off")
# NAME:name:text, used by that name in a port's options.
_NAMED = frozenset(("BANNER", "OPENSTR", "CLOSESTR", "CLOSEON", "SIGNATURE", "TRACEFILE", "RS485CONF"))
_WITHOUT_EQUAL = {
    "CONTROLPORT": "no administration port: GET /api/v1/status of [http] shows what is going on",
    "LED": "no LEDs are driven; what goes over a line is counted in /metrics",
    "ROTATOR": "no rotator: each port has its own TCP port",
}
_SWITCHES = frozenset(("XONXOFF", "RTSCTS", "LOCAL", "HANGUP_WHEN_DONE", "NOBREAK"))
_TRACES = {"tr": "trace-read", "tw": "trace-write", "tb": "trace-both"}
_TEXTS = {"openstr": "OPENSTR", "closestr": "CLOSESTR", "closeon": "CLOSEON", "signature": "SIGNATURE"}


def looks_like(text: str) -> bool:
    """Whether this is the old form: YAML has a space or nothing behind the colon of its first key."""
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            return re.match(r"[^\s:%{\[][^\s:]*:[^\s]", line) is not None
    return False


def read(text: str, notes: Notes) -> list[Connection]:
    """The ports of a file, in their order; everything that is wrong goes to `notes`."""
    reader = _Reader(notes)
    for number, line in _whole_lines(text):
        reader.line(number, line)
    return reader.connections


def _whole_lines(text: str) -> Iterator[tuple[int, str]]:
    r"""Lines that say something, with the number of their first; a `\` at the end goes on in the next."""
    started, kept = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if not kept and (not line.strip() or line.startswith("#")):
            continue
        started = started if kept else number
        kept += line.removesuffix("\\")
        if line.endswith("\\"):
            continue
        yield started, kept
        kept = ""
    if kept:
        yield started, kept


class _Reader:
    """One pass over the lines of a file."""

    def __init__(self, notes: Notes) -> None:
        self.connections: list[Connection] = []
        self._notes = notes
        self._named: dict[tuple[str, str], str] = {}
        self._defaults: dict[tuple[str, str], str] = {}

    def line(self, number: int, line: str) -> None:
        word, _, rest = line.partition(":")
        name, _, value = rest.partition(":")
        port = _PORT_LINE.fullmatch(line)
        if word in _NAMED:
            self._named[word, name.strip()] = value
        elif word in _WITHOUT_EQUAL:
            self._notes.remark(number, f"{word} {name}".strip() + f": {_WITHOUT_EQUAL[word]}")
        elif word == "DEFAULT":
            value, _, kind = value.partition(":")
            self._defaults[kind.strip(), name.strip().lower().replace("_", "-")] = value.strip()
        elif port is not None:
            with self._notes.of(port["accepter"], number):
                self._port(number, port)
        else:
            with self._notes.of(f"line {number}", number):
                self._notes.fault(number, "", "is no line of a ser2net.conf", "port:state:timeout:device:options")

    def _port(self, line: int, found: re.Match[str]) -> None:
        state = found["state"].lower()
        device, options = _device_and_options(found["rest"])
        if state not in _STATES:
            self._notes.fault(line, found["accepter"], f"has the state {state}", ", ".join(_STATES))
            return
        if not device.startswith("/"):
            self._notes.fault(line, found["accepter"], f"has the device {device or '(none)'}", "a whole path, /dev/...")
            return
        line_options, own, remote = self._sorted(line, options)
        serial = ",".join(["serialdev", device, *line_options, *(["wronly"] if state == "rawlp" else [])])
        telnet = {"telnet": "telnet(rfc2217)," if remote else "telnet,"}.get(state, "")
        self.connections.append(
            Connection(
                name=device.rpartition("/")[2],
                line=line,
                accepter=Text(telnet + found["accepter"], line),
                connector=Text(serial, line),
                timeout=Text(found["timeout"], line),
                enabled=state != "off",
                options=tuple(own),
                defaults=dict(self._defaults),
            )
        )

    def _sorted(self, line: int, words: Iterable[str]) -> tuple[list[str], list[Option], bool]:
        """The line's settings as gensio has them, ser2net's own options, and whether RFC 2217 is on."""
        form = Format()
        serial: list[str] = []
        own: list[Option] = []
        remote = switch(self._defaults.get(("", "remctl"), "off")) is True
        usual = (self._defaults.get(("", name), "") for name in ("speed", "parity", "databits", "stopbits"))
        names = ("{}", "{}", "{}DATABITS", "{}STOPBITS")
        preset = [name.format(value) for name, value in zip(names, usual, strict=True) if value]
        for word in [*preset, *words]:
            name, equals, value = _assignment(word)
            upper, lower = word.upper(), name.lower().replace("_", "-")
            if form.take(word):
                pass
            elif upper.removeprefix("-") in _SWITCHES:
                switched = upper.removeprefix("-").lower().replace("_", "-")
                serial.append(f"{switched}={'false' if word.startswith('-') else 'true'}")
            elif lower == "remctl":
                remote = True
            elif lower == "rs485":
                serial.append(f"rs485={self._text(line, 'RS485CONF', value)}")
            elif ("BANNER", word) in self._named:
                own.append(Option("banner", self._named["BANNER", word], line))
            elif lower in _TRACES:
                own.append(Option(_TRACES[lower], self._text(line, "TRACEFILE", value), line))
            elif lower in _TEXTS:
                own.append(Option(lower, self._text(line, _TEXTS[lower], value), line))
            elif word.startswith("-"):
                own.append(Option(lower.removeprefix("-"), "false", line))
            else:
                own.append(Option(lower, value if equals else "true", line))
        return [str(form), *serial], own, remote

    def _text(self, line: int, kind: str, name: str) -> str:
        if (kind, name) not in self._named:
            self._notes.fault(line, name, f"there is no {kind}:{name} before this line")
        return self._named.get((kind, name), "")


def _assignment(word: str) -> tuple[str, str, str]:
    """A word's name, sign and value; `tr:name` is older than `tr=name`."""
    name, sign, value = [*re.split("([=:])", word, maxsplit=1), "", ""][:3]
    return name, sign, value


def _device_and_options(rest: str) -> tuple[str, list[str]]:
    """The device, which has no colon in this form, and the words behind it."""
    device, _, options = rest.partition(":")
    return device.strip(), re.split(r"[\s,]+", options.strip()) if options.strip() else []
