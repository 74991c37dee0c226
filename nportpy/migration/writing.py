"""Our configuration file, with a comment for each thing that had no equal, and the line of the source that it is on."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from nportpy import __version__
from nportpy.config.clashes import overlap
from nportpy.config.tables import OWN_LINE
from nportpy.config.toml import toml_text
from nportpy.config.values import device_identity, listener
from nportpy.errors import Fault
from nportpy.migration.meaning import Line, Service
from nportpy.migration.source import LeftOut, Notes, Remark
from nportpy.network.addresses import Endpoint
from nportpy.services.http_base import HttpSettings

_LONGEST_NAME = 128
_LONGEST_VALUE = 1 << 16


@dataclass(frozen=True, slots=True)
class Written:
    """A configuration.

    Attributes:
        text: of the file.
        ports: how many lines it has.
        services: how many services they have.
        remarks: how many comments about things without an equal.
        left_out: connections that are not served; of those that the source switched off none.
        origins: for each line of `text` the line of the source that it is about; 0 for none.
    """

    text: str
    ports: int
    services: int
    remarks: int
    left_out: tuple[LeftOut, ...]
    origins: tuple[int, ...]

    def at_source(self, fault: Fault) -> Fault:
        """A fault in `text` as one of the source."""
        inside = 0 < fault.line <= len(self.origins)
        return replace(fault, line=self.origins[fault.line - 1] if inside else 0)


@dataclass(slots=True)
class _Port:
    """A device and the connections that share it."""

    name: str
    first: Line
    lines: list[Line] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)


def write(lines: Iterable[Line], notes: Notes, source: str, form: str) -> Written:
    """The file for some connections; those that cannot be had here go to the remarks of `notes`."""
    ports = _ports(lines, notes)
    page = _Page()
    page.add(f"# Made of {_printable(source)}, a {form}, by nportpy {__version__}.")
    page.add('# "line 12" is a line of that file: what stands there has no equal here, or not quite.')
    remarks = [*notes.remarks, *(Remark(each.line, each.text) for each in notes.left_out)]
    if remarks:
        page.add("")
    page.remarks(sorted(remarks, key=lambda remark: remark.line))
    for port in ports:
        page.port(port)
    services = sum(len(line.services) for port in ports for line in port.lines)
    left_out = tuple(sorted(notes.left_out, key=lambda each: each.line))
    return Written(page.text(), len(ports), services, page.remarked, left_out, tuple(page.origins))


def _ports(lines: Iterable[Line], notes: Notes) -> list[_Port]:
    """Connections by their device: one device is one line."""
    found: dict[str, _Port] = {}
    names: set[str] = set()
    claims = [_Claim(Endpoint(*pair), 0, udp=False) for pair in HttpSettings().listen]
    for line in lines:
        if not line.enabled:
            notes.remark(line.line, f"{line.name} is left out: it is switched off")
            continue
        identity = device_identity(line.device) or f"loop {len(found)}"
        port = found.get(identity)
        reason = line.left_out or _taken(line, claims) or (_apart(port, line) if port is not None else "")
        if reason or not line.services or not line.device:
            notes.left_out.append(LeftOut(line.name, line.line, reason))
            continue
        claims += _claims(line)
        if port is None:
            port = found[identity] = _Port(_name(line.name, names), line)
        elif port.first.keys == line.keys:
            text = f"shares the device with line {port.first.line}, at the same time; ser2net lets one in at a time"
            line.remarks.append(Remark(line.line, text))
        else:
            own = {
                key: line.keys.get(key, "none") for key in OWN_LINE if line.keys.get(key) != port.first.keys.get(key)
            }
            for service in line.services:
                service.keys |= own
        port.lines.append(line)
    return list(found.values())


def _apart(port: _Port, line: Line) -> str:
    """Why a connection cannot have its settings on a device that another one has; empty if it can."""
    mine, others = (
        {key: value for key, value in each.keys.items() if key not in OWN_LINE} for each in (line, port.first)
    )
    wants, has = (_short(each.keys) for each in (line, port.first))
    differ = f"it wants {wants}, and line {port.first.line} has {has} for this device"
    if line.keys != port.first.keys and mine != others:
        return f"{differ}: services of one line differ in speed, format and flow control alone"
    several = {tuple(each.keys.get(key) for key in OWN_LINE) for each in (*port.lines, line)}
    always = [service for each in (*port.lines, line) for service in each.services if _is_always_there(service)]
    if len(several) > 1 and always:
        return f"{differ}, which {always[0].kind} uses at all times"
    return ""


def _is_always_there(service: Service) -> bool:
    """Whether a service uses the line while nobody is connected, so that it has one speed."""
    return service.kind == "udp" or service.keys.get("connect") == "any_character"


@dataclass(frozen=True, slots=True)
class _Claim:
    """Where a connection listens; line 0 is /metrics."""

    endpoint: Endpoint
    line: int
    udp: bool


def _claims(line: Line) -> list[_Claim]:
    found = []
    for service in line.services:
        for value in service.listen:
            place = listener(value)
            endpoint = place if isinstance(place, Endpoint) else Endpoint("::", place)
            found.append(_Claim(endpoint, line.line, udp=service.kind == "udp"))
    return found


def _taken(line: Line, claims: Iterable[_Claim]) -> str:
    """Why a connection cannot listen where it wants to; empty if it can."""
    mine = _claims(line)
    for number, claim in enumerate(mine):
        for other in (*claims, *mine[:number]):
            same = (claim.endpoint.port, claim.udp) == (other.endpoint.port, other.udp)
            if same and overlap(claim.endpoint.host, other.endpoint.host):
                by = f"line {other.line}" if other.line else "/metrics, unless [http] says otherwise"
                return f"port {claim.endpoint.port} is taken by {by}"
    return ""


def _short(keys: dict[str, object]) -> str:
    known = [str(keys[key]) for key in ("baudrate", "format", "flow") if key in keys]
    others = [f"{key} = {toml_text(value)}" for key, value in keys.items() if key not in ("baudrate", "format", "flow")]
    return " ".join(known + others)


def _name(wanted: str, taken: set[str]) -> str:
    """A port's name that nobody has."""
    clean = re.sub(r"[^A-Za-z0-9_-]+", "-", wanted).strip("-_")[: _LONGEST_NAME - 5] or "port"
    name, number = clean, 1
    while name in taken:
        number += 1
        name = f"{clean}-{number}"
    taken.add(name)
    return name


def _printable(text: str) -> str:
    return toml_text(text)[1:-1]


class _Page:
    """The lines of a file, and where each comes from."""

    def __init__(self) -> None:
        self.origins: list[int] = []
        self.remarked = 0
        self._lines: list[str] = []

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"

    def add(self, line: str, origin: int = 0) -> None:
        self._lines.append(line)
        self.origins.append(origin)

    def remarks(self, remarks: Iterable[Remark]) -> None:
        for remark in remarks:
            self.add(f"# line {remark.line}: {_shown(remark.text)}", remark.line)
            self.remarked += 1

    def port(self, port: _Port) -> None:
        first = port.first
        self.add("")
        self.add(f"[port.{port.name}]", first.line)
        self.remarks(port.remarks)
        self._keys({"device": first.device, **first.keys}, first.line)
        kinds = [service.kind for line in port.lines for service in line.services]
        for line in port.lines:
            remarks = sorted(line.remarks, key=lambda remark: remark.line)
            for number, service in enumerate(line.services):
                self.add("")
                header = f"port.{port.name}.{service.kind}"
                self.add(f"[[{header}]]" if kinds.count(service.kind) > 1 else f"[{header}]", line.line)
                self.remarks(remarks if number == 0 else ())
                self._service(service, line.line)

    def _service(self, service: Service, line: int) -> None:
        listen = service.listen[0] if len(service.listen) == 1 else service.listen
        self._keys({"listen": listen} | service.keys if listen else service.keys, line)

    def _keys(self, keys: dict[str, object], line: int) -> None:
        for key, value in keys.items():
            self.add(f"{key} = {_value(value)}", line)


def _value(value: object) -> str:
    """A value in TOML. `toml_text` is for messages: it cuts what is long."""
    if isinstance(value, list):
        return f"[{', '.join(toml_text(item, _LONGEST_VALUE) for item in value)}]"
    return toml_text(value, _LONGEST_VALUE)


def _shown(text: str) -> str:
    """A remark on one line of printable characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
