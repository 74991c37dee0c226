"""What is read of certificates, beside `cryptography`, and that no bytes of a stranger's do any harm (S14)."""

import contextlib
import random
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from nportpy.errors import ProtocolError
from nportpy.protocols.x509 import LONGEST_ROLE, ROLE_OID, Certificate, certificate, revocation_list
from tests.support.tls import Plant, utf8

PRINTABLE = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=LONGEST_ROLE)


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return Plant(tmp_path_factory.mktemp("plant"))


def _of(plant: Plant, **more: object) -> Certificate:
    plant.pair("asked", **more)  # type: ignore[arg-type]
    return certificate(plant.der("asked"))


@pytest.mark.parametrize("rsa_key", [False, True])
def test_s14_what_cryptography_reads_too(plant: Plant, rsa_key: bool) -> None:
    ours = _of(plant, rsa_key=rsa_key, role=utf8("Operator"))
    theirs = x509.load_der_x509_certificate(plant.der("asked"))
    assert ours.serial == theirs.serial_number
    assert (ours.issuer, ours.subject) == (theirs.issuer.public_bytes(), theirs.subject.public_bytes())
    assert ours.not_before == theirs.not_valid_before_utc.timestamp()
    assert ours.not_after == theirs.not_valid_after_utc.timestamp()
    assert (ours.name, ours.role, ours.key) == ("CN=asked", "Operator", "RSA" if rsa_key else "EC")
    assert theirs.extensions.get_extension_for_oid(x509.ObjectIdentifier(ROLE_OID)).value.value == utf8("Operator")  # type: ignore[attr-defined]


@given(role=PRINTABLE)
@settings(max_examples=40, deadline=None)
def test_s14_any_role(plant: Plant, role: str) -> None:
    assert _of(plant, role=utf8(role)).role == role


@given(value=st.binary(max_size=90) | st.binary(max_size=90).map(lambda data: bytes((12, len(data))) + data))
@settings(max_examples=300, deadline=None)
@pytest.mark.long
def test_s14_whatever_stands_in_the_place_of_a_role(plant: Plant, value: bytes) -> None:
    """Against a model of R-21 to R-23: one UTF8String of printable characters and nothing else, or the NULL role."""
    role = ""
    if len(value) > 2 and value[0] == 12 and value[1] == len(value) - 2:
        with contextlib.suppress(UnicodeDecodeError):
            role = value[2:].decode()
    known = 0 < len(role) <= LONGEST_ROLE and role.isprintable()
    assert _of(plant, role=value).role == (role if known else "")


STRANGE = {
    "no string": (b"\x02\x01\x05", "no UTF8String"),
    "printable string": (b"\x13\x08Operator", "no UTF8String"),
    "empty": (b"", "no UTF8String"),
    "cut off": (b"\x0c\x20Oper", "no UTF8String"),
    "bad UTF-8": (b"\x0c\x02\xff\xfe", "no UTF-8"),
    "two strings": (utf8("A") + utf8("B"), "more than a string"),
    "too long": (utf8("x" * (LONGEST_ROLE + 1)), f"longer than {LONGEST_ROLE} characters"),
    "a newline": (utf8("Operator\nAdmin"), "characters that cannot be printed"),
    "an escape": (utf8("\x1b[31m"), "characters that cannot be printed"),
}


@pytest.mark.parametrize("case", STRANGE)
def test_s14_r_23_what_is_no_role_is_the_null_role(plant: Plant, case: str) -> None:
    value, why = STRANGE[case]
    found = _of(plant, role=value)
    assert (found.role, found.strange_role) == ("", why)


def test_s14_r_23_no_extension_is_the_null_role(plant: Plant) -> None:
    found = _of(plant)
    assert (found.role, found.strange_role) == ("", "")


def test_s14_a_name_does_no_harm_to_a_log(plant: Plant) -> None:
    plant.pair("evil\nname\x1b[2J" + "x" * 40, file="evil")
    name = certificate(plant.der("evil\nname\x1b[2J" + "x" * 40)).name
    assert name.isprintable()
    assert len(name) <= 67


def test_s14_mutated_certificates_raise_nothing_else(plant: Plant, times: int) -> None:
    plant.pair("asked", role=utf8("Operator"))
    good, random_ = plant.der("asked"), random.Random(14)
    for _ in range(20_000 * times):
        data = bytearray(good)
        for _ in range(random_.randrange(1, 4)):
            data[random_.randrange(len(data))] = random_.randrange(256)
        try:
            found = certificate(bytes(data[: random_.randrange(len(data) // 2, len(data) + 1)]))
        except ProtocolError:
            continue
        assert found.role.isprintable()
        assert len(found.role) <= LONGEST_ROLE
        assert found.name.isprintable()


@given(st.binary(max_size=300))
def test_s14_any_bytes_raise_nothing_else(data: bytes) -> None:
    for read in (certificate, revocation_list):
        with contextlib.suppress(ProtocolError):
            read(data)


def test_s11_a_revocation_list(plant: Plant) -> None:
    for name in ("a", "b", "c"):
        plant.client(name)
    pem = Path(plant.revoke("a", "c")).read_bytes()
    theirs = x509.load_pem_x509_crl(pem)
    ours = revocation_list(theirs.public_bytes(Encoding.DER))
    assert ours.issuer == theirs.issuer.public_bytes()
    assert theirs.next_update_utc is not None
    assert ours.next_update == theirs.next_update_utc.timestamp()
    assert ours.revoked == {certificate(plant.der(name)).serial for name in ("a", "c")}
    assert not revocation_list(
        x509.load_pem_x509_crl(Path(plant.revoke()).read_bytes()).public_bytes(Encoding.DER)
    ).revoked
