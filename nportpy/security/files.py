"""Files of keys and certificates: written whole or not at all, keys for their owner alone."""

import os
from collections.abc import Mapping

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from nportpy import atomicfile
from nportpy.atomicfile import Owner
from nportpy.errors import NportpyError
from nportpy.security.issuing import Authority, PrivateKey


class CertificateError(NportpyError):
    """A file is not there, in the way, or not what it should be; the message names it."""


def write(files: Mapping[str, tuple[bytes, int]], *, replace: bool = False) -> None:
    """Write some files, by path, each with its mode. None is written if one is in the way.

    Raises:
        CertificateError: one is there, or cannot be written.
    """
    for path in files:
        if not replace and os.path.lexists(path):
            raise CertificateError(f"{path} is there already; --force replaces it")
    for path, (data, mode) in files.items():
        try:
            os.makedirs(os.path.dirname(path) or ".", mode=0o755, exist_ok=True)
            atomicfile.write(path, data, mode, always=True, owner=Owner.KEPT_IF_ALLOWED)
        except OSError as error:
            raise CertificateError(f"{path}: {error.strerror}") from error


def certificates(path: str) -> list[x509.Certificate]:
    """Those of a file.

    Raises:
        CertificateError: it cannot be read, or holds none.
    """
    try:
        return x509.load_pem_x509_certificates(_data(path))
    except ValueError as error:
        raise CertificateError(f"{path}: holds no certificate in PEM") from error


def private_key(path: str) -> PrivateKey:
    """The key in a file.

    Raises:
        CertificateError: it cannot be read, is locked, or is of another kind.
    """
    try:
        found = load_pem_private_key(_data(path), None)
    except TypeError as error:
        raise CertificateError(f"{path}: is locked by a password; openssl pkey -in {path} opens it") from error
    except ValueError as error:
        raise CertificateError(f"{path}: holds no key in PEM") from error
    if not isinstance(found, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
        raise CertificateError(f"{path}: holds neither an EC nor an RSA key")
    return found


def authority(folder: str) -> Authority:
    """The authority in a folder: ca.crt and ca.key.

    Raises:
        CertificateError: it is not there, or both do not fit.
    """
    paths = [os.path.join(folder, name) for name in ("ca.crt", "ca.key")]
    if not os.path.exists(paths[0]):
        raise CertificateError(f"{paths[0]} is not there; nportpy cert ca -o {folder} makes an authority")
    found = Authority(certificates(paths[0])[0], private_key(paths[1]))
    if found.certificate.public_key() != found.key.public_key():
        raise CertificateError(f"{paths[1]} is not the key of {paths[0]}")
    return found


def signing_request(path: str) -> x509.CertificateSigningRequest:
    """The request in a file, which its key has signed.

    Raises:
        CertificateError: it cannot be read, or is none.
    """
    try:
        found = x509.load_pem_x509_csr(_data(path))
    except ValueError as error:
        raise CertificateError(f"{path}: holds no request in PEM") from error
    if not found.is_signature_valid:
        raise CertificateError(f"{path}: was changed on its way: its signature is not right")
    return found


def revocations(path: str) -> x509.CertificateRevocationList | None:
    """The list in a file; None: there is no such file.

    Raises:
        CertificateError: it cannot be read, or holds none.
    """
    if not os.path.exists(path):
        return None
    try:
        return x509.load_pem_x509_crl(_data(path))
    except ValueError as error:
        raise CertificateError(f"{path}: holds no revocation list in PEM") from error


def _data(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror}") from error
