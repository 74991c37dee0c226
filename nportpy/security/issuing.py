"""An authority of the plant's own, and certificates that it issues. RFC 5280; roles by MB-TCP-Security v36, 8.4.

What is issued begins two years back, and not before this release: a device without a battery may think that it is
months ago (wallclock.py). Serial numbers are random, so nothing need be remembered but the authority's key.
"""

import datetime as dt
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nportpy.protocols.x509 import LONGEST_ROLE, ROLE_OID
from nportpy.wallclock import RELEASED

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_BACK: Final = dt.timedelta(days=2 * 365)
_LIST_BACK: Final = dt.timedelta(days=1)


class KeyKind(StrEnum):
    """What a key is of."""

    EC = "ec"  # P-256: small and quick
    RSA = "rsa"  # 2048 bits: what the suite takes that every device with MODBUS/TCP Security has


class Purpose(StrEnum):
    """What a certificate is for."""

    SERVER = "server"
    CLIENT = "client"


_PURPOSES: Final = {
    Purpose.SERVER: ExtendedKeyUsageOID.SERVER_AUTH,
    Purpose.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH,
}


@dataclass(frozen=True, slots=True)
class Authority:
    """Who vouches for others: its certificate and key."""

    certificate: x509.Certificate
    key: PrivateKey


def new_key(kind: KeyKind) -> PrivateKey:
    """A private key."""
    if kind is KeyKind.RSA:
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1())


def authority(name: str, key: PrivateKey, days: int) -> Authority:
    """A new authority, for so many days from now."""
    subject = _subject(name)
    made = (
        _builder(subject, subject, key.public_key(), days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_others=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(made, key)


def self_signed(name: str, names: Sequence[str], key: PrivateKey, days: int) -> x509.Certificate:
    """A server's certificate that vouches for itself: clients are shown its fingerprint."""
    subject = _subject(name)
    builder = _builder(subject, subject, key.public_key(), days)
    return _for_an_end(builder, key.public_key(), key.public_key(), Purpose.SERVER, names).sign(key, hashes.SHA256())


def issued(
    by: Authority,
    name: str,
    names: Sequence[str],
    public: "ec.EllipticCurvePublicKey | rsa.RSAPublicKey",
    purpose: Purpose,
    days: int,
    role: str | None = None,
) -> x509.Certificate:
    """A certificate that an authority vouches for.

    Args:
        by: the authority.
        name: whose it is.
        names: host names and addresses that it is for.
        public: the key.
        purpose: what it is for.
        days: for how many from now; no longer than the authority's own.
        role: what a Modbus client may do, by the rules of the gateway; None: no role is named.

    Raises:
        ValueError: the role cannot be one.
    """
    builder = _builder(_subject(name), by.certificate.subject, public, days)
    end = by.certificate.not_valid_after_utc
    builder = _for_an_end(builder, public, by.key.public_key(), purpose, names)
    if role is not None:
        builder = builder.add_extension(_role(role), critical=False)
    if _now() + dt.timedelta(days=days) > end:
        raise ValueError(f"the authority itself ends on {end:%Y-%m-%d}: name fewer days, or make a new one")
    return builder.sign(by.key, hashes.SHA256())


def request(name: str, names: Sequence[str], key: PrivateKey) -> x509.CertificateSigningRequest:
    """What another authority is asked to sign (RFC 2986)."""
    builder = x509.CertificateSigningRequestBuilder(_subject(name))
    return builder.add_extension(_alternatives(names), critical=False).sign(key, hashes.SHA256())


def revocation_list(
    by: Authority, revoked: Iterable[x509.Certificate], before: x509.CertificateRevocationList | None, days: int
) -> x509.CertificateRevocationList:
    """A list of all that `before` names and of these; it expires after so many days.

    Raises:
        ValueError: a certificate is another authority's.
    """
    now = _now()
    builder = x509.CertificateRevocationListBuilder(by.certificate.subject, now - _LIST_BACK, now + dt.timedelta(days))
    known = set()
    for entry in before or ():
        known.add(entry.serial_number)
        builder = builder.add_revoked_certificate(entry)
    for each in revoked:
        if each.issuer != by.certificate.subject:
            raise ValueError("it was issued by another authority")
        if each.serial_number not in known:
            known.add(each.serial_number)
            builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder(each.serial_number, now).build())
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key())
    number = x509.CRLNumber(int(now.timestamp()))
    return builder.add_extension(identifier, False).add_extension(number, False).sign(by.key, hashes.SHA256())


def pem(made: x509.Certificate | x509.CertificateRevocationList | x509.CertificateSigningRequest) -> bytes:
    """As a file."""
    return made.public_bytes(serialization.Encoding.PEM)


def key_pem(key: PrivateKey) -> bytes:
    """A key as a file, which is to be read by its owner alone."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256, as browsers show it."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def _now() -> dt.datetime:
    return dt.datetime.fromtimestamp(max(time.time(), RELEASED), dt.UTC)


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(subject: x509.Name, issuer: x509.Name, public: object, days: int) -> x509.CertificateBuilder:
    now = _now()
    return x509.CertificateBuilder(
        issuer,
        subject,
        public,  # type: ignore[arg-type]
        x509.random_serial_number(),
        now - _BACK,
        now + dt.timedelta(days=days),
    )


def _for_an_end(
    builder: x509.CertificateBuilder, public: object, issuer: object, purpose: Purpose, names: Sequence[str]
) -> x509.CertificateBuilder:
    """What every certificate has that vouches for nobody."""
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(enciphers=isinstance(public, rsa.RSAPublicKey)), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([_PURPOSES[purpose]]), critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer)  # type: ignore[arg-type]
    builder = builder.add_extension(identifier, critical=False)
    builder = builder.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(public),  # type: ignore[arg-type]
        critical=False,
    )
    return builder.add_extension(_alternatives(names), critical=False) if names else builder


def _usage(*, signs_others: bool = False, enciphers: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_others,
        content_commitment=False,
        key_encipherment=enciphers,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_others,
        crl_sign=signs_others,
        encipher_only=False,
        decipher_only=False,
    )


def _alternatives(names: Sequence[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_general(name) for name in dict.fromkeys(names)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _role(role: str) -> x509.UnrecognizedExtension:
    """One UTF8String (R-21, R-22)."""
    if not role or len(role) > LONGEST_ROLE or not role.isprintable():
        raise ValueError(f"a role has 1 to {LONGEST_ROLE} printable characters")
    data = role.encode()
    size = bytes((len(data),)) if len(data) < 0x80 else bytes((0x82, *len(data).to_bytes(2, "big")))
    if 0x80 <= len(data) < 0x100:  # DER takes the shortest form
        size = bytes((0x81, len(data)))
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(ROLE_OID), b"\x0c" + size + data)
