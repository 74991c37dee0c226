"""What lies in etc/, checked by the programs that it is for."""

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.peer

ETC = Path(__file__).parent.parent.parent / "etc"


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    if shutil.which(program) is None:
        pytest.skip(f"no {program} here")
    return subprocess.run(
        [program, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60
    )


WITH_MORE = {
    "as it is": "",
    "keys of root's": "LoadCredential=pi-07.key:/etc/nportpy/tls/pi-07.key\n",
    "editing": "ReadWritePaths=/etc/nportpy\n",
    "all of it": "LoadCredential=pi-07.key:/etc/nportpy/tls/pi-07.key\nReadWritePaths=/etc/nportpy\n",
}
"""What `systemctl edit nportpy` may add: keys that stay root's, and a configuration that the console may write."""


@pytest.mark.parametrize("more", WITH_MORE)
def test_s32_systemd_rates_the_service_two_or_better(tmp_path: Path, more: str) -> None:
    unit = tmp_path / "nportpy.service"
    text = (ETC / "nportpy.service").read_text()
    assert text.count("[Install]") == 1
    unit.write_text(text.replace("[Install]", f"{WITH_MORE[more]}\n[Install]"))
    result = run("systemd-analyze", "security", "--offline=true", "--threshold=20", unit)
    assert result.returncode == 0, result.stdout
    assert "Overall exposure level" in result.stdout


def test_systemd_finds_nothing_wrong_with_the_service(tmp_path: Path) -> None:
    unit = tmp_path / "nportpy.service"
    # the program need not be installed where the tests run
    unit.write_text((ETC / "nportpy.service").read_text().replace("/opt/nportpy/bin/nportpy", "/bin/true"))
    result = run("systemd-analyze", "verify", "--man=no", unit)
    complaints = [line for line in result.stdout.splitlines() if "nportpy" in line]
    assert complaints == []


def test_prometheus_takes_the_scrape_example_and_its_rules() -> None:
    result = run("promtool", "check", "config", ETC / "prometheus-nportpy.yml")
    assert result.returncode == 0, result.stdout
    assert "SUCCESS" in result.stdout
    assert result.stdout.count("rules found") == len(list(ETC.glob("prometheus-*rules.yml")))


@pytest.mark.parametrize("rules", ["rules_test.yml", "edge_rules_test.yml", "tls_rules_test.yml"])
def test_each_alert_sees_what_it_should(rules: str) -> None:
    result = run("promtool", "test", "rules", Path(__file__).with_name(rules))
    assert result.returncode == 0, result.stdout
