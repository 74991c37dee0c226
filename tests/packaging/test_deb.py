"""The Debian packages in roots of their releases, as an administrator installs, upgrades and removes them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.packaging.conftest import Built, Fresh
from tests.packaging.root import Root

pytestmark = [pytest.mark.packages, pytest.mark.timeout(600)]
CONFIG = "/etc/nportpy/nportpy.toml"
MACHINES = {"amd64": "Advanced Micro Devices X86-64", "arm64": "AArch64"}
RELEASES = {"12": "3.11", "13": "3.13"}
SERVED = """
[http]
listen = "127.0.0.1:9550"
[port.bench]
device = "/tmp/line"
[port.bench.raw]
listen = 4001
"""
ROUND_TRIP = """
socat pty,raw,echo=0,link=/tmp/line exec:cat &
nportpy serve &
until echo hello | nc -q 1 127.0.0.1 4001 | grep hello; do sleep 0.2; done
"""


def package_of(built: Built, release: str, arch: str = "amd64") -> Path:
    return built(f"nportpy_*+deb{release}_{arch}.deb")


@pytest.fixture(scope="module", params=list(RELEASES))
def release(request: pytest.FixtureRequest) -> str:
    """A release of Debian."""
    return str(request.param)


@pytest.fixture(scope="module")
def root(release: str, fresh: Fresh, built: Built) -> Root:
    """A root of it with the package installed; `apt` would find no index there, and needs none."""
    root = fresh(release)
    package = root.bring(package_of(built, release))
    said = root.run(f"apt-get install --no-install-recommends -y {package}")
    assert "Next: nportpy init" in said
    return root


def test_what_is_installed_runs_with_debians_python(root: Root, release: str) -> None:
    assert re.fullmatch(r"nportpy, version \d+\.\d+\.\d+\n", root.run("nportpy --version"))
    program = "import sys, sqlite3, ssl; print(sys.version_info[:2], sys.prefix)"
    major, minor = RELEASES[release].split(".")
    assert root.run(f'/usr/lib/nportpy/bin/python3 -c "{program}"') == f"({major}, {minor}) /usr/lib/nportpy\n"


def test_every_library_is_there_and_every_extra(root: Root) -> None:
    script = "find /usr/lib/nportpy -name '*.so' | while read -r each; do echo $each; ldd -r $each; done"
    missing = [line for line in root.run(script).splitlines() if "not found" in line]
    assert missing == []
    root.run("/usr/lib/nportpy/bin/python3 -c 'import asyncpg, nats, paho.mqtt.client, zeroconf'")


def test_byte_code_is_there_for_what_is_imported(root: Root) -> None:
    site = "/usr/lib/nportpy/lib/python3*/site-packages"
    assert root.run(f"ls {site}/nportpy/cli/__pycache__ | wc -l") > "1"
    before = root.run(f"find {site} -name '*.pyc' | wc -l")
    root.run("nportpy check || true; nportpy demo --check >/dev/null")
    assert root.run(f"find {site} -name '*.pyc' | wc -l") == before


def test_nothing_is_served_before_somebody_has_said_what(root: Root) -> None:
    assert "port: is missing" in root.run("nportpy check", code=2)
    assert "port: is missing" in root.run("nportpy serve", code=2)
    assert not root.path("/etc/systemd/system/multi-user.target.wants/nportpy.service").is_symlink()


def test_files_are_where_the_documentation_says(root: Root) -> None:
    expected = [
        CONFIG,
        "/usr/lib/systemd/system/nportpy.service",
        "/usr/lib/systemd/system/nportpy-attach@.service",
        "/usr/lib/udev/rules.d/70-nportpy.rules",
        "/usr/share/nportpy/nportpy.toml",
        "/usr/share/nportpy/collect.toml",
        "/usr/share/nportpy/prometheus-nportpy-rules.yml",
        "/usr/share/man/man1/nportpy.1.gz",
        "/usr/share/man/man1/nportpy-serve.1.gz",
        "/usr/share/man/man5/nportpy.toml.5.gz",
        "/usr/share/bash-completion/completions/nportpy",
        "/usr/share/zsh/vendor-completions/_nportpy",
        "/usr/share/fish/vendor_completions.d/nportpy.fish",
        "/usr/lib/nportpy/share/nportpy/nportpy.toml",
    ]
    assert [path for path in expected if not root.path(path).is_file() and path != expected[-1]] == []
    root.run(f"test -f {expected[-1]}")
    for unit in expected[1:3]:
        text = root.path(unit).read_text()
        assert "ExecStart=/usr/bin/nportpy " in text
        assert "/opt/" not in text


def test_a_pty_is_served(root: Root) -> None:
    root.path(CONFIG).write_text(SERVED)
    assert root.run("nportpy check")
    assert "hello\n" in root.run(ROUND_TRIP)


def test_the_smoke_run_of_the_demo_loses_nothing(root: Root) -> None:
    assert "0 missing" in root.run("nportpy demo --check")


def test_an_upgrade_keeps_the_configuration_and_asks_nothing(root: Root, release: str, built: Built) -> None:
    root.path(CONFIG).write_text(SERVED)
    root.path("/etc/nportpy/attach-ttyV0.conf").write_text("TARGET=192.0.2.10:5001\n")
    newer = with_version(root, package_of(built, release), "9.9.9", "a new word\n")
    said = root.run(f"apt-get install -y {newer}")
    assert "Next: nportpy init" not in said
    assert root.run("dpkg-query -W -f '${Version}' nportpy") == "9.9.9"
    assert root.path(CONFIG).read_text() == SERVED
    # ... and back: the package before it
    older = root.bring(package_of(built, release))
    root.run(f"apt-get install -y --allow-downgrades {older}")
    assert root.path(CONFIG).read_text() == SERVED
    assert root.run("nportpy --version")


def test_removal_keeps_configuration_and_samples_and_purge_keeps_nothing(
    root: Root, release: str, built: Built
) -> None:
    root.path(CONFIG).write_text(SERVED)
    state = root.path("/var/lib/private/nportpy")  # where systemd puts them
    state.mkdir(parents=True, exist_ok=True)
    (state / "archive.db").write_text("samples")
    enabled = root.path("/etc/systemd/system/multi-user.target.wants/nportpy.service")
    enabled.parent.mkdir(parents=True, exist_ok=True)
    enabled.unlink(missing_ok=True)
    enabled.symlink_to("/usr/lib/systemd/system/nportpy.service")

    root.run("apt-get remove -y nportpy")
    assert root.path(CONFIG).read_text() == SERVED
    assert (state / "archive.db").exists()
    assert not root.path("/usr/lib/nportpy").exists()
    assert not root.path("/usr/bin/nportpy").is_symlink()

    root.run(f"apt-get install -y {root.bring(package_of(built, release))}")
    assert root.path(CONFIG).read_text() == SERVED

    root.run("apt-get purge -y nportpy")
    left = {path for path in root.files("nportpy") if not path.startswith(("/sys/", "/var/log/", "/var/cache/"))}
    assert left == set()
    root.run(f"apt-get install --no-install-recommends -y {root.bring(package_of(built, release))}")
    assert "Nothing is served yet" in root.path(CONFIG).read_text()


@pytest.mark.parametrize("arch", MACHINES)
@pytest.mark.parametrize("number", RELEASES)
def test_a_package_holds_binaries_of_its_machine_and_its_python_alone(
    number: str, arch: str, built: Built, tmp_path: Path
) -> None:
    package = package_of(built, number, arch)
    subprocess.run(["dpkg-deb", "--extract", package, tmp_path], check=True)
    site = tmp_path / f"usr/lib/nportpy/lib/python{RELEASES[number]}/site-packages"
    binaries = list(site.rglob("*.so"))
    heads = subprocess.run(["readelf", "-h", *binaries], stdout=subprocess.PIPE, check=True, text=True).stdout
    machines = set(re.findall(r"Machine:\s+(.*)", heads))
    assert machines == {MACHINES[arch]}
    tag = f"cpython-{RELEASES[number].replace('.', '')}"
    assert [path for path in binaries if "cpython" in path.name and tag not in path.name] == []
    assert len(binaries) > 20
    assert list(tmp_path.rglob("*.pyc")) == []


@pytest.mark.parametrize(("number", "arch"), [("12", "arm64"), ("13", "amd64")])
def test_lintian_has_no_errors(number: str, arch: str, built: Built) -> None:
    if shutil.which("lintian") is None:
        pytest.skip("no lintian here")
    command = [
        "lintian",
        "--allow-root",
        "--fail-on=error",
        "--tag-display-limit=0",
        str(package_of(built, number, arch)),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=500)
    assert done.returncode == 0, done.stdout


def with_version(root: Root, package: Path, version: str, word: str) -> str:
    """The same package under another version, its shipped configuration changed; a path in the root."""
    unpacked = root.path("/root/newer")
    subprocess.run(["dpkg-deb", "--raw-extract", package, unpacked], check=True)
    control = unpacked / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {version}", control.read_text()))
    with (unpacked / "usr/share/nportpy/nportpy.toml").open("a") as file:
        file.write(f"# {word}")
    made = root.path("/root/newer.deb")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", unpacked, made], check=True)
    shutil.rmtree(unpacked)
    return "/root/newer.deb"
