"""What `nportpy check` says of certificates (S1, S12, S29)."""

import json
import ssl
from pathlib import Path

import pytest
from click.testing import CliRunner

from nportpy.cli import main
from nportpy.network.tls_contexts import fingerprint
from tests.support.tls import Pair, Plant

PORT = '[http]\nlisten = false\n[port.a]\ndevice = "/dev/null"\n'


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return Plant(tmp_path_factory.mktemp("plant"))


def check(folder: Path, text: str, *more: str) -> str:
    file = folder / "nportpy.toml"
    file.write_text(PORT + text)
    result = CliRunner().invoke(main, ["check", "-c", str(file), *more])
    assert result.exit_code == 0, result.output
    return result.output


def shown(pair: Pair, *more: str) -> str:
    return "\n".join(["[tls.plant]", f'cert_file = "{pair.certificate}"', f'key_file = "{pair.key}"', *more, ""])


RAW = '[port.a.raw]\nlisten = 4001\ntls = "plant"\n'


def test_s1_what_a_table_means(plant: Plant, tmp_path: Path) -> None:
    output = check(tmp_path, RAW + shown(plant.pair("gateway"), f'ca_file = "{plant.ca}"'))
    assert "TLS 1.2 and 1.3" in output
    assert "must show a certificate" in output
    assert "plain:" not in output


def test_s1_services_that_stay_plain_are_named(plant: Plant, tmp_path: Path) -> None:
    text = RAW + '[port.a.rfc2217]\nlisten = 5001\n[port.a.reverse_telnet]\nlisten = "127.0.0.1:6001"\n'
    output = check(tmp_path, text + shown(plant.pair("gateway")))
    assert "what goes through port.a.rfc2217\n" in output


def test_s1_of_several_services_of_a_kind_the_plain_ones_are_named(plant: Plant, tmp_path: Path) -> None:
    text = '[[port.a.raw]]\nlisten = 4001\n[[port.a.raw]]\nlisten = 4002\ntls = "plant"\n'
    output = check(tmp_path, text + shown(plant.pair("gateway")))
    assert "what goes through port.a.raw[0]\n" in output


def test_s1_what_is_plain_is_named_without_any_table_too(tmp_path: Path) -> None:
    text = (
        "[port.a.raw]\nlisten = 4001\n[port.a.udp]\nlisten = 4002\n" + '[port.a.rfc2217]\nlisten = "127.0.0.1:5001"\n'
    )
    output = " ".join(check(tmp_path, text).split())
    assert "plain port.a.raw: others can read and change it" in output
    assert "plain for ever port.a.udp: UDP has no TLS" in output


def test_s9_a_certificate_of_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    text = RAW.replace("plant", "self")
    output = check(tmp_path, text)
    assert "made when the gateway starts" in output
    assert "warning: tls." not in output, "it is not there yet, and that is as it should be"
    pair = Plant(tmp_path / "tls").pair("self")
    output = check(tmp_path, text)
    shown = fingerprint(ssl.PEM_cert_to_DER_cert(Path(pair.certificate).read_text()))
    assert shown in "".join(output.split())


@pytest.mark.parametrize(("days", "said"), [((-9, -1), "has expired"), ((-9, 12.5), "ends in 12 days"), ((-9, 90), "")])
def test_s5_certificates_that_end(plant: Plant, tmp_path: Path, days: tuple[float, float], said: str) -> None:
    output = check(tmp_path, RAW + shown(plant.pair("gateway", days=days)))
    assert ("the certificate of CN=gateway" in output) is bool(said)
    assert said in output


def test_s5_files_that_are_not_there(plant: Plant, tmp_path: Path) -> None:
    assert "tls.plant: /none.crt: No such file" in check(tmp_path, RAW + shown(Pair("/none.crt", "/none.key")))


def test_s11_lists_that_end(plant: Plant, tmp_path: Path) -> None:
    more = (f'ca_file = "{plant.ca}"', f'crl_file = "{plant.revoke(days=5)}"')
    assert "the revocation list ends on " in check(tmp_path, RAW + shown(plant.pair("gateway"), *more))


def test_s12_modbus_security_without_roles_and_without_rsa(plant: Plant, tmp_path: Path) -> None:
    modbus, more = '[port.a.modbus]\nlisten = 802\ntls = "plant"\n', f'ca_file = "{plant.ca}"'
    output = check(tmp_path, modbus + shown(plant.pair("gateway"), more))
    assert "every client with a certificate may do everything" in output
    assert "no certificate with an RSA key" in output
    rules = 'rules = [{ action = "read-write", roles = ["Operator"] }, { action = "deny" }]\n'
    output = check(tmp_path, modbus + rules + shown(plant.pair("gateway", rsa_key=True), more))
    assert "may do everything" not in output
    assert "RSA" not in output
    assert "role Operator" in output


def test_s13_roles_that_nobody_has(tmp_path: Path) -> None:
    text = '[port.a.modbus]\nlisten = 502\nrules = [{ action = "read-only", roles = ["Operator"] }]\n'
    assert "port.a.modbus: nobody has a role here" in check(tmp_path, text)


def test_s29_no_secret_is_shown(plant: Plant, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("canary-of-a-password\n")
    pair = plant.pair("gateway", password=b"canary-of-a-password")
    key = Path(pair.key).read_text().splitlines()[3]
    for more in ((), ("--json",)):
        output = check(tmp_path, RAW + shown(pair, f'key_password_file = "{password}"'), *more)
        assert "canary" not in output
        assert key not in output
        if more:
            json.loads(output)


def test_s29_a_key_that_all_can_read_is_said(plant: Plant, tmp_path: Path) -> None:
    pair = plant.pair("gateway")
    Path(pair.key).chmod(0o644)
    assert f"chmod 600 {pair.key}" in check(tmp_path, RAW + shown(pair))
