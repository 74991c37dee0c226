"""What `nportpy check` says of the modes in which a line is a stream, raw TCP and RFC 2217 apart."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import MISSING, fields
from enum import Enum
from ipaddress import ip_network
from typing import Any

from nportpy.config.values import duration_text, size_text
from nportpy.gateway.plans import GatewaySettings, Kind, PortPlan, places, services_of
from nportpy.line.stream_base import IdleLevels
from nportpy.modes.commands_base import CommandSettings
from nportpy.modes.discovery_base import PORT, DiscoverySettings
from nportpy.modes.modem_base import Number
from nportpy.modes.tcp_client_base import ConnectOn
from nportpy.modes.udp_base import Range
from nportpy.network.addresses import Endpoint, Network
from nportpy.network.service import ServiceSettings, WhenBusy
from nportpy.protocols.packing import PackingSettings
from nportpy.services.mdns_base import MdnsSettings

Picture = Iterator[tuple[str, str]]
Rings = tuple[tuple[Network, ...], ...]

_WHEN_BUSY = {
    WhenBusy.REFUSE: "who comes while it is at other settings is refused",
    WhenBusy.WAIT: "who comes while it is at other settings waits",
    WhenBusy.KICK: "who comes sends those away who have it at other settings",
    WhenBusy.SHARE: "who comes has it set anew, and those who are there stay",
}
# What the line of the service itself says.
_SAID = {"listen", "data", "command", "destinations", "to"}


def modes_picture(port: PortPlan) -> Picture:
    """Where each mode listens or whom it calls, and what is not as it is by default."""
    for kind, settings in port.modes:
        yield f"  {kind}", "; ".join(_where(kind, settings))
        yield from _different(settings, "    ")


def stream_picture(service: ServiceSettings) -> Picture:
    """How a listener of a line goes about its bytes, where that is not as it is by default."""
    shown = {"packing", "direction", "commands"}
    for name, text in _different(service, ""):
        if name in shown:
            yield f"    {name}", text


def speed_picture(service: ServiceSettings) -> Picture:
    """At which settings a service has the line, where that is not how the port has it, and what if others have it."""
    if service.line is not None:
        yield "    line", f"{service.line.baudrate} {service.line.format}, flow control {service.line.flow}"
    if service.line is not None or service.when_busy is not WhenBusy.REFUSE:
        yield "    line busy", _WHEN_BUSY[service.when_busy]


def speed_warnings(port: PortPlan) -> Iterator[str]:
    """What is said of settings of one's own, and yet means little."""
    services = [
        (f"port.{port.name}.{name}", kind, settings, settings.line or port.port.line)
        for name, kind, settings in _named(port)
        if kind in (Kind.RAW, Kind.RFC2217, Kind.REVERSE_TELNET, Kind.TCP_CLIENT)
    ]
    several = len({line for *_, line in services} | {port.port.line}) > 1
    for key, kind, settings, line in services:
        if settings.when_busy is not WhenBusy.REFUSE and not several:
            yield f"{key}: when_busy has no effect: all services have the line at the same settings"
        elif settings.line == port.port.line:
            yield f"{key}: its settings are those of the port"
        if kind is Kind.TCP_CLIENT and settings.connect is ConnectOn.STARTUP:
            for other, _, wants, at in services:
                if at != line and wants.when_busy in (WhenBusy.REFUSE, WhenBusy.WAIT):
                    yield f"{other}: nobody gets in while {key} is connected, which is at once: see when_busy"


def _named(port: PortPlan) -> Iterator[tuple[str, Kind, Any]]:
    """Each service under the name it has in the status: raw, raw-2."""
    seen: Counter[Kind] = Counter()
    for kind, settings in services_of(port):
        seen[kind] += 1
        yield str(kind) if seen[kind] == 1 else f"{kind}-{seen[kind]}", kind, settings


def port_picture(port: PortPlan) -> Picture:
    """What happens to the line while nobody is there, where that is not as it is by default."""
    if port.stream.buffer:
        yield "  no client", f"the newest {size_text(port.stream.buffer)} of the line are kept for the first"
    if port.stream.idle_levels is not IdleLevels.KEEP:
        yield "  DTR and RTS", f"{port.stream.idle_levels} while no client is there"


def discovery_picture(settings: DiscoverySettings | None) -> Picture:
    """What searching programs are told."""
    if settings is not None:
        yield "discovery", ", ".join(map(str, settings.listen))
        yield from _different(settings, "  ")


def discovery_warnings(settings: GatewaySettings) -> Iterator[str]:
    """Drivers that would not be answered: after a minute of silence on their line they connect anew, for ever."""
    services = [
        (f"port.{port.name}.{kind}", mode)
        for port in settings.ports
        for kind, mode in port.modes
        if kind is Kind.REALCOM
    ]
    discovery = settings.discovery
    if discovery is None:
        if services:
            names = ", ".join(key for key, _ in services)
            yield f"discovery is off, so the drivers of {names} {_LEAVE}; leave [discovery] out, or its listen = false"
        return
    hosts = {endpoint.host for endpoint in discovery.listen if endpoint.port == PORT}
    for key, mode in services:
        missed = [host for host in dict.fromkeys(place.host for place in mode.data) if not _hears(hosts, host)]
        if missed:
            what = ", ".join(map(str, (Endpoint(host, PORT) for host in missed)))
            yield f"discovery does not listen on {what}, so drivers of {key} that connect there {_LEAVE}"
        elif not _answers(discovery.allow, mode.allow):
            yield f"discovery.allow leaves out some who may use {key}, and their drivers {_LEAVE}"


_LEAVE = "connect anew each minute while their line is silent, and lose what it says meanwhile"


def _hears(hosts: set[str], host: str) -> bool:
    """Whether what comes to an address of a service is heard."""
    return bool(hosts & {host, "::"}) or ("0.0.0.0" in hosts and ":" not in host)  # noqa: S104 - compared, not bound


def _answers(allow: Rings, clients: Rings) -> bool:
    """Whether all clients are answered. An address has to be in one network of every ring."""
    innermost = [ring for ring in clients if ring] or [(ip_network("0.0.0.0/0"), ip_network("::/0"))]
    return all(
        any(all(any(_within(network, outer) for outer in ring) for network in inner) for inner in innermost)
        for ring in allow
    )


def _within(network: Network, outer: Network) -> bool:
    return network.version == outer.version and outer.supernet_of(network)  # type: ignore[arg-type]  # of one version


def mdns_picture(settings: MdnsSettings | None) -> Picture:
    """What is announced."""
    if settings is not None:
        kinds = [field.name for field in fields(settings) if getattr(settings, field.name) is True]
        yield "mdns", f"{', '.join(kinds) or 'nothing'} on {', '.join(settings.interfaces) or 'all interfaces'}"


def _where(kind: Kind, settings: Any) -> Iterator[str]:
    found = places(kind, settings)
    if kind is Kind.REALCOM:
        yield f"data on {', '.join(map(str, settings.data))}"
        yield f"commands on {', '.join(map(str, settings.command))}"
    elif found:
        yield ", ".join(str(place.endpoint) for place in found)
    if kind is Kind.TCP_CLIENT:
        yield f"calls {', '.join(map(str, settings.destinations))}"
    elif kind is Kind.PAIR:
        yield f"with {settings.to}"
    elif kind is Kind.UDP and settings.destinations:
        yield f"to {', '.join(map(_range_text, settings.destinations))}"
    elif kind is Kind.MODEM and not found:
        yield "only dials"


def _range_text(destination: Range) -> str:
    ends = dict.fromkeys((destination.first, destination.last))
    text = "-".join(f"[{address}]" if address.version == 6 else str(address) for address in ends)
    return f"{text}:{destination.port}"


def _different(settings: Any, indent: str) -> Picture:
    for field in fields(settings):
        value = getattr(settings, field.name)
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if field.name not in _SAID and value != default:
            yield f"{indent}{field.name.replace('_', ' ')}", _text(value)


def _text(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case Enum() | str() | int():
            return str(value)
        case float():
            return duration_text(value) if value else "off"
        case bytes():
            return value.hex(" ").upper()
        case PackingSettings():
            return ", ".join(f"{label.strip()} {text}" for label, text in _different(value, "")) or "immediate"
        case CommandSettings():
            return ", ".join(f"{label.strip()} {text}" for label, text in _different(value, "")) or "command by command"
        case Number():
            return f"{value.dialled} is {value.to}"
        case tuple():
            return ", ".join(map(_text, value))
        case _:
            return str(value)
