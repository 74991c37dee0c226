import os
from pathlib import Path

import pytest

from nportpy.port.holders import Holder, holders, sees_all, who_holds
from tests.support.trees import Machine, raspberry_pi, write


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return raspberry_pi(tmp_path)


def held(machine: Machine, name: str) -> list[Holder]:
    return who_holds(f"{machine.dev}/{name}", machine.roots)


def test_an_open_file_names_the_process(machine: Machine) -> None:
    machine.process(812, "ser2net -n -c /etc/ser2net.yaml", "/dev/null", f"{machine.dev}/ttyUSB0")
    assert held(machine, "ttyUSB0") == [Holder(812, "ser2net -n -c /etc/ser2net.yaml")]
    assert held(machine, "ttySC0") == []


def test_a_stable_name_is_followed_to_the_device(machine: Machine) -> None:
    machine.process(812, "minicom", f"{machine.dev}/ttyUSB0")
    link = "serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0"
    assert [holder.pid for holder in held(machine, link)] == [812]


def test_a_device_that_was_pulled_out_is_not_the_new_one(machine: Machine) -> None:
    machine.process(812, "minicom", f"{machine.dev}/ttyUSB0 (deleted)")
    assert held(machine, "ttyUSB0") == []


def test_the_flock_is_seen_without_rights_over_the_process(machine: Machine) -> None:
    machine.process(900, "mbusd")
    (machine.proc / "900/fd").rmdir()
    machine.flock(900, "ttySC0")
    machine.flock(901, "ttySC0", waits=True)
    machine.flock(902, "ttyUSB0")
    assert held(machine, "ttySC0") == [Holder(900, "mbusd")]


def test_a_lock_file_counts_while_its_process_lives(machine: Machine) -> None:
    machine.process(700, "gammu")
    write(machine.lock / "LCK..ttySC0", "       700 gammu root\n")
    write(machine.lock / "LCK..ttyUSB0", "       701\n")
    assert held(machine, "ttySC0") == [Holder(700, "gammu")]
    assert held(machine, "ttyUSB0") == []


def test_this_process_counts_only_where_it_has_locked(machine: Machine) -> None:
    machine.process(os.getpid(), "nportpy serve", f"{machine.dev}/ttyUSB0", f"{machine.dev}/ttySC0")
    machine.flock(os.getpid(), "ttySC0")
    assert held(machine, "ttyUSB0") == []
    assert held(machine, "ttySC0") == [Holder(os.getpid(), "nportpy serve")]


def test_a_hostile_command_line_is_defused_and_cut(machine: Machine) -> None:
    machine.process(812, "evil\x1b[2J\n" + "x" * 200, f"{machine.dev}/ttyUSB0")
    (holder,) = held(machine, "ttyUSB0")
    assert holder.command.startswith("evil?[2J xxx")
    assert len(holder.command) == 80


def test_a_process_without_command_line_has_its_name(machine: Machine) -> None:
    machine.process(812, "", f"{machine.dev}/ttyUSB0")
    write(machine.proc / "812/cmdline", "")
    write(machine.proc / "812/comm", "kworker\n")
    machine.process(813, "", f"{machine.dev}/ttyUSB0")
    write(machine.proc / "813/cmdline", "")
    assert [str(holder) for holder in held(machine, "ttyUSB0")] == ["kworker (pid 812)", "pid 813"]


def test_several_devices_in_one_walk_lowest_process_first(machine: Machine) -> None:
    both = (f"{machine.dev}/ttyUSB0", f"{machine.dev}/ttySC0")
    machine.process(30, "b", *both)
    machine.process(20, "a", both[0], both[0])
    found = holders(both, machine.roots)
    assert [holder.pid for holder in found[both[0]]] == [20, 30]
    assert [holder.pid for holder in found[both[1]]] == [30]


def test_nothing_is_certain_without_a_look_into_process_1(machine: Machine) -> None:
    assert sees_all(machine.roots)
    (machine.proc / "1/fd").rmdir()
    assert not sees_all(machine.roots)


def test_a_machine_without_proc_has_no_holders(machine: Machine, tmp_path: Path) -> None:
    machine.proc.rename(tmp_path / "elsewhere")
    assert held(machine, "ttyUSB0") == []
    assert held(machine, "ttyNOT0") == []


def test_the_real_proc_sees_who_has_a_file_open_and_locked(tmp_path: Path) -> None:
    import fcntl

    path = tmp_path / "device"
    with path.open("w") as file:
        assert who_holds(str(path)) == []
        fcntl.flock(file, fcntl.LOCK_EX)
        assert [holder.pid for holder in who_holds(str(path))] == [os.getpid()]
