"""Certificates for tests, by `cryptography`: an authority, and servers and clients of all kinds that it vouches for."""

import asyncio
import datetime as dt
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nportpy.network.tls_settings import Clients, KeyPair, TlsSettings
from nportpy.protocols.x509 import ROLE_OID
from tests.support.serving import Client, connect

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
DAY = dt.timedelta(days=1)
NAMES = ("localhost", "127.0.0.1")


def read(path: str | Path) -> bytes:
    return Path(path).read_bytes()


def write(path: str | Path, data: bytes) -> None:
    Path(path).write_bytes(data)


def utf8(text: str) -> bytes:
    """A role as it stands in its extension."""
    data = text.encode()
    size = len(data)
    head = bytes((size,)) if size < 0x80 else bytes((0x81, size)) if size < 0x100 else bytes((0x82, *divmod(size, 256)))
    return b"\x0c" + head + data


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as files."""

    certificate: str
    key: str

    @property
    def files(self) -> KeyPair:
        return KeyPair(self.certificate, self.key)


class Plant:
    """An authority with its folder."""

    def __init__(self, folder: Path, name: str = "plant") -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._made: dict[str, x509.Certificate] = {}
        self.ca = str(folder / f"{name}-ca.crt")
        now = dt.datetime.now(dt.UTC)
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        certificate = (
            x509.CertificateBuilder(self._name, self._name, self._key.public_key(), 1, now - 800 * DAY, now + 800 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        Path(self.ca).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def pair(
        self,
        name: str,
        *,
        names: Sequence[str] = NAMES,
        purpose: Any = SERVER,
        role: bytes | None = None,
        extensions: Sequence[tuple[str, bytes]] = (),
        days: tuple[float, float] = (-100, 100),
        rsa_key: bool = False,
        password: bytes | None = None,
        file: str = "",
    ) -> Pair:
        """A certificate for a server or a client, from so many days to so many days from now on."""
        key: Any = rsa.generate_private_key(65537, 2048) if rsa_key else ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(
            self._name, subject, key.public_key(), x509.random_serial_number(), now + days[0] * DAY, now + days[1] * DAY
        )
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(each) for each in names]), critical=False)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(identifier, critical=False)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        for oid, value in ([(ROLE_OID, role)] if role is not None else []) + list(extensions):
            builder = builder.add_extension(
                x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), critical=False
            )
        made = builder.sign(self._key, hashes.SHA256())
        self._made[name] = made
        stem = self.folder / (file or name.replace("/", "_"))
        certificate, private = stem.with_suffix(".crt"), stem.with_suffix(".key")
        certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))
        return Pair(str(certificate), str(private))

    def client(self, name: str, role: str | None = None, **more: Any) -> Pair:
        return self.pair(name, purpose=CLIENT, role=None if role is None else utf8(role), **more)

    def der(self, name: str) -> bytes:
        return self._made[name].public_bytes(serialization.Encoding.DER)

    def revoke(self, *names: str, days: float = 30) -> str:
        """The file with a list of these, which expires in so many days."""
        now = dt.datetime.now(dt.UTC)
        builder = x509.CertificateRevocationListBuilder(self._name, now - 10 * DAY, now + days * DAY)
        for name in names:
            entry = x509.RevokedCertificateBuilder(self._made[name].serial_number, now - DAY).build()
            builder = builder.add_revoked_certificate(entry)
        path = self.folder / "revoked.crl"
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return str(path)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def table(plant: Plant, *pairs: Pair, clients: Clients = Clients.NONE, **more: Any) -> TlsSettings:
    """The table `plant`: these certificates of ours, or one that is made for it."""
    shown = pairs or (plant.pair("gateway"),)
    ca = plant.ca if clients is not Clients.NONE else ""
    return TlsSettings(
        **({"name": "plant", "pairs": tuple(pair.files for pair in shown), "ca": ca, "clients": clients} | more)
    )


def context_of(plant: Plant, shown: Pair | None = None) -> ssl.SSLContext:
    """A client's that believes the plant's authority."""
    made = ssl.create_default_context(cafile=plant.ca)
    if shown is not None:
        made.load_cert_chain(shown.certificate, shown.key)
    return made


async def secured(port: int, context: ssl.SSLContext, *, name: str = "localhost", source: str = "") -> Client:
    """A client that has shaken hands."""
    local = (source, 0) if source else None
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(
        Client, "127.0.0.1", port, ssl=context, server_hostname=name, local_addr=local
    )
    return client


__all__ = ["CLIENT", "SERVER", "Pair", "Plant", "connect", "context_of", "read", "secured", "table", "utf8", "write"]
