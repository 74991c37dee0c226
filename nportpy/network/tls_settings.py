"""What a `[tls.NAME]` table says, and who a client is by its certificate. Costs nothing where no TLS is used."""

from dataclasses import dataclass
from enum import StrEnum

SELF = "self"
"""The table that need not be written: a certificate that the gateway makes for itself."""


class Clients(StrEnum):
    """Whether those who come must show a certificate."""

    NONE = "none"
    OPTIONAL = "optional"  # who shows one is known by it, and refused if it is not good
    REQUIRED = "required"


class Expired(StrEnum):
    """What an expired revocation list means."""

    REFUSE = "refuse"  # nobody is let in, as nobody knows who was revoked since
    WARN = "warn"  # those that it names are refused, as before


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate with its key, as files in PEM.

    Attributes:
        certificate: the file with the certificate, and those of its issuers up to the root.
        key: the file with the key.
        password_file: a file whose first line opens the key; empty: it is not locked.
    """

    certificate: str
    key: str
    password_file: str = ""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """A `[tls.NAME]` table.

    A file that is no absolute path is one of systemd's credentials (LoadCredential=).

    Attributes:
        name: its name.
        pairs: who we are; several of different kinds (RSA, EC) serve clients of different abilities.
        ca: the file with those who vouch for others; empty: for servers that we call, the system's.
        clients: whether those who come must show a certificate.
        crl: the file with revocation lists; empty: nothing is revoked.
        crl_expired: what becomes of clients once that has expired.
        minimum: the lowest version: 1.2 or 1.3.
        server_name: what the certificate of a server that we call must be for; empty: the name by which it is called.
        made: the gateway makes what is in `pairs` itself where it is not there.
    """

    name: str
    pairs: tuple[KeyPair, ...] = ()
    ca: str = ""
    clients: Clients = Clients.NONE
    crl: str = ""
    crl_expired: Expired = Expired.REFUSE
    minimum: str = "1.2"
    server_name: str = ""
    made: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that it names."""
        paired = [path for pair in self.pairs for path in (pair.certificate, pair.key, pair.password_file)]
        return tuple(path for path in (*paired, self.ca, self.crl) if path)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is by a certificate that was verified.

    Attributes:
        name: `CN=scada`.
        role: a Modbus client's; empty: the NULL role.
        der: the certificate.
        epoch: of the table by which it was believed; see `Table` (tls_contexts.py).
    """

    name: str
    role: str
    der: bytes
    epoch: int = 0

    def __str__(self) -> str:
        return f"{self.name}, {self.role}" if self.role else self.name
