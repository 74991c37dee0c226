"""The arm64 package on the software Raspberry Pi: installed, started by systemd, upgraded, removed and purged."""

import json
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pi import image, system
from tests.pi.guest import LOCAL, Guest, GuestError, NotYet, booted, eventually

pytestmark = [pytest.mark.pi, pytest.mark.timeout(600, func_only=True)]
PROJECT = Path(__file__).parents[2]
INSTALL = ("dpkg", "--force-unsafe-io", "--install")  # an emulated processor syncs thousands of files for minutes
CONFIG = """
[http]
listen = "0.0.0.0:9550"
[port.bench]
device = "/dev/ttyAMA0"
[port.bench.raw]
listen = 4001
"""


def package_here() -> Path:
    """The package for this Debian, whose packages the guest has, too."""
    number = re.search(r'VERSION_ID="(\d+)"', Path("/etc/os-release").read_text())
    found = list((PROJECT / "dist").glob(f"nportpy_*+deb{number[1] if number else '?'}_arm64.deb"))
    if len(found) != 1:
        pytest.skip("no arm64 package of this Debian in dist/; make deb builds it")
    return found[0]


@pytest.fixture(scope="module")
def pi(figures: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """The guest with systemd; the package lies in it, and a newer one."""
    if missing := image.missing():
        pytest.skip(f"the software Raspberry Pi needs {', '.join(missing)}")
    package = package_here()
    folder = tmp_path_factory.mktemp("packages")
    package, newer = compiled(package, folder, ""), compiled(package, folder, "9.9.9")
    started = time.monotonic()
    built = system.build(PROJECT, package, newer)
    ready = time.monotonic()
    with booted(built, memory=2048) as guest:  # an upgrade needs room for both
        figures.append(f"with systemd: built in {ready - started:.1f} s, booted in {time.monotonic() - ready:.1f} s")
        yield guest


def compiled(package: Path, folder: Path, version: str) -> Path:
    """The package with byte code in it, or its next version."""
    root, made = folder / f"root{version}", folder / f"made{version}.deb"
    subprocess.run(["dpkg-deb", "--raw-extract", package, root], check=True)
    image._compile(root, next(root.glob("usr/lib/nportpy/lib/python*")).name.removeprefix("python"))
    if version:
        control = root / "DEBIAN/control"
        control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {version}", control.read_text()))
    command = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(root), str(made)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return made


def done(guest: Guest, *argv: str, timeout: float = 240) -> str:
    """What a program prints, which has to end well."""
    result = guest.run(*argv, timeout=timeout)
    if result.code:
        log = guest.run("journalctl", "--no-pager", "-u", "nportpy", "-n", "60").out
        raise GuestError(f"{' '.join(argv)} ended with {result.code}:\n{result.out}{result.err}\n{log}")
    return result.out + result.err


def active(guest: Guest) -> bool:
    return guest.run("systemctl", "is-active", "nportpy").out == "active\n"


def main_pid(guest: Guest) -> str:
    return done(guest, "systemctl", "show", "--value", "--property=MainPID", "nportpy").strip()


def echoes(guest: Guest, words: bytes) -> bool:
    """Whether what a client of the raw port sends comes back from the far end of the line."""
    try:
        with socket.create_connection((LOCAL, guest.forward(4001)), 20) as client:
            client.sendall(words)
            return client.recv(len(words), socket.MSG_WAITALL) == words
    except OSError as error:
        raise NotYet(str(error)) from error


def lines_up(guest: Guest) -> bool:
    try:
        with urllib.request.urlopen(f"http://{LOCAL}:{guest.forward(9550)}/api/v1/status", timeout=30) as page:
            return [line["state"] for line in json.load(page)["lines"]] == ["up"]
    except OSError as error:
        raise NotYet(str(error)) from error


# In this order: each goes on where the one before it has ended.


def test_the_package_installs_and_serves_nothing_yet(pi: Guest, figures: list[str]) -> None:
    started = time.monotonic()
    said = done(pi, *INSTALL, system.PACKAGE, timeout=500)
    figures.append(f"package installed in {time.monotonic() - started:.1f} s")
    assert "Next: nportpy init" in said
    assert not active(pi)
    assert done(pi, "nportpy", "--version").startswith("nportpy, version")
    # Without a port it ends, and systemd does not try again and again.
    pi.run("systemctl", "start", "nportpy", timeout=120)
    assert pi.run("systemctl", "is-active", "nportpy").out == "failed\n"


def test_systemd_starts_it_as_nobody_in_particular(pi: Guest) -> None:
    pi.write("/etc/nportpy/nportpy.toml", CONFIG)
    done(pi, "sh", "-c", "chgrp dialout /dev/ttyAMA0; chmod 660 /dev/ttyAMA0")  # there is no udev to do it
    done(pi, "systemctl", "enable", "--now", "nportpy")
    assert active(pi)
    with pi.far_end("ama0", echo=True):
        eventually("the line is up", lambda: lines_up(pi), 180)
        eventually("what is sent comes back", lambda: echoes(pi, b"hello"), 180)
    assert done(pi, "stat", "-c", "%U", f"/proc/{main_pid(pi)}") != "root\n"
    done(pi, "systemctl", "reload", "nportpy")


def test_an_upgrade_restarts_what_runs_and_asks_nothing(pi: Guest) -> None:
    before = main_pid(pi)
    done(pi, *INSTALL, system.NEWER, timeout=500)
    assert active(pi)
    assert main_pid(pi) not in ("0", before)
    assert pi.read("/etc/nportpy/nportpy.toml") == CONFIG


def test_what_was_removed_comes_back_as_it_was(pi: Guest) -> None:
    done(pi, "dpkg", "--remove", "nportpy")
    assert not active(pi)
    assert pi.read("/etc/nportpy/nportpy.toml") == CONFIG
    done(pi, *INSTALL, system.PACKAGE, timeout=500)
    assert active(pi)
    eventually("the line is up", lambda: lines_up(pi), 180)


def test_purged_nothing_is_left(pi: Guest) -> None:
    done(pi, "dpkg", "--purge", "nportpy")
    assert not active(pi)
    places = ("/etc", "/usr", "/opt", "/var/lib")
    assert pi.run("find", *places, "-name", "*nportpy*", "-not", "-path", "/var/lib/dpkg/*").out == ""
