"""`nportpy check`: every fault of a configuration file at once, or what it means."""

import json
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from ipaddress import ip_address

import click

from nportpy.cli.check_accounts import account_warnings
from nportpy.cli.check_addresses import address_warnings
from nportpy.cli.check_edge import edge_picture, edge_warnings
from nportpy.cli.check_json import faults_object, settings_object
from nportpy.cli.check_modbus import (
    Picture,
    line_picture,
    master_picture,
    routed_ports,
    routes_picture,
    service_picture,
    unit_warnings,
)
from nportpy.cli.check_modes import (
    discovery_picture,
    discovery_warnings,
    mdns_picture,
    modes_picture,
    port_picture,
    speed_picture,
    speed_warnings,
    stream_picture,
)
from nportpy.cli.check_tls import tls_picture, tls_warnings
from nportpy.config import DEFAULT_PATH, fault_lines, parse, read, without_effect
from nportpy.config.toml import toml_text
from nportpy.config.values import duration_text, size_text
from nportpy.errors import ConfigError
from nportpy.gateway.capture_settings import CaptureSettings
from nportpy.gateway.plans import GatewaySettings, PortPlan, discovery_places, places
from nportpy.linesettings import Flow, Rs485Mode, Rs485Settings
from nportpy.modes.modbus_base import Access, ModbusSettings
from nportpy.modes.rfc2217_base import Rfc2217Settings
from nportpy.network.addresses import Endpoint, Network, Rings
from nportpy.network.service import ServiceSettings, WhenFull, WhenJammed
from nportpy.port.base import PortSettings
from nportpy.services.http_base import HttpSettings

# Linux's default for net.ipv4.ip_unprivileged_port_start.
_PRIVILEGED_BELOW = 1024
_LABEL_WIDTH = 18


@click.command()
@click.option(
    "-c", "--config", "path", default=DEFAULT_PATH, show_default=True, metavar="FILE", help="The configuration file."
)
@click.option("--json", "as_json", is_flag=True, help="An object with faults, warnings and settings, for programs.")
@click.option("--schema", is_flag=True, help="Print the file's JSON schema, for editors, and check nothing.")
def check(path: str, as_json: bool, schema: bool) -> None:
    """Check a configuration file and show what it means.

    Each fault is one line on stderr: file:line: key = value: reason. Below what is not TOML stands the line itself,
    with a caret. Exit code 0, or 2 if there are faults. Nothing is opened: a device or an address that is not here now
    is a warning, and so is a TCP or UDP port that another program has now.
    """
    if schema:
        from nportpy.config.editors import json_schema

        click.echo(json.dumps(json_schema(), indent=2))
        return
    try:
        text = read(path)
        settings = parse(text, path)
    except ConfigError as error:
        if as_json:
            click.echo(json.dumps(faults_object(error), indent=2))
        for line in fault_lines(error) if not as_json else ():
            click.echo(line, err=True)
        sys.exit(2)
    found = all_warnings(text, path, settings)
    if as_json:
        click.echo(json.dumps(settings_object(path, settings, found, _picture(settings)), indent=2))
        return
    for label, text in _picture(settings):
        click.echo(f"{label:<{_LABEL_WIDTH}}{text}".rstrip())
    for warning in found:
        click.echo(click.style("warning: ", fg="yellow") + warning)


def all_warnings(text: str, path: str, settings: GatewaySettings) -> list[str]:
    """Everything that is odd about a file without faults, on the machine where it is to be used."""
    found = [*without_effect(text, path), *warnings(settings), *address_warnings(settings)]
    found += [*edge_warnings(settings.edge), *tls_warnings(settings)]
    return [*found, *account_warnings(settings.http, path)]


def _picture(settings: GatewaySettings) -> Picture:
    routed = routed_ports(settings)
    yield "gateway", settings.name
    access = settings.access
    yield "  connections", f"{access.max_connections} at once, {access.max_per_address} from one address"
    yield "  stopping", f"up to {duration_text(settings.drain)} for what clients have sent"
    yield "  log", f"{settings.log.level}, {settings.log.format}"
    http = settings.http
    yield "http", _listing(_endpoints(http)) if http else "off"
    if http:
        yield "  may connect", _who(_endpoints(http), http.allow)
    yield from _capture_picture(settings.capture)
    for port in settings.ports:
        yield f"port {port.name}", ""
        yield from _port_picture(port)
        if port.name in routed:
            yield "  routes", f"from {', '.join(routed[port.name])}"
        elif not _reachable(port):
            yield "  no service", ""
    for router in settings.routers:
        yield f"modbus {router.name}", _listing(router.service.listen)
        yield from _service_picture(router.service)
        yield from routes_picture(router.service.routing)
    yield from tls_picture(settings)
    yield from edge_picture(settings.edge)
    yield from discovery_picture(settings.discovery)
    yield from mdns_picture(settings.mdns)


def _capture_picture(capture: CaptureSettings) -> Picture:
    """Only what is not so by default: watching is for this machine, and nothing is kept."""
    if capture.allow:
        yield "  may watch", f"this machine, {', '.join(map(str, capture.allow))}"
    if capture.keep:
        causes = ", ".join(sorted(capture.freeze_on))
        yield "  flight recorder", f"{size_text(capture.keep)} of each line, frozen by {causes}"
    if capture.directory:
        what = f"port {', '.join(capture.record)}" if capture.record else "all lines"
        yield "  recording", f"{what} to {capture.directory}, {capture.files} files of {size_text(capture.size)} each"


def _port_picture(port: PortPlan) -> Picture:
    device = port.port
    flow = f"flow control {device.line.flow}"
    yield "  device", device.device
    yield "  line", f"{device.line.baudrate} {device.line.format}, {flow}"
    yield "  RS-485", _rs485(device.rs485)
    yield "  opening", ", ".join(_opening(device))
    flush = "thrown away" if port.stream.flush_on_first else "kept"
    yield "  first client", f"bytes from before {flush}"
    yield "  last client", f"unsent bytes wait {duration_text(port.stream.linger)} for the line"
    yield from port_picture(port)
    if port.trace:
        yield "  trace", "all bytes are logged"
    if not port.monitor:
        yield "  watching", "forbidden"
    if port.bus is not None:
        yield from line_picture(port.bus)
    if port.master is not None:
        yield from master_picture(port.master)
    for name, service in _services(port):
        yield f"  {name}", _listing(service.listen)
        yield from _service_picture(service)
    yield from modes_picture(port)


def _reachable(port: PortPlan) -> bool:
    """Whether anybody gets to the line by the port's own services."""
    return any(_services(port)) or port.master is not None or bool(port.modes)


def _opening(device: PortSettings) -> Iterator[str]:
    yield "exclusive" if device.exclusive else "shared"
    yield "low latency" if device.low_latency else "normal latency"
    yield f"DTR {device.dtr}"
    yield f"RTS {device.rts}"
    yield f"{device.on_close} them at closing"


def _rs485(settings: Rs485Settings) -> str:
    if settings.mode is Rs485Mode.KEEP:
        return "as the device tree has it"
    if settings.mode is Rs485Mode.OFF:
        return "off"
    parts = [
        f"on, {duration_text(settings.delay_before)} before, {duration_text(settings.delay_after)} after sending",
        f"RTS {'high' if settings.rts_on_send else 'low'} while sending",
        "hears itself" * settings.rx_during_tx,
        "bus terminated" * settings.termination,
    ]
    return ", ".join(filter(None, parts))


def _service_picture(service: ServiceSettings) -> Picture:
    full = {
        WhenFull.REFUSE: "one more is refused",
        WhenFull.KICK_OLDEST: "one more takes the oldest one's place",
        WhenFull.KICK_IDLE: f"one more takes the place of one idle for {duration_text(service.idle_after)}",
    }[service.when_full]
    yield "    may connect", _who(service.listen, service.allow)
    yield "    clients", f"{service.max_clients} at once, {full}"
    if isinstance(service, ModbusSettings):
        yield from service_picture(service)
        if service.protocol is Access.UDP:
            return  # what follows is about connections
    if isinstance(service, Rfc2217Settings):
        yield "    control", str(service.control)
        yield "    signature", toml_text(service.signature) if service.signature else "name, version and port"
    yield "    takeover", "by a newcomer from a dead session's address" if service.takeover else "never"
    yield "    alive check", _limit(service.alive_check)
    yield "    inactivity", _limit(service.inactivity)
    yield "    half close", f"until the line is silent for {duration_text(service.half_close)}"
    if not isinstance(service, ModbusSettings):
        yield "    device away", f"{service.when_down} clients"
    if isinstance(service, ModbusSettings):
        yield "    allowance", f"{size_text(service.allowance)} for a slow client"
        return
    beyond = {
        WhenJammed.DROP: "",
        WhenJammed.SKIP: "; beyond that it misses what comes",
        WhenJammed.WAIT: "; beyond that everybody waits for it",
    }[service.when_jammed]
    yield "    allowance", f"{size_text(service.allowance)} for a slow client{beyond}"
    yield from speed_picture(service)
    yield from stream_picture(service)


def _limit(seconds: float) -> str:
    return duration_text(seconds) if seconds else "off"


def _listing(listen: tuple[Endpoint, ...]) -> str:
    return ", ".join(map(str, listen))


def _who(listen: tuple[Endpoint, ...], rings: Rings) -> str:
    if rings:
        return ", ".join(map(str, _inside(rings))) or "nobody"
    return "anyone on this machine" if _local(listen) else "anyone"


def warnings(settings: GatewaySettings) -> list[str]:
    """What is allowed and yet may not be meant."""
    routed = routed_ports(settings)
    found = [warning for port in settings.ports for warning in _port_warnings(port, routed=port.name in routed)]
    services = [(f"port.{port.name}.{name}", service) for port in settings.ports for name, service in _services(port)]
    services += [(f"modbus.{router.name}", router.service) for router in settings.routers]
    open_services = [
        f"port.{port.name}.{kind}"
        for port in settings.ports
        for kind, mode in port.modes
        if places(kind, mode) and not mode.allow and not _local(tuple(place.endpoint for place in places(kind, mode)))
    ]
    for key, service in services:
        for endpoint in service.listen:
            found += _listener_warnings(key, endpoint, service.allow)
        if isinstance(service, ModbusSettings):
            found += unit_warnings(key, service.routing)
    open_services = [
        key for key, service in services if not service.allow and not _local(service.listen)
    ] + open_services
    for port in settings.ports:
        for kind, mode in port.modes:
            for place in places(kind, mode):
                found += _listener_warnings(f"port.{port.name}.{kind}", place.endpoint, mode.allow)
    for place in discovery_places(settings.discovery):
        assert settings.discovery is not None
        found += _listener_warnings("discovery", place.endpoint, settings.discovery.allow)
    if open_services:
        found.append(f"no allow list: anyone who reaches this machine can use {', '.join(open_services)}")
    found += discovery_warnings(settings)
    if settings.http:
        found += _http_warnings(_endpoints(settings.http), settings.http.allow)
    if settings.mdns is not None and find_spec("zeroconf") is None:
        found.append(
            "mdns: the package zeroconf is not installed, so nothing is announced: pip install 'nportpy[mdns]', or "
            "apt install python3-zeroconf"
        )
    return list(dict.fromkeys(found))


def _port_warnings(port: PortPlan, *, routed: bool) -> Iterator[str]:
    key = f"port.{port.name}"
    device = port.port.device
    if device.startswith("/") and not os.path.exists(device):
        yield f"{key}: {device} is not here now"
    if port.port.rs485.mode is Rs485Mode.ON and port.port.line.flow is Flow.RTSCTS:
        yield f"{key}: RS-485 direction control and RTS/CTS flow control both want RTS"
    if not _reachable(port) and not routed:
        yield f"{key}: no service, so nobody can reach it"
    yield from speed_warnings(port)


def _http_warnings(listen: tuple[Endpoint, ...], rings: Rings) -> Iterator[str]:
    for endpoint in listen:
        yield from _listener_warnings("http", endpoint, rings)
        if not rings and not _local((endpoint,)):
            yield f"http: {endpoint} shows anyone who reaches this machine who is connected"


def _listener_warnings(key: str, endpoint: Endpoint, rings: Rings) -> Iterator[str]:
    if endpoint.port < _PRIVILEGED_BELOW:
        yield f"{key}: port {endpoint.port} is below {_PRIVILEGED_BELOW} and takes a privilege (CAP_NET_BIND_SERVICE)"
    inside = _inside(rings)
    if rings and not inside:
        yield f"{key}: the allow lists have no address in common, so nobody can connect"
    elif rings and _unreachable(endpoint, inside):
        yield f"{key}: {endpoint} is for this machine alone, but {endpoint.host} is not allowed to connect"


def _unreachable(endpoint: Endpoint, inside: list[Network]) -> bool:
    """Whether a loopback listener lets nobody in: who comes to it comes from its own address."""
    host = ip_address(endpoint.host)
    return host.is_loopback and not any(host in network for network in inside)


def _services(port: PortPlan) -> Iterator[tuple[str, ServiceSettings]]:
    """Each service under the name it has in the status: raw, raw-2, rfc2217."""
    for kind, services in (("raw", port.raw), ("rfc2217", port.rfc2217), ("modbus", port.modbus)):
        for number, service in enumerate(services, 1):
            yield kind if number == 1 else f"{kind}-{number}", service


def _endpoints(http: HttpSettings) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(*pair) for pair in http.listen)


def _local(listen: tuple[Endpoint, ...]) -> bool:
    """Whether only this machine can connect."""
    return all(ip_address(endpoint.host).is_loopback for endpoint in listen)


def _inside(rings: Rings) -> list[Network]:
    """The networks that lie in every ring. Two networks overlap only if one contains the other."""
    inside = list(rings[0]) if rings else []
    for ring in rings[1:]:
        pairs = [(one, other) for one in inside for other in ring if one.overlaps(other)]
        inside = list(dict.fromkeys(max(pair, key=lambda network: network.prefixlen) for pair in pairs))
    return inside
