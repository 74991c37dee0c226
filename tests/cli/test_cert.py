"""`nportpy cert`: certificates that a gateway and its clients believe (S8)."""

import contextlib
import ssl
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509

from nportpy.cli import main
from nportpy.protocols.x509 import certificate


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["cert", *arguments])


def good(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def bad(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code in (1, 2), result.output
    assert "Traceback" not in result.output
    return result.output


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    good("ca", "-o", str(tmp_path))
    good("server", "gw.plant", "192.0.2.7", "--ca", str(tmp_path), "-o", str(tmp_path))
    good("client", "scada", "--role", "Operator", "--ca", str(tmp_path), "-o", str(tmp_path))
    return tmp_path


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> ssl.SSLObject:
    """The server's end, after both have shaken hands in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname=name)
    for _ in range(4):
        for end in (theirs, ours):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return ours


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_s8_a_self_signed_one_is_believed_by_who_has_it(tmp_path: Path, kind: str) -> None:
    output = good("self", "-o", str(tmp_path), "--key", kind)
    made = x509.load_pem_x509_certificate((tmp_path / "server.crt").read_bytes())
    assert made.fingerprint(made.signature_hash_algorithm).hex(":").upper() in output  # type: ignore[arg-type]
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    client = ssl.create_default_context(cafile=str(tmp_path / "server.crt"))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    assert _handshake(server, client, "localhost").version() == "TLSv1.3"


def test_s8_two_machines_have_different_ones(tmp_path: Path) -> None:
    for name in ("a", "b"):
        good("self", "-o", str(tmp_path / name))
    assert (tmp_path / "a/server.key").read_bytes() != (tmp_path / "b/server.key").read_bytes()


def test_s8_server_and_client_of_an_authority_believe_each_other(plant: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(plant / "gw.plant.crt", plant / "gw.plant.key")
    server.load_verify_locations(plant / "ca.crt")
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=str(plant / "ca.crt"))
    client.load_cert_chain(plant / "scada.crt", plant / "scada.key")
    for context in (server, client):
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    for name in ("gw.plant", "192.0.2.7"):
        shown = _handshake(server, client, name).getpeercert(binary_form=True)
        assert shown is not None
        assert (certificate(shown).name, certificate(shown).role) == ("CN=scada", "Operator")
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(server, client, "another.plant")


def test_s8_keys_are_their_owners_alone(plant: Path) -> None:
    for key in plant.glob("*.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(list(plant.glob("*.key"))) == 3


def test_s8_nothing_is_replaced_unasked(plant: Path) -> None:
    before = {path: path.read_bytes() for path in plant.iterdir()}
    assert "is there already; --force replaces it" in bad("ca", "-o", str(plant))
    assert "--force" in bad("client", "scada", "--ca", str(plant), "-o", str(plant))
    (plant / "gw.plant.key").unlink()
    assert "gw.plant.crt is there already" in bad("server", "gw.plant", "--ca", str(plant), "-o", str(plant))
    assert not (plant / "gw.plant.key").exists(), "all or nothing"
    assert {path: path.read_bytes() for path in plant.iterdir()}.items() <= before.items()
    good("client", "scada", "--ca", str(plant), "-o", str(plant), "--force")
    assert (plant / "scada.crt").read_bytes() != before[plant / "scada.crt"]


def test_s8_a_request_is_signed_without_its_key(plant: Path, tmp_path: Path) -> None:
    good("csr", "gw2.plant", "-o", str(tmp_path / "gw2"))
    request = str(tmp_path / "gw2/server.csr")
    good("server", "--csr", request, "--ca", str(plant), "-o", str(plant))
    assert not (plant / "gw2.plant.key").exists()
    key, authority = str(tmp_path / "gw2/server.key"), str(plant / "ca.crt")
    good("check", str(plant / "gw2.plant.crt"), "--key", key, "--ca", authority, "--server", "gw2.plant")


def test_s8_show_says_what_is_in_it(plant: Path) -> None:
    output = good("show", str(plant / "scada.crt"))
    for text in ("CN=scada", "CN=nportpy authority", "client", "Operator", "EC 256 bits"):
        assert text in output


def test_s11_a_revoked_one_is_on_the_list(plant: Path) -> None:
    good("client", "other", "--ca", str(plant), "-o", str(plant))
    good("revoke", str(plant / "scada.crt"), "--ca", str(plant))
    assert "2 revoked" in good("revoke", str(plant / "other.crt"), str(plant / "scada.crt"), "--ca", str(plant))
    assert "is revoked" in bad("check", str(plant / "scada.crt"), "--crl", str(plant / "ca.crl"))
    assert "another authority" in bad("revoke", str(plant / "ca.crt"), "--ca", _another(plant / "second"))


def _another(folder: Path) -> str:
    good("ca", "-o", str(folder), "--name", "another")
    return str(folder)


CHECKS = {
    "wrong name": (["gw.plant.crt", "--server", "elsewhere"], "is not for elsewhere, but for gw.plant, 192.0.2.7"),
    "wrong purpose": (["gw.plant.crt", "--client"], "is for a server, not for a client"),
    "wrong key": (["gw.plant.crt", "--key", "scada.key"], "is not its key"),
    "wrong authority": (["gw.plant.crt", "--ca", "second/ca.crt"], "none of those believed vouches for it"),
    "no certificate": (["gw.plant.key"], "holds no certificate in PEM"),
    "no file": (["nothing.crt"], "No such file or directory"),
    "no list": (["gw.plant.crt", "--crl", "none.crl"], "No such file or directory"),
    "locked key": (["gw.plant.crt", "--key", "ca.crt"], "holds no key in PEM"),
}


@pytest.mark.parametrize("case", CHECKS)
def test_s8_check_says_why_others_would_refuse_it(plant: Path, case: str) -> None:
    _another(plant / "second")
    arguments, reason = CHECKS[case]
    named = [str(plant / each) if "." in each else each for each in arguments]
    assert reason in bad("check", *named)
    right = ("--key", str(plant / "gw.plant.key"), "--ca", str(plant / "ca.crt"), "--server", "192.0.2.7")
    good("check", str(plant / "gw.plant.crt"), *right)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["client", "x", "--role", ""], "a role has 1 to 64 printable characters"),
        (["client", "x", "--role", "a\nb"], "a role has 1 to 64 printable characters"),
        (["client", "..."], "gives no file's name"),
        (["client", "ca"], "the authority's own name"),
        (["client", "x", "--days", "30000"], "the authority itself ends on"),
        (["server"], "name the host"),
    ],
)
def test_s8_what_cannot_be_is_said(plant: Path, arguments: list[str], reason: str) -> None:
    assert reason in bad(*arguments, "--ca", str(plant), "-o", str(plant))


def test_s8_without_an_authority_the_next_command_is_said(tmp_path: Path) -> None:
    assert "nportpy cert ca -o" in bad("client", "x", "--ca", str(tmp_path), "-o", str(tmp_path))


def test_s8_a_long_role_is_der(plant: Path) -> None:
    role = "Ö" * 64  # 128 bytes, whose length takes two
    good("client", "long", "--role", role, "--ca", str(plant), "-o", str(plant))
    made = x509.load_pem_x509_certificates((plant / "long.crt").read_bytes())[0]
    from cryptography.hazmat.primitives.serialization import Encoding

    assert certificate(made.public_bytes(Encoding.DER)).role == role
