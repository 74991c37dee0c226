"""Makes Debian packages: a virtual environment in /usr/lib/nportpy with all that the wheel needs, and etc/ beside it.

    python etc/packaging/deb.py dist/nportpy-VERSION-py3-none-any.whl dist [--release 12] [--arch arm64]

Nothing is compiled and nothing runs: pip picks the wheels that fit the interpreter, the C library and the processor
of a release, so that a package for a Raspberry Pi is made anywhere. Each release has one Python, and so a package.
"""

import argparse
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_string
from email.message import Message
from email.utils import formatdate
from pathlib import Path

HERE = Path(__file__).parent
MAINTAINER = "The nportpy authors <nportpy@nportpy.invalid>"
HOME = "usr/lib/nportpy"
LICENCE = "/usr/share/common-licenses/Apache-2.0"


@dataclass(frozen=True, slots=True)
class Release:
    """A release of Debian, and of Raspberry Pi OS.

    Attributes:
        number: Debian's.
        python: its Python, major and minor.
        glibc: the minor version of its C library, 2.something.
    """

    number: str
    python: tuple[int, int]
    glibc: int


RELEASES = (Release("12", (3, 11), 36), Release("13", (3, 13), 41))
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
OLDEST_GLIBC = 17  # what wheels for these machines are built against at the earliest


def main() -> None:
    """Make the packages that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("to", type=Path, help="folder of the packages")
    parser.add_argument("--release", action="append", choices=[each.number for each in RELEASES])
    parser.add_argument("--arch", action="append", choices=list(MACHINES))
    asked = parser.parse_args()
    for release in RELEASES:
        for arch in asked.arch or MACHINES:
            if release.number in (asked.release or [each.number for each in RELEASES]):
                print(make(asked.wheel.resolve(), asked.to, release, arch))


def make(wheel: Path, to: Path, release: Release, arch: str) -> Path:
    """Make one package, and return where it is."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        site = root / HOME / f"lib/python{release.python[0]}.{release.python[1]}/site-packages"
        install(wheel, site, release, MACHINES[arch])
        strip(site, MACHINES[arch])
        version = f"{next(metadata(site, 'nportpy'))['Version']}+deb{release.number}"
        place(root, site, release)
        document(root, site, version)
        control(root, release, arch, version)
        package = to / f"nportpy_{version}_{arch}.deb"
        to.mkdir(parents=True, exist_ok=True)
        run("dpkg-deb", "--root-owner-group", "-Zxz", "-z1", "--build", root, package)
    return package


def install(wheel: Path, site: Path, release: Release, machine: str) -> None:
    """Unpack the wheel, all extras included, and all that they need."""
    major, minor = release.python
    platforms = [f"manylinux_2_{each}_{machine}" for each in range(release.glibc, OLDEST_GLIBC - 1, -1)]
    run(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--target", site, "--no-compile", "--only-binary=:all:"),
        *("--implementation=cp", f"--python-version={major}.{minor}"),
        *(f"--platform={each}" for each in (*platforms, f"manylinux2014_{machine}", "any")),
        f"{wheel}[full]",
    )


def strip(site: Path, machine: str) -> None:
    """Take out what only debuggers read: more than half of all that is installed."""
    run(f"{machine}-linux-gnu-strip", "--strip-unneeded", *site.rglob("*.so"))


def place(root: Path, site: Path, release: Release) -> None:
    """Lay out what pip has unpacked: a virtual environment of Debian's Python, and share/ where Debian has it."""
    major, minor = release.python
    shutil.move(site / "share", root / "usr/share")
    (root / "usr/share/zsh/site-functions").rename(root / "usr/share/zsh/vendor-completions")
    shutil.rmtree(site / "bin")
    home = root / HOME
    (home / "bin").mkdir()
    (home / "bin/python3").symlink_to(f"../../../bin/python{major}.{minor}")
    (home / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {major}.{minor}\n"
    )
    program = home / "bin/nportpy"
    program.write_text(f"#!/{HOME}/bin/python3\nimport sys\n\nfrom nportpy.cli import main\n\nsys.exit(main())\n")
    (home / "share").mkdir()
    (home / "share/nportpy").symlink_to("../../../share/nportpy")  # as everywhere: sys.prefix, share/nportpy
    (root / "usr/bin").mkdir()
    (root / "usr/bin/nportpy").symlink_to("../lib/nportpy/bin/nportpy")

    shared = root / "usr/share/nportpy"
    for unit in shared.glob("*.service"):
        text = unit.read_text()
        # its head says how to install it by hand
        text = "[Unit]" + text.partition("[Unit]")[2].replace("/opt/nportpy/bin/nportpy", "/usr/bin/nportpy")
        installed = root / "usr/lib/systemd/system" / unit.name
        installed.parent.mkdir(parents=True, exist_ok=True)
        installed.write_text(text.replace("[Unit]\n", "[Unit]\nDocumentation=man:nportpy(1) man:nportpy.toml(5)\n"))
        unit.unlink()
    rules = root / "usr/lib/udev/rules.d"
    rules.mkdir(parents=True)
    shutil.move(shared / "70-nportpy.rules", rules)
    for page in (root / "usr/share/man").glob("*/*"):
        compress(page)
    (root / "etc/nportpy").mkdir(parents=True)
    shutil.copy(HERE / "debian/nportpy.toml", root / "etc/nportpy")


def document(root: Path, site: Path, version: str) -> None:
    """Whose it all is, and what has changed."""
    folder = root / "usr/share/doc/nportpy"
    folder.mkdir(parents=True)
    parts = [
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/",
        "Upstream-Name: nportpy",
        f"Comment: {HOME} also holds, each with its own licence in its .dist-info folder:",
    ]
    for each in metadata(site, "*"):
        if each["Name"] != "nportpy":
            licence = each["License-Expression"] or (each["License"] or "see its metadata").splitlines()[0]
            parts.append(f" {each['Name']} {each['Version']}: {licence}")
    parts += ["", "Files: *", "Copyright: 2026 the nportpy authors", "License: Apache-2.0", "", "License: Apache-2.0"]
    parts += [f" The full text is in {LICENCE}.", ""]
    (folder / "copyright").write_text("\n".join(parts))
    changelog = folder / "changelog.gz"
    entry = f"nportpy ({version}) stable; urgency=medium\n\n  * See CHANGELOG.md of this version.\n\n -- {MAINTAINER}  "
    changelog.write_bytes(gzip.compress(f"{entry}{formatdate(epoch())}\n".encode(), mtime=0))
    overrides = root / "usr/share/lintian/overrides"
    overrides.mkdir(parents=True)
    shutil.copy(HERE / "debian/lintian-overrides", overrides / "nportpy")


def control(root: Path, release: Release, arch: str, version: str) -> None:
    """What dpkg has to know."""
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    size = sum(path.stat().st_size for path in files) // 1024
    sums = [f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(root)}\n" for path in files]  # noqa: S324
    major, minor = release.python
    folder = root / "DEBIAN"
    folder.mkdir(mode=0o755)
    (folder / "control").write_text(
        f"Package: nportpy\nVersion: {version}\nArchitecture: {arch}\nMaintainer: {MAINTAINER}\n"
        f"Installed-Size: {size}\nSection: comm\nPriority: optional\n"
        f"Depends: python3 (>= {major}.{minor}~), python3 (<< {major}.{minor + 1}~), libc6 (>= 2.{release.glibc}),"
        " libgcc-s1, libstdc++6, procps\n"  # /bin/kill, which reloads
        "Recommends: udev\n"
        "Description: serial device server: RS-485 and RS-232 lines on TCP\n"
        " Serial lines on TCP: raw, RFC 2217, Real COM and Modbus TCP, with metrics,\n"
        " in the place of an NPort, ser2net or mbusd. Meters are read and archived on\n"
        " the spot.\n"
    )
    (folder / "md5sums").write_text("".join(sums))
    (folder / "conffiles").write_text("/etc/nportpy/nportpy.toml\n")
    for script in ("postinst", "prerm", "postrm"):
        shutil.copy(HERE / "debian" / script, folder)
        (folder / script).chmod(0o755)
    for path in (root, *root.rglob("*")):
        os.utime(path, (epoch(), epoch()), follow_symlinks=False)


def metadata(site: Path, name: str) -> Iterator[Message]:
    """The metadata of what is installed, in the order of their names."""
    for path in sorted(site.glob(f"{name}-*.dist-info/METADATA")):
        yield message_from_string(path.read_text())


def compress(path: Path) -> None:
    """In the place of the file, the same with gzip; the same each time."""
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    path.unlink()


def epoch() -> int:
    """The time that all files bear: SOURCE_DATE_EPOCH, or a fixed one as wheels have."""
    return int(os.environ.get("SOURCE_DATE_EPOCH", "1580601600"))


def run(*command: str | Path) -> None:
    """Run a program; it says itself why it fails."""
    subprocess.run([str(word) for word in command], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
