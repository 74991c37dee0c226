"""Invented /sys, /dev, /proc and /run/lock trees for what looks at the machine's serial devices."""

import os
from pathlib import Path

from nportpy.port.holders import Roots


class Machine:
    """A machine without serial devices; the methods plug things in."""

    def __init__(self, root: Path) -> None:
        self.sys, self.dev, self.proc, self.lock = (root / name for name in ("sys", "dev", "proc", "lock"))
        for directory in (self.sys / "class/tty", self.sys / "devices", self.dev, self.proc, self.lock):
            directory.mkdir(parents=True)
        self.process(1, "init")

    @property
    def roots(self) -> Roots:
        return Roots(str(self.sys), str(self.dev), str(self.proc), str(self.lock))

    def tty(self, name: str, hardware: str, *, driver: str = "", uart_type: str | None = None) -> Path:
        """A tty on a device at `devices/HARDWARE`; the device's directory."""
        device = self.sys / "devices" / hardware
        entry = device / "tty" / name
        entry.mkdir(parents=True)
        (entry / "device").symlink_to(device)
        (self.sys / "class/tty" / name).symlink_to(entry)
        (self.dev / name).touch()
        if uart_type is not None:
            write(entry / "type", uart_type)
        if driver:
            self.link(device / "driver", f"bus/any/drivers/{driver}")
        return device

    def soc_uart(self, name: str, hardware: str, driver: str, compatible: str) -> Path:
        """A UART as Linux 6.5 and later lays it out: two devices of the bus serial-base above the tty."""
        soc = self.sys / "devices" / hardware
        ctrl = soc / f"{soc.name}:0"
        port = self.tty(name, f"{hardware}/{ctrl.name}/{ctrl.name}.0", driver="port", uart_type="32")
        self.link(port / "subsystem", "bus/serial-base")
        self.link(ctrl / "driver", "bus/serial-base/drivers/ctrl")
        self.link(ctrl / "subsystem", "bus/serial-base")
        self.link(soc / "driver", f"bus/amba/drivers/{driver}")
        write(soc / "of_node/compatible", compatible)
        return soc

    def usb(self, name: str, socket: str, driver: str, **facts: str) -> Path:
        """A USB adapter: `facts` are the attributes of the USB device (idVendor, product, serial, ...)."""
        usb = f"platform/soc/3f980000.usb/usb1/{socket}"
        device = self.tty(name, f"{usb}/{socket}:1.0/{name}", driver=driver)
        for fact, text in facts.items():
            write(self.sys / "devices" / usb / fact, text)
        return device

    def stable(self, link: str, name: str) -> None:
        """A link below /dev to the device NAME."""
        path = self.dev / link
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(self.dev / name)

    def process(self, pid: int, command: str, *open_files: str) -> None:
        """A process with files open; a command is given as its words."""
        write(self.proc / str(pid) / "cmdline", command.replace(" ", "\0") + "\0")
        directory = self.proc / str(pid) / "fd"
        directory.mkdir()
        for number, target in enumerate(open_files):
            (directory / str(number)).symlink_to(target)

    def flock(self, pid: int, name: str, *, waits: bool = False) -> None:
        """PID holds, or waits for, the flock of the device NAME."""
        status = os.stat(self.dev / name)
        place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        with (self.proc / "locks").open("a") as file:
            file.write(f"1: {'-> ' if waits else ''}FLOCK  ADVISORY  WRITE {pid} {place} 0 EOF\n")

    def link(self, link: Path, target: str) -> None:
        link.symlink_to(self.sys / target)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def raspberry_pi(root: Path) -> Machine:
    """A Pi: console on ttyAMA0, an RS-485 HAT on ttySC0, two USB adapters, one of them without serial number."""
    pi = Machine(root)
    pi.soc_uart("ttyAMA0", "platform/soc/3f201000.serial", "uart-pl011", "arm,pl011\0arm,primecell\0")
    hat = pi.soc_uart("ttySC0", "platform/soc/3f204000.spi/spi_master/spi0/spi0.0", "sc16is7xx", "nxp,sc16is752")
    write(hat / "of_node/linux,rs485-enabled-at-boot-time", "")
    pi.usb(
        "ttyUSB0", "1-1.2", "ftdi_sio", idVendor="0403", idProduct="6001",
        manufacturer="FTDI", product="FT232R USB UART", serial="A50285BI",
    )  # fmt: skip
    pi.usb("ttyUSB10", "1-1.3", "ch341-uart", idVendor="1a86", idProduct="7523", product="USB Serial")
    pi.stable("serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0", "ttyUSB0")
    pi.stable("serial/by-path/platform-3f980000.usb-usb-0:1.2:1.0-port0", "ttyUSB0")
    pi.stable("serial/by-id/usb-1a86_USB_Serial-if00-port0", "ttyUSB10")
    pi.stable("serial/by-path/platform-3f980000.usb-usb-0:1.3:1.0-port0", "ttyUSB10")
    pi.tty("ttyS0", "platform/serial8250", driver="serial8250", uart_type="0")
    (pi.sys / "class/tty/tty1").mkdir()  # virtual terminals have no device
    (pi.dev / "pts").mkdir()
    write(pi.sys / "class/tty/console/active", "tty1 ttyAMA0\n")
    return pi
