"""Certificates for tests, by openssl: an authority, servers and clients that it vouches for."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.brokers import found


@dataclass(frozen=True, slots=True)
class Certificate:
    certificate: str
    key: str


class Authority:
    """Of a folder's certificates."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate, self._key = str(folder / f"{name}.pem"), str(folder / f"{name}.key")
        _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self._key, "-out", self.certificate,
                 "-days", "30", "-subj", f"/CN={name}")  # fmt: skip

    def certify(self, name: str, subject: str, days: int = 30) -> Certificate:
        """A certificate for a DNS name or an IP address; of negative days, one that has expired."""
        key, request, made = (str(self._folder / f"{name}.{end}") for end in ("key", "csr", "pem"))
        _openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        extensions = self._folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={subject}\n")
        _openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial",
                 "-out", made, "-days", str(days), "-extfile", str(extensions))  # fmt: skip
        return Certificate(made, key)


def _openssl(*arguments: str) -> None:
    subprocess.run([found("openssl", "openssl"), *arguments], check=True, capture_output=True)
