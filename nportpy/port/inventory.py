"""The serial devices of this machine, found in sysfs without opening any of them.

Opening a serial device moves DTR and RTS: a modem hangs up, a microcontroller resets, an RS-485 adapter that takes
RTS for its direction talks into the bus. So the RS-485 mode, which only an open device tells (TIOCGRS485), is asked
for on request and only where nobody else is. Without asking, the device tree says at least what the driver starts
with.

The walk up from a tty to its driver follows the kernel's own layout; since Linux 6.5 two devices of the bus
`serial-base` lie between the two, whose drivers are called `port` and `ctrl` and mean nothing here.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from nportpy.linesettings import Rs485Mode
from nportpy.port.holders import HERE, Holder, Roots, holders, printable, read, sees_all, who_holds
from nportpy.port.ioctls import get_rs485

__all__ = ["Rs485State", "SerialDevice", "driver_of", "serial_devices", "serve_candidates", "who_holds"]

# Our own udev rules' names first: somebody chose them.
LINKS = ("nportpy", "serial/by-id", "serial/by-path")


class Rs485State(StrEnum):
    """What is known of a driver's RS-485 mode."""

    UNKNOWN = "?"
    NONE = "none"  # the driver has no such mode
    OFF = "off"
    ON = "on"
    ON_AT_BOOT = "on at boot"  # the device tree asks for it; not asked whether it still is


@dataclass(frozen=True, slots=True)
class SerialDevice:
    """One serial device.

    Attributes:
        path: the device node, `/dev/ttyUSB0`.
        stable: the name to write into a configuration: it stays when devices are plugged in another order. The
            path itself where the hardware is soldered in.
        driver: the kernel driver; empty if unknown.
        description: maker, product and serial number of a USB adapter; otherwise what the device tree or the bus
            calls it; may be empty.
        usb_serial: serial number of a USB adapter; empty where it has none.
        rs485: the driver's RS-485 mode, as far as known.
        console: the kernel's messages or a login go there.
        holders: the other processes that have it open.
        holders_certain: whether every process could be looked at; if not, there may be more.
    """

    path: str
    stable: str
    driver: str
    description: str
    usb_serial: str
    rs485: Rs485State
    console: bool
    holders: tuple[Holder, ...]
    holders_certain: bool


def serial_devices(roots: Roots = HERE, *, probe: bool = False) -> list[SerialDevice]:
    """Every serial device with hardware behind it, ordered by name and number.

    Left out are pseudo-terminals, virtual terminals, the UARTs that the 8250 driver keeps in stock without hardware,
    and what has no node in /dev.

    Args:
        roots: where the system's trees are.
        probe: open each device that nobody holds, and that is not the console, and ask for its RS-485 mode.
    """
    names = _names(roots)
    links = _links(roots)
    consoles = _consoles(roots)
    held = holders([f"{roots.dev}/{name}" for name in names], roots)
    certain = sees_all(roots)
    return [
        _describe(roots, name, links, name in consoles, tuple(held[f"{roots.dev}/{name}"]), certain, probe)
        for name in names
    ]


def serve_candidates(roots: Roots = HERE) -> list[SerialDevice]:
    """What `nportpy serve` without devices and without a file takes: every serial device but the console."""
    return [device for device in serial_devices(roots) if not device.console]


def driver_of(path: str, roots: Roots = HERE) -> str:
    """The kernel driver of the tty at `path`, a link or the node itself; "unknown" where sysfs does not tell."""
    return _driver(list(_parents(roots, os.path.basename(os.path.realpath(path))))) or "unknown"


def _describe(
    roots: Roots,
    name: str,
    links: dict[str, list[str]],
    console: bool,
    held_by: tuple[Holder, ...],
    certain: bool,
    probe: bool,
) -> SerialDevice:
    path = f"{roots.dev}/{name}"
    parents = list(_parents(roots, name))
    usb = next((parent for parent in parents if os.path.exists(f"{parent}/idVendor")), "")
    serial = printable(read(f"{usb}/serial")) if usb else ""
    rs485 = _rs485_at_boot(parents)
    if probe and not console and not held_by:
        rs485 = _ask_rs485(path)
    return SerialDevice(
        path=path,
        stable=_stable(path, links.get(name, []), bool(usb), bool(serial)),
        driver=_driver(parents),
        description=_usb_description(usb) if usb else _bus_description(parents),
        usb_serial=serial,
        rs485=rs485,
        console=console,
        holders=held_by,
        holders_certain=certain,
    )


def _names(roots: Roots) -> list[str]:
    directory = f"{roots.sys}/class/tty"
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    return sorted(filter(lambda name: _is_serial(roots, name), names), key=_natural)


def _is_serial(roots: Roots, name: str) -> bool:
    entry = f"{roots.sys}/class/tty/{name}"
    if not os.path.exists(f"{entry}/device") or not os.path.exists(f"{roots.dev}/{name}"):
        return False
    return read(f"{entry}/type") != "0"  # PORT_UNKNOWN: a UART in stock, nothing behind it


def _natural(name: str) -> tuple[str, int]:
    """ttyUSB9 comes before ttyUSB10."""
    stem = name.rstrip("0123456789")
    return stem, int(name[len(stem) :] or 0)


def _parents(roots: Roots, name: str) -> Iterator[str]:
    """The hardware above a tty, nearest first, without the kernel's own bus `serial-base`."""
    top = os.path.realpath(f"{roots.sys}/devices")
    directory = os.path.realpath(f"{roots.sys}/class/tty/{name}/device")
    while directory.startswith(top + os.sep):
        if _target(f"{directory}/subsystem") != "serial-base":
            yield directory
        directory = os.path.dirname(directory)


def _target(link: str) -> str:
    try:
        return os.path.basename(os.readlink(link))
    except OSError:
        return ""


def _driver(parents: list[str]) -> str:
    return next(filter(None, (_target(f"{parent}/driver") for parent in parents)), "")


def _usb_description(usb: str) -> str:
    words = [read(f"{usb}/{name}") for name in ("manufacturer", "product", "serial")]
    identity = f"{read(f'{usb}/idVendor')}:{read(f'{usb}/idProduct')}"
    return printable(" ".join(filter(None, words)) or f"USB {identity}")


def _bus_description(parents: list[str]) -> str:
    if not parents:
        return ""
    # only the nearest: a bus further up says nothing of the UART. There may be several names, most specific first.
    compatible = read(f"{parents[0]}/of_node/compatible").partition("\0")[0]
    return printable(compatible or f"{_target(f'{parents[0]}/subsystem')} {os.path.basename(parents[0])}".strip())


def _links(roots: Roots) -> dict[str, list[str]]:
    """Stable names of each device: kernel name -> links, best first."""
    found: dict[str, list[str]] = {}
    for directory in (f"{roots.dev}/{name}" for name in LINKS):
        try:
            names = sorted(os.listdir(directory))
        except OSError:
            continue
        for name in names:
            link = f"{directory}/{name}"
            found.setdefault(os.path.basename(os.path.realpath(link)), []).append(link)
    return found


def _stable(path: str, links: list[str], usb: bool, has_serial: bool) -> str:
    if not usb:
        links = [link for link in links if "/nportpy/" in link]
    elif not has_serial:
        # two adapters of one model would share their by-id name, so the socket that it is plugged into counts
        links = sorted(links, key=lambda link: "/by-id/" in link)
    return links[0] if links else path


def _consoles(roots: Roots) -> set[str]:
    """Kernel names of the consoles: those in use, those registered, and those on the kernel's command line."""
    names = read(f"{roots.sys}/class/tty/console/active").split()
    names += [line.split()[0] for line in read(f"{roots.proc}/consoles").splitlines() if line.split()]
    for word in read(f"{roots.proc}/cmdline").split():
        key, _, value = word.partition("=")
        if key == "console":
            # on a Raspberry Pi it may say serial0, a link of udev's
            names.append(os.path.basename(os.path.realpath(f"{roots.dev}/{value.partition(',')[0]}")))
    return set(names)


def _rs485_at_boot(parents: list[str]) -> Rs485State:
    declared = bool(parents) and os.path.exists(f"{parents[0]}/of_node/linux,rs485-enabled-at-boot-time")
    return Rs485State.ON_AT_BOOT if declared else Rs485State.UNKNOWN


def _ask_rs485(path: str) -> Rs485State:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return Rs485State.UNKNOWN
    try:
        mode = get_rs485(descriptor).mode
    except OSError:
        return Rs485State.NONE  # ENOTTY: the driver does not know the question
    finally:
        os.close(descriptor)
    return Rs485State.ON if mode is Rs485Mode.ON else Rs485State.OFF
