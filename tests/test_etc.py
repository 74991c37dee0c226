"""What lies in etc/ and round the project: read as text, without the programs that it is for (see tests/peers)."""

import os
import re
import subprocess
from ipaddress import ip_address
from pathlib import Path

import pytest
from prometheus_client.exposition import generate_latest

from nportpy.config import parse
from nportpy.linesettings import LineSettings, UartCounters
from nportpy.network.addresses import allowed
from nportpy.services.metrics import registry
from nportpy.status import GatewayStatus, LineStatus, ServiceStatus
from tests.support.packages import DEBIAN, wanted

ROOT = Path(__file__).parent.parent
UNIT = ROOT / "etc/nportpy.service"
RULES = ROOT / "etc/70-nportpy.rules"


def unit_settings() -> dict[str, list[str]]:
    """The unit's settings: name -> values in their order; names are unique across its sections."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def test_the_service_reports_reloads_and_is_watched() -> None:
    unit = unit_settings()
    assert unit["Type"] == ["notify"]  # notify-reload came with systemd 253
    assert unit["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert unit["WatchdogSec"] == ["30s"]
    assert unit["Restart"] == ["always"]
    assert unit["RestartPreventExitStatus"] == ["2"]
    assert unit["ExecStart"] == ["/opt/nportpy/bin/nportpy serve -c /etc/nportpy/nportpy.toml"]


def test_the_service_can_do_its_work_and_little_else() -> None:
    unit = unit_settings()
    assert unit["SupplementaryGroups"] == ["dialout"]
    assert unit["AmbientCapabilities"] == unit["CapabilityBoundingSet"] == ["CAP_NET_BIND_SERVICE"]
    assert unit["PrivateDevices"] == unit["PrivateUsers"] == ["no"]
    assert unit["DevicePolicy"] == ["closed"]
    assert unit["DeviceAllow"] == ["char-tty?* rw", "char-166 rw", "char-188 rw"]
    assert "AF_UNIX" in unit["RestrictAddressFamilies"][0]  # the way to the service manager
    assert unit["ProcSubset"] == ["all"]


# KEY or KEY{attribute}, operator, quoted value: udev(7)
RULE_TOKEN = re.compile(r'^([A-Z]+)(?:\{([A-Za-z0-9_./]+)\})?\s*(==|!=|=|\+=|-=|:=)\s*"([^"]*)"$')
MATCHES = {"ACTION", "SUBSYSTEM", "SUBSYSTEMS", "KERNEL", "KERNELS", "DRIVER", "DRIVERS", "ATTRS", "TEST"}
ASSIGNMENTS = {"GROUP", "MODE", "SYMLINK"}
EITHER = {"ATTR", "ENV"}


def rules() -> list[str]:
    """Every rule, the ones that are commented out as examples too."""
    return [line.lstrip("#") for line in RULES.read_text().splitlines() if re.match(r"#?[A-Z]+(==|!=)", line)]


@pytest.mark.parametrize("rule", rules())
def test_a_udev_rule_matches_first_and_then_assigns(rule: str) -> None:
    tokens = [RULE_TOKEN.match(token.strip()) for token in rule.split(", ")]
    assert all(tokens), rule
    assigns = []
    for token in tokens:
        assert token is not None
        key, attribute, operator, _ = token.groups()
        matching = operator in ("==", "!=")
        assert key in EITHER | (MATCHES if matching else ASSIGNMENTS)
        assert (attribute is not None) == (key in EITHER | {"ATTRS"})
        assigns.append(not matching)
    assert assigns == sorted(assigns)
    assert assigns[-1]
    assert 'SUBSYSTEM=="tty"' in rule or 'SUBSYSTEM=="usb-serial"' in rule


def test_the_udev_rules_make_ftdi_adapters_prompt() -> None:
    active = [line for line in RULES.read_text().splitlines() if line and not line.startswith("#")]
    assert sum('ATTR{latency_timer}="1"' in line for line in active) == 1
    assert all("SYMLINK" not in line for line in active)


def test_the_alerts_ask_for_metrics_that_are_there() -> None:
    line = LineStatus(
        "meters", "/dev/ttyAMA0", "up", 0.0, "", LineSettings(), None, None, 0, 0, 0, 0, 0, 0, 0, UartCounters(), 0
    )
    service = ServiceStatus("meters", "modem", ("[::]:4001",), (), {}, 0)  # it is called, and calls
    status = GatewayStatus("pi-07", 0.0, True, 0, 0, (line,), (service,))
    exposition = generate_latest(registry(lambda: status))
    there = set(re.findall(r"^(nportpy_\w+)", exposition.decode(), flags=re.MULTILINE))
    asked = set(re.findall(r"\bnportpy_\w+", (ROOT / "etc/prometheus-nportpy-rules.yml").read_text()))
    assert asked
    assert asked <= there


def test_the_image_runs_unprivileged_and_is_built_of_wheels() -> None:
    text = (ROOT / "Dockerfile").read_text()
    build, run = re.split(r"^FROM python:3\.13-slim$", text, flags=re.MULTILINE)
    assert "--only-binary=:all:" in build
    assert "\nUSER 10001:20\n" in run
    assert "/healthz" in run
    assert "RUN" not in re.findall(r"^[A-Z]+", run, flags=re.MULTILINE)
    assert not re.search(r"amd64|arm64|x86_64|aarch64", re.sub(r"#.*", "", text))


def test_what_the_image_copies_is_not_ignored() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    assert {name for names in copied for name in names.split()} == kept
    assert all((ROOT / name).exists() for name in kept)


def test_the_ci_script_can_be_run() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)


def test_the_readme_names_the_packages_that_ci_installs() -> None:
    """Those that the tests talk to; what a bare image lacks stands in the first line of the script's list."""
    listed = re.search(r"^packages=\(\n[^\n]*\n(.*?)\n\)", (ROOT / ".ci/run").read_text(), re.MULTILINE | re.DOTALL)
    command = re.search(r"^apt install ((?:.*\\\n)+.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert listed
    assert command
    assert command[1].replace("\\\n", " ").split() == re.sub(r"#.*", "", listed[1]).split()


def test_a_skip_says_which_package_it_wants() -> None:
    said = [
        reason
        for path in (ROOT / "tests").rglob("test_*.py")
        for reason in re.findall(r"\"(no [\w-]+ here)\"", path.read_text())
    ]
    assert len(said) > 20
    assert [reason for reason in said if wanted(reason) == reason] == []
    assert wanted("no nc here") == "no nc here (Debian: netcat-openbsd)"
    listed = re.sub(r"#.*", "", (ROOT / ".ci/run").read_text().partition("packages=(")[2].partition("\n)")[0]).split()
    assert set(DEBIAN.values()) <= set(listed)


def test_the_changelog_has_the_version() -> None:
    from nportpy import __version__

    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_readme_shows_files_that_are_right() -> None:
    blocks = re.findall(r"^```toml\n(.*?)^```", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        parse(block, "README.md")


def test_the_documents_link_to_what_is_there() -> None:
    for document in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / document).read_text()):
            assert target.startswith("https://") or (ROOT / target).exists(), target


def test_a2_the_main_example_of_a_replacement_serves_its_own_last_step() -> None:
    """Step 5 has a person on the machine ask 127.0.0.1:9550, and the example allows a network."""
    document = (ROOT / "docs/replacing-an-nport.md").read_text()
    assert "http://127.0.0.1:9550/metrics" in document
    example = re.findall(r"```toml\n(.*?)```", document, re.DOTALL)[0]
    settings = parse(example, "x")
    assert settings.http is not None
    assert settings.http.listen == (("127.0.0.1", 9550),)
    assert settings.http.allow
    assert allowed(ip_address("127.0.0.1"), settings.http.allow)
    assert not allowed(ip_address("127.0.0.1"), settings.ports[0].raw[0].allow)
