"""Builds what the guest boots: Debian's arm64 kernel and Python, the project's dependencies, the project.

Three archives, each made again only when what it holds has changed; the kernel unpacks them one after the other.
They are not compressed: software emulation copies a file faster than it inflates it.
"""

import compileall
import email
import fcntl
import hashlib
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("python3-minimal", "libpython3-stdlib", "busybox-static")
TOOLS = ("agent.py", "probe.py")  # of ours, for the guest
PROGRAMS = ("qemu-system-aarch64", "apt-get", "apt-cache", "dpkg-deb", "cpio")

# In the order in which they must be loaded: a package that is merely unpacked has no modules.dep.
MODULES = (
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
    "virtio_console",
    "usb-common",
    "usbcore",
    "xhci-hcd",
    "xhci-pci",
    "usbserial",
    "ftdi_sio",
)

# Nothing of this is used in the guest, and every byte is copied by an emulated processor.
UNWANTED = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/lintian",
    "usr/share/zsh",
    "usr/lib/aarch64-linux-gnu/gconv",
    "var",
)

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /usr/bin 2>/dev/null
export PATH=/usr/bin:/bin:/usr/sbin:/sbin HOME=/root PYTHONPATH=/opt/project:/opt/site LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
for module in {modules}; do insmod /lib/modules/$module.ko; done
hostname pi
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
exec >/dev/hvc0 2>&1 </dev/null
exec python3 /opt/agent.py
"""


@dataclass(frozen=True, slots=True)
class Image:
    """What QEMU boots; the archives are loaded in this order."""

    kernel: Path
    archives: tuple[Path, ...]


def missing() -> list[str]:
    """Programs that building or booting needs and that are not there."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


def cache() -> Path:
    """Where the pieces are kept: $NPORTPY_PI_DIR, or a folder of this user's under the temporary directory."""
    chosen = os.environ.get("NPORTPY_PI_DIR")
    return Path(chosen) if chosen else Path(tempfile.gettempdir()) / f"nportpy-pi-{os.getuid()}"


def build(project: Path) -> Image:
    """Make what is missing or out of date; takes a minute the first time, then a moment."""
    folder = cache()
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        recipe = Path(__file__).read_bytes()
        base = _once(folder, f"base-{_digest(recipe)}", _make_base)
        python = (base / "python").read_text()
        source = _digest(recipe, *_sources(project))
        built = _once(folder, f"project-{source}", lambda to: _make_project(project, python, to))
        requirements = (built / "requirements").read_text().splitlines()
        wanted = _digest(recipe, python.encode(), *(line.encode() for line in requirements))
        site = _once(folder, f"site-{wanted}", lambda to: _make_site(requirements, python, to))
    archives = tuple(piece / "archive.cpio" for piece in (base, site, built))
    return Image(base / "vmlinuz", archives)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


def _sources(project: Path) -> Iterator[bytes]:
    for path in sorted((project / "nportpy").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield str(path.relative_to(project)).encode()
            yield path.read_bytes()
    yield (project / "pyproject.toml").read_bytes()
    for name in TOOLS:
        yield (Path(__file__).parent / name).read_bytes()


def _once(folder: Path, name: str, make: Callable[[Path], None]) -> Path:
    """The piece `name`, made if it is not there; older pieces of its kind are removed."""
    done = folder / name
    if not done.exists():
        for old in folder.glob(f"{name.split('-')[0]}-*"):
            shutil.rmtree(old)
        # Half a piece must never be taken for a whole one, so it gets its name last.
        part = Path(tempfile.mkdtemp(prefix="part-", dir=folder))
        try:
            make(part)
            part.rename(done)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return done


def _run(command: Iterable[str | Path], cwd: Path | None = None, timeout: float = 600) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, text=True, capture_output=True, timeout=timeout, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        )
    return done.stdout


def _archive(root: Path, to: Path) -> None:
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    with to.open("wb") as file:
        subprocess.run(
            ["cpio", "--create", "--format=newc", "--owner=+0:+0", "--null", "--quiet"],
            cwd=root,
            input="\0".join(names).encode(),
            stdout=file,
            check=True,
            timeout=120,
        )
        # Archives that follow one another start at a multiple of four.
        file.write(bytes(-file.tell() % 4))


def _compile(root: Path, python: str) -> None:
    """Byte code of ours serves the guest if both speak the same Python; else the guest makes its own."""
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        compileall.compile_dir(root, quiet=2, invalidation_mode=mode, force=True, stripdir=root, prependdir="/")


def apt_options(apt: Path) -> list[str]:
    """Options for apt that keep it to that folder, and to packages for arm64."""
    (apt / "lists" / "partial").mkdir(parents=True)
    (apt / "status").touch()
    options = ["-oAPT::Architecture=arm64", "-oAPT::Architectures=arm64", "-oDebug::NoLocking=1"]
    options += [f"-oDir::State::Lists={apt / 'lists'}", f"-oDir::State::status={apt / 'status'}"]
    return [*options, f"-oDir::Cache={apt}", "-oAPT::Sandbox::User="]


def download(apt: Path, options: list[str], packages: Iterable[str], *others: str) -> None:
    """Fetch packages with all that they depend on, and others without."""
    plan = _run(["apt-get", *options, "--simulate", "--no-install-recommends", "install", *packages])
    names = [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]
    _run(["apt-get", *options, "download", *names, *others], cwd=apt)


def _make_base(to: Path) -> None:
    apt = to / "apt"
    options = apt_options(apt)
    _run(["apt-get", *options, "update"])
    depends = _run(["apt-cache", *options, "depends", "linux-image-arm64"])
    kernel = next(line.split()[1] for line in depends.splitlines() if "Depends:" in line)
    download(apt, options, PACKAGES, kernel)
    root, boot = to / "root", to / "boot"
    for package in apt.glob("*.deb"):
        _run(["dpkg-deb", "--extract", package, boot if package.name.startswith(kernel) else root])
    shutil.copy(next(boot.glob("boot/vmlinuz-*")), to / "vmlinuz")
    _furnish(root, boot)
    shutil.copytree(root / "lib/modules", to / "modules")
    python = next(root.glob("usr/lib/python3.*")).name.removeprefix("python")
    _compile(root, python)
    (to / "python").write_text(python)
    _archive(root, to / "archive.cpio")
    for folder in (apt, root, boot):
        shutil.rmtree(folder)


def _furnish(root: Path, boot: Path) -> None:
    for name in UNWANTED:
        shutil.rmtree(root / name, ignore_errors=True)
    modules = root / "lib/modules"
    modules.mkdir(parents=True)
    for name in MODULES:
        shutil.copy(next(boot.glob(f"lib/modules/**/{name}.ko")), modules)
    for name in ("proc", "sys", "dev", "tmp", "run", "root", "bin", "opt"):
        (root / name).mkdir(exist_ok=True)
    (root / "bin/sh").symlink_to("busybox")


def _make_project(project: Path, python: str, to: Path) -> None:
    _run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", to, project])
    wheel = next(to.glob("*.whl"))
    root = to / "root"
    with zipfile.ZipFile(wheel) as file:
        file.extractall(root / "opt/project")
        metadata = next(name for name in file.namelist() if name.endswith(".dist-info/METADATA"))
        fields = email.message_from_bytes(file.read(metadata))
    needs = [str(line) for line in fields.get_all("Requires-Dist", []) if "extra ==" not in line]
    (to / "requirements").write_text("".join(f"{line}\n" for line in sorted(needs)))
    for name in TOOLS:
        shutil.copy(Path(__file__).parent / name, root / "opt")
    _compile(root, python)
    (root / "init").write_text(INIT.format(modules=" ".join(MODULES)))
    (root / "init").chmod(0o755)
    _archive(root, to / "archive.cpio")
    shutil.rmtree(root)
    wheel.unlink()


def _make_site(requirements: list[str], python: str, to: Path) -> None:
    root = to / "root"
    platforms = ("manylinux2014_aarch64", "manylinux_2_17_aarch64", "manylinux_2_28_aarch64", "any")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", str(root / "opt/site")]
    command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    _run([*command, *(f"--platform={name}" for name in platforms), *requirements])
    _compile(root, python)
    _archive(root, to / "archive.cpio")
    shutil.rmtree(root)
