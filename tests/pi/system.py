"""The guest once more, with systemd and dpkg: what the package is installed in.

Its packages are unpacked and not configured, since that would run programs for another processor: dpkg takes them for
installed, and systemd needs no more than their files.
"""

import email
import shutil
import subprocess
from pathlib import Path

from tests.pi import image
from tests.pi.image import Image

PACKAGES = (
    *("systemd", "dpkg", "init-system-helpers", "base-files", "base-passwd", "libc-bin", "passwd"),
    *(
        "bash",
        "dash",
        "coreutils",
        "findutils",
        "grep",
        "sed",
        "tar",
        "gzip",
        "debianutils",
        "diffutils",
        "perl-base",
        "procps",
    ),
    *("python3", "libstdc++6", "busybox-static"),
)
PACKAGE = "/root/nportpy.deb"
NEWER = "/root/newer.deb"
MERGED = ("bin", "sbin", "lib")  # links to their namesakes below /usr
UNWANTED = (*image.UNWANTED[:-1], "var/cache")

INIT = """#!/usr/bin/busybox sh
export PATH=/usr/bin:/usr/sbin
/usr/bin/busybox mount -t proc proc /proc
/usr/bin/busybox mount -t sysfs sys /sys
/usr/bin/busybox mount -t devtmpfs dev /dev
for module in {modules}; do /usr/bin/busybox insmod /usr/lib/pi/$module.ko; done
for words in "link set lo up" "link set eth0 up" "addr add 10.0.2.15/24 dev eth0" "route add default via 10.0.2.2"; do
    /usr/bin/busybox ip $words
done
exec /usr/lib/systemd/systemd --log-target=console --show-status=no
"""
AGENT = """[Unit]
Description=runs what tests ask for
[Service]
ExecStart=/usr/bin/python3 /opt/agent.py
Environment=HOME=/root PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive
"""


def build(project: Path, package: Path, newer: Path) -> Image:
    """Make what is missing or out of date; `package` and `newer` lie in /root then."""
    base = image.build(project)
    folder = image.cache()
    with image._locked(folder):
        recipe = [Path(each).read_bytes() for each in (__file__, image.__file__, Path(__file__).with_name("agent.py"))]
        system = image._once(
            folder, f"system-{image._digest(*recipe)}", lambda to: _make_system(to, base.kernel.parent / "modules")
        )
        digest = image._digest(package.read_bytes(), newer.read_bytes())
        packages = image._once(folder, f"package-{digest}", lambda to: _make_packages(to, package, newer))
    return Image(base.kernel, (system / "archive.cpio", packages / "archive.cpio"))


def _make_system(to: Path, modules: Path) -> None:
    apt, root = to / "apt", to / "root"
    options = image.apt_options(apt)
    image._run(["apt-get", *options, "update"])
    image.download(apt, options, PACKAGES)
    for name in MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    status = []
    for package in sorted(apt.glob("*.deb")):
        _unpack(package, root)
        fields = email.message_from_string(image._run(["dpkg-deb", "--field", package]))
        status.append(f"Package: {fields['Package']}\nStatus: install ok installed\n")
        status[-1] += "".join(f"{key}: {value}\n" for key, value in fields.items() if key != "Package")
    for name in UNWANTED:
        shutil.rmtree(root / name, ignore_errors=True)
    database = root / "var/lib/dpkg"
    for name in ("info", "updates", "triggers", "alternatives", "parts"):
        (database / name).mkdir(parents=True, exist_ok=True)
    (database / "status").write_text("\n".join(status))
    (database / "available").touch()
    for package in apt.glob("*.deb"):  # whose files they are makes no difference here, but dpkg wants to know
        name, _, _ = package.name.partition("_")
        (database / f"info/{name}.list").touch()
        (database / f"info/{name}:arm64.list").touch()
    _furnish(root, modules)
    image._compile(root, next(root.glob("usr/lib/python3.*")).name.removeprefix("python"))
    image._archive(root, to / "archive.cpio")
    shutil.rmtree(apt)
    shutil.rmtree(root)


def _unpack(package: Path, root: Path) -> None:
    """As dpkg does: what a link to a folder leads to stays where it is."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as tar:
        command = ["tar", "--extract", "--keep-directory-symlink", "--no-same-owner", "--directory", str(root)]
        subprocess.run(command, stdin=tar.stdout, check=True, timeout=120)
    assert tar.returncode == 0


def _furnish(root: Path, modules: Path) -> None:
    shutil.copytree(modules, root / "usr/lib/pi")
    for name in ("proc", "sys", "dev", "tmp", "run", "root", "opt", "var/log", "var/tmp", "var/cache", "etc"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("passwd", "group"):
        shutil.copy(root / f"usr/share/base-passwd/{name}.master", root / "etc" / name)
    (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")  # else it would be a first boot
    (root / "etc/hostname").write_text("pi\n")
    units = root / "etc/systemd/system"
    wanted = units / "multi-user.target.wants"
    wanted.mkdir(parents=True, exist_ok=True)
    (units / "agent.service").write_text(AGENT)
    (wanted / "agent.service").symlink_to("../agent.service")
    (units / "default.target").symlink_to("/usr/lib/systemd/system/multi-user.target")
    for name in ("systemd-logind.service", "getty.target", "systemd-binfmt.service"):
        (units / name).symlink_to("/dev/null")
    # Byte code comes with the packages here (test_package.py): an emulated processor would take minutes to make it.
    for name in ("py3compile", "py3clean"):
        place = root / "usr/local/sbin" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("#!/bin/sh\n")
        place.chmod(0o755)
    shutil.copy(Path(__file__).with_name("agent.py"), root / "opt")
    (root / "init").write_text(INIT.format(modules=" ".join(image.MODULES)))
    (root / "init").chmod(0o755)


def _make_packages(to: Path, package: Path, newer: Path) -> None:
    root = to / "root"
    (root / "root").mkdir(parents=True)
    shutil.copy(package, root / PACKAGE.lstrip("/"))
    shutil.copy(newer, root / NEWER.lstrip("/"))
    image._archive(root, to / "archive.cpio")
    shutil.rmtree(root)
