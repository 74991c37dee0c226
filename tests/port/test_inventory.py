import os
from pathlib import Path

import pytest

from nportpy.port.inventory import Rs485State, SerialDevice, driver_of, serial_devices, serve_candidates
from tests.support.trees import Machine, raspberry_pi, write


@pytest.fixture
def pi(tmp_path: Path) -> Machine:
    return raspberry_pi(tmp_path)


def found(machine: Machine) -> dict[str, SerialDevice]:
    return {os.path.basename(device.path): device for device in serial_devices(machine.roots)}


def test_only_what_has_hardware_and_a_node_in_natural_order(pi: Machine) -> None:
    pi.tty("ttyUSB2", "platform/soc/other").joinpath("x").touch()
    pi.tty("ttyUSB3", "platform/soc/without-node")
    (pi.dev / "ttyUSB3").unlink()
    assert list(found(pi)) == ["ttyAMA0", "ttySC0", "ttyUSB0", "ttyUSB2", "ttyUSB10"]


def test_a_usb_adapter_with_a_serial_number_goes_by_its_id(pi: Machine) -> None:
    adapter = found(pi)["ttyUSB0"]
    assert adapter.stable == f"{pi.dev}/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0"
    assert adapter.driver == "ftdi_sio"
    assert adapter.description == "FTDI FT232R USB UART A50285BI"
    assert adapter.usb_serial == "A50285BI"


def test_a_usb_adapter_without_serial_number_goes_by_its_socket(pi: Machine) -> None:
    adapter = found(pi)["ttyUSB10"]
    assert adapter.stable == f"{pi.dev}/serial/by-path/platform-3f980000.usb-usb-0:1.3:1.0-port0"
    assert adapter.driver == "ch341-uart"
    assert adapter.usb_serial == ""


def test_a_name_that_somebody_chose_goes_first(pi: Machine) -> None:
    pi.stable("nportpy/meters", "ttyUSB10")
    pi.stable("nportpy/plc", "ttySC0")
    assert found(pi)["ttyUSB10"].stable == f"{pi.dev}/nportpy/meters"
    assert found(pi)["ttySC0"].stable == f"{pi.dev}/nportpy/plc"


def test_a_uart_on_the_board_keeps_its_path_and_its_own_driver(pi: Machine) -> None:
    pi.stable("serial/by-path/platform-3f204000.spi", "ttySC0")
    uart = found(pi)["ttySC0"]
    assert uart.stable == uart.path
    assert uart.driver == "sc16is7xx"
    assert uart.description == "nxp,sc16is752"
    assert found(pi)["ttyAMA0"].description == "arm,pl011"


def test_the_device_tree_tells_the_rs485_mode_at_boot(pi: Machine) -> None:
    devices = found(pi)
    assert devices["ttySC0"].rs485 is Rs485State.ON_AT_BOOT
    assert devices["ttyUSB0"].rs485 is Rs485State.UNKNOWN


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("sys/class/tty/console/active", "tty0 ttySC0\n"),
        ("proc/consoles", "tty0   -WU (EC  p  )    4:1\nttySC0 -W- (EC  p a)  204:64\n"),
        ("proc/cmdline", "quiet console=tty1 console=ttySC0,115200n8 root=/dev/mmcblk0p2\n"),
        ("proc/cmdline", "console=serial0,115200\n"),
    ],
)
def test_the_console_is_found_wherever_it_is_named(pi: Machine, tmp_path: Path, path: str, text: str) -> None:
    (pi.sys / "class/tty/console/active").unlink()
    (pi.dev / "serial0").symlink_to(pi.dev / "ttySC0")
    write(tmp_path / path, text)
    assert [name for name, device in found(pi).items() if device.console] == ["ttySC0"]
    assert "ttySC0" not in [os.path.basename(device.path) for device in serve_candidates(pi.roots)]


def test_everything_but_the_console_may_be_served(pi: Machine) -> None:
    names = [os.path.basename(device.path) for device in serve_candidates(pi.roots)]
    assert names == ["ttySC0", "ttyUSB0", "ttyUSB10"]


def test_who_uses_a_device_and_whether_that_is_certain(pi: Machine) -> None:
    pi.process(812, "ser2net", f"{pi.dev}/ttyUSB0")
    assert [holder.pid for holder in found(pi)["ttyUSB0"].holders] == [812]
    assert found(pi)["ttySC0"].holders_certain
    (pi.proc / "1/fd").rmdir()
    assert not found(pi)["ttySC0"].holders_certain


def test_a_device_is_opened_only_when_asked_and_free(pi: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    real_open = os.open

    def spy(path: str, flags: int, mode: int = 0o777) -> int:
        opened.append(os.path.basename(path))
        assert flags & (os.O_NONBLOCK | os.O_NOCTTY) == os.O_NONBLOCK | os.O_NOCTTY
        return real_open(path, flags, mode)

    monkeypatch.setattr(os, "open", spy)
    pi.process(812, "ser2net", f"{pi.dev}/ttyUSB0")
    serial_devices(pi.roots)
    assert opened == []
    devices = {os.path.basename(device.path): device for device in serial_devices(pi.roots, probe=True)}
    assert opened == ["ttySC0", "ttyUSB10"]
    assert devices["ttyUSB10"].rs485 is Rs485State.NONE  # an ordinary file does not know the question either
    assert devices["ttyUSB0"].rs485 is Rs485State.UNKNOWN


def test_a_usb_device_without_texts_is_named_by_its_numbers(pi: Machine) -> None:
    pi.usb("ttyACM0", "1-1.4", "cdc_acm", idVendor="2341", idProduct="0043")
    assert found(pi)["ttyACM0"].description == "USB 2341:0043"


def test_a_hostile_product_name_is_defused(pi: Machine) -> None:
    pi.usb("ttyACM0", "1-1.4", "cdc_acm", idVendor="2341", idProduct="0043", product="\x1b]0;x\x07", serial="\x1b1")
    assert found(pi)["ttyACM0"].description == "?]0;x? ?1"
    assert found(pi)["ttyACM0"].usb_serial == "?1"


def test_the_driver_of_a_device_by_any_of_its_names(pi: Machine) -> None:
    assert driver_of(f"{pi.dev}/ttyAMA0", pi.roots) == "uart-pl011"
    link = f"{pi.dev}/serial/by-id/usb-1a86_USB_Serial-if00-port0"
    assert driver_of(link, pi.roots) == "ch341-uart"
    assert driver_of("/dev/pts/3", pi.roots) == "unknown"


def test_a_uart_without_device_tree_is_named_by_its_bus(pi: Machine) -> None:
    device = pi.tty("ttyS1", "platform/pcie/0000:00:01.0", driver="serial", uart_type="4")
    pi.link(device / "subsystem", "bus/pci")
    write(device.parent / "of_node/compatible", "pci-host-ecam-generic")
    assert found(pi)["ttyS1"].description == "pci 0000:00:01.0"


def test_no_sysfs_means_no_devices(pi: Machine, tmp_path: Path) -> None:
    pi.sys.rename(tmp_path / "elsewhere")
    assert serial_devices(pi.roots) == []


def test_this_machine_can_be_looked_at() -> None:
    for device in serial_devices():
        assert device.path.startswith("/dev/tty")
        assert device.rs485 in (Rs485State.UNKNOWN, Rs485State.ON_AT_BOOT)
