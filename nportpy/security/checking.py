"""What is wrong with a certificate, before anybody is refused for it."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from nportpy.protocols.x509 import certificate as read

SOON: Final = 30
"""Days before its end in which a certificate is told of."""

_LIST_SOON: Final = 14


@dataclass(frozen=True, slots=True)
class Facts:
    """What a certificate says, as text."""

    subject: str
    issuer: str
    begins: dt.datetime
    ends: dt.datetime
    key: str
    names: tuple[str, ...]
    purposes: tuple[str, ...]
    role: str
    authority: bool


def facts(certificate: x509.Certificate) -> Facts:
    """What a certificate says."""
    ours = read(certificate.public_bytes(Encoding.DER))
    public = certificate.public_key()
    size = f" {public.key_size} bits" if hasattr(public, "key_size") else ""
    role = ours.role or (f"NULL ({ours.strange_role})" if ours.strange_role else "")
    return Facts(
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        begins=certificate.not_valid_before_utc,
        ends=certificate.not_valid_after_utc,
        key=f"{ours.key}{size}",
        names=names_of(certificate),
        purposes=tuple(_purposes(certificate)),
        role=role,
        authority=_is_authority(certificate),
    )


def names_of(certificate: x509.Certificate | x509.CertificateSigningRequest) -> tuple[str, ...]:
    """The hosts that it is for."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return (*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress)))


def faults(
    chain: list[x509.Certificate],
    *,
    authorities: list[x509.Certificate] | None,
    revoked: x509.CertificateRevocationList | None,
    purpose: str,
    name: str,
    now: dt.datetime,
) -> Iterator[str]:
    """Why others would not accept a certificate, each on a line.

    Args:
        chain: it, and those of its issuers.
        authorities: who is believed; None: that is not looked at.
        revoked: a revocation list.
        purpose: server, client, or empty for any.
        name: a host that it must be for; empty: any.
        now: the time.
    """
    own = chain[0]
    found = facts(own)
    if now < found.begins:
        yield f"is not valid before {found.begins:%Y-%m-%d}"
    if now > found.ends:
        yield f"has expired on {found.ends:%Y-%m-%d}"
    if purpose and found.purposes and purpose not in found.purposes:
        yield f"is for a {' and a '.join(found.purposes)}, not for a {purpose}"
    if name and not any(_matches(pattern, name) for pattern in found.names):
        yield f"is not for {name}, but for {', '.join(found.names) or 'no host at all'}"
    if authorities is not None and not _vouched(chain, authorities):
        yield f"none of those believed vouches for it: its issuer is {found.issuer}"
    if revoked is not None:
        if revoked.get_revoked_certificate_by_serial_number(own.serial_number) is not None:
            yield "is revoked"
        if revoked.next_update_utc is not None and revoked.next_update_utc < now:
            yield f"the revocation list has expired on {revoked.next_update_utc:%Y-%m-%d}"


def hints(
    chain: list[x509.Certificate], revoked: x509.CertificateRevocationList | None, now: dt.datetime
) -> Iterator[str]:
    """What is right and will not stay so, or not for all."""
    own = chain[0]
    left = (own.not_valid_after_utc - now).days
    if 0 <= left < SOON:
        yield f"ends in {left} days"
    if revoked is not None and revoked.next_update_utc is not None:
        left = (revoked.next_update_utc - now).days
        if 0 <= left < _LIST_SOON:
            yield f"the revocation list ends in {left} days"
    try:
        own.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except x509.ExtensionNotFound:
        if own.issuer != own.subject:
            yield "has no authority key identifier: clients on Python 3.13 refuse it"
    public = own.public_key()
    if isinstance(public, rsa.RSAPublicKey) and public.key_size < 2048:
        yield f"its key has only {public.key_size} bits: many refuse it"


def _purposes(certificate: x509.Certificate) -> Iterator[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if ExtendedKeyUsageOID.SERVER_AUTH in found:
        yield "server"
    if ExtendedKeyUsageOID.CLIENT_AUTH in found:
        yield "client"


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return False


def _vouched(chain: list[x509.Certificate], authorities: list[x509.Certificate]) -> bool:
    """Whether one issuer after the other leads to somebody believed."""
    at, others = chain[0], [*chain[1:], *authorities]
    for _ in range(len(others) + 1):
        if at in authorities:
            return True
        above = next((each for each in others if _signed(at, each)), None)
        if above is None:
            return False
        at = above
    return False


def _signed(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _matches(pattern: str, name: str) -> bool:
    """Whether a certificate's name is for a host (RFC 9525, 6.3): `*` is the whole of its first label."""
    try:
        return ip_address(pattern) == ip_address(name)
    except ValueError:
        pattern, name = pattern.lower().rstrip("."), name.lower().rstrip(".")
        return pattern == name or (pattern.startswith("*.") and pattern[2:] == name.partition(".")[2])
