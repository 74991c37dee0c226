"""Settings for devices from the command line, without a file."""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from nportpy.config import values
from nportpy.config.toml import toml_text
from nportpy.config.values import ValueFault
from nportpy.errors import ConfigError, Fault
from nportpy.gateway.plans import GatewaySettings, PortPlan
from nportpy.linesettings import LineSettings
from nportpy.modbus.settings import BusSettings, RoutingSettings
from nportpy.modes.modbus_base import ModbusSettings
from nportpy.modes.raw_base import RawSettings
from nportpy.modes.rfc2217_base import Rfc2217Settings
from nportpy.network.addresses import Endpoint
from nportpy.port.base import PortSettings
from nportpy.protocols.modbus.mbap import PORT
from nportpy.services.http_base import HttpSettings

SOURCE = "command line"
_MOST = 1000  # devices
_LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class FirstPorts:
    """The TCP ports of the first device; the next device has the next ones.

    Attributes:
        raw: of raw TCP.
        rfc2217: of RFC 2217.
        modbus: of Modbus TCP.
        http: of HTTP, which is there once, on loopback; 0: it is off.
    """

    raw: int = 4001
    rfc2217: int = 5001
    modbus: int = PORT
    http: int = 9550


def for_devices(
    devices: Sequence[str],
    *,
    baudrate: int,
    format: str,  # noqa: A002 - the option's name
    listen: str,
    modbus: bool = False,
    ports: FirstPorts = FirstPorts(),
) -> GatewaySettings:
    """Settings for `nportpy serve DEVICE...`.

    Args:
        devices: paths, names in /dev, or pyserial URLs; each gets raw TCP and RFC 2217, in this order.
        baudrate: speed of every line.
        format: format of every line, such as `8N1`.
        listen: IP address of every service.
        modbus: each device also gets Modbus TCP.
        ports: where they listen.

    Raises:
        ConfigError: an argument is wrong, or a device is there twice; `source` is "command line", and the keys
            are the arguments' names.
    """
    paths = [_path(device) for device in devices]
    faults = [
        *_faults("--baudrate", baudrate, lambda value: values.integer(value, 1, (1 << 31) - 1)),
        *_faults("--format", format, values.line_format),
        *_faults("--listen", listen, values.address),
        *_device_faults(devices, paths),
        *(_port_faults(ports, len(devices), modbus=modbus) if 0 < len(devices) <= _MOST else ()),
    ]
    if faults:
        raise ConfigError(SOURCE, tuple(faults))
    line = LineSettings.parse(baudrate, format)
    host = values.address(listen)
    names = _names(devices)
    return GatewaySettings(
        http=HttpSettings((("127.0.0.1", ports.http),)) if ports.http else None,
        name=values.host_name(),
        ports=tuple(
            PortPlan(
                name,
                PortSettings(path, line),
                raw=(RawSettings(listen=(Endpoint(host, ports.raw + number),)),),
                rfc2217=(Rfc2217Settings(listen=(Endpoint(host, ports.rfc2217 + number),)),),
                bus=BusSettings() if modbus else None,
                modbus=(_modbus(name, Endpoint(host, ports.modbus + number)),) if modbus else (),
            )
            for number, (name, path) in enumerate(zip(names, paths, strict=True))
        ),
    )


def _modbus(name: str, endpoint: Endpoint) -> ModbusSettings:
    return ModbusSettings(listen=(endpoint,), routing=RoutingSettings.whole(name))


def _path(device: str) -> str:
    """The device as the settings have it: a URL, or an absolute path."""
    if "://" in device:
        return device
    return os.path.abspath(device) if "/" in device else f"/dev/{device}"


def _faults(key: str, value: object, parse: Callable[[object], object]) -> Iterable[Fault]:
    try:
        parse(value)
    except ValueFault as fault:
        yield Fault(key, fault.reason, toml_text(value), fault.allowed)


def _device_faults(devices: Sequence[str], paths: list[str]) -> Iterable[Fault]:
    if not 0 < len(devices) <= _MOST:
        yield Fault("DEVICE", f"{len(devices)} devices", "", f"1 to {_MOST}")
    seen: dict[str, str] = {}
    for device, path in zip(devices, paths, strict=True):
        yield from _faults("DEVICE", device, lambda _, path=path: values.device(path))  # type: ignore[misc]
        identity = values.device_identity(path)
        if identity is None:
            continue
        if identity in seen:
            reason = (
                f"is the same device as {toml_text(seen[identity])}" if seen[identity] != device else "is there twice"
            )
            yield Fault("DEVICE", reason, toml_text(device), "each device once")
        seen.setdefault(identity, device)


def _port_faults(ports: FirstPorts, devices: int, *, modbus: bool) -> Iterable[Fault]:
    firsts = {"--raw-port": ports.raw, "--rfc2217-port": ports.rfc2217} | (
        {"--modbus-port": ports.modbus} if modbus else {}
    )
    taken = {"--http-port": range(ports.http, ports.http + bool(ports.http))}
    for key, first in firsts.items():
        last = first + devices - 1
        if not 1 <= first <= last <= _LAST_PORT:
            yield Fault(key, f"needs {devices} TCP ports from there on", str(first), f"1 to {_LAST_PORT - devices + 1}")
            continue
        for other, its in taken.items():
            if first <= its[-1] and its[0] <= last if its else False:
                reason = f"{first} to {last} overlap {its[0]} to {its[-1]} of {other}"
                yield Fault(key, reason, str(first), "TCP ports of its own")
        taken[key] = range(first, last + 1)


def _names(devices: Sequence[str]) -> list[str]:
    """A port name for each device: its base name, with a number where another has the same."""
    names: list[str] = []
    for device in devices:
        base = device.partition("://")[2] if "://" in device else os.path.basename(device)
        base = re.sub(r"[^A-Za-z0-9._-]+", "-", base).strip("-._")[:100] or "port"
        taken, number = base, 1
        while taken in names:
            number += 1
            taken = f"{base}-{number}"
        names.append(taken)
    return names
