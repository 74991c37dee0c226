"""Certificates, keys, authorities and revocation lists of `[tls.NAME]` tables: read, reread, watched.

A context of OpenSSL's takes more authorities but forgets none. So each reading makes fresh ones, and what was in force
stays if a file is bad. Connections stay as they are, but for those of clients that would not be let in any more.

Until the clock is known (wallclock.py), nobody's dates are looked at: after a power cut it may be 1970 here, and
nobody could come to put it right.
"""

import base64
import binascii
import hashlib
import logging
import os
import re
import ssl
import time
from collections.abc import Iterable, Iterator
from typing import Final

from nportpy import wallclock
from nportpy.errors import ProtocolError
from nportpy.network.tls_settings import Clients, Expired, Identity, TlsSettings
from nportpy.protocols.x509 import Certificate, RevocationList, certificate, revocation_list
from nportpy.status import CertificateStatus, TlsStatus

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""What is spoken in TLS 1.2: forward secrecy and authenticated encryption, and nothing else."""

_NO_CHECK_TIME: Final = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, openssl/x509_vfy.h
_LARGEST: Final = 8 << 20  # bytes of a file: a revocation list may be long
_PEM: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

log = logging.getLogger(__name__)


class TlsFileError(OSError):
    """A file of a table is not there, or is not what it should be."""

    def __init__(self, path: str, reason: str) -> None:
        """`path` as the table has it."""
        self.reason = f"{path}: {reason}"
        super().__init__(0, self.reason)


class Table:
    """A `[tls.NAME]` table in force.

    Attributes:
        server: for those who come; None: nobody can.
        error: what was wrong with its files when they were last read; empty: nothing.
    """

    def __init__(self, settings: TlsSettings) -> None:
        """Nothing is read before `read`."""
        self.server: ssl.SSLContext | None = None
        self._client: ssl.SSLContext | None = None
        self.error = "not read yet"
        self._settings = self._wanted = settings
        self._epoch = 0
        self._own: tuple[Certificate, ...] = ()
        self._fingerprints: tuple[str, ...] = ()
        self._authorities: frozenset[tuple[str, bytes]] = frozenset()
        self._crls: tuple[RevocationList, ...] = ()
        self._revoked: frozenset[tuple[bytes, int]] = frozenset()
        self._newest = 0.0
        self._checked = False  # whether dates are looked at
        self._lenient = False  # whether an expired list is used all the same
        self._read_once = False

    def read(self, settings: TlsSettings, unmade: str = "") -> None:
        """Read the files and go over to what they say; if one is bad, what was in force stays.

        Args:
            settings: which files.
            unmade: why one that the gateway makes itself could not be made.

        Raises:
            TlsFileError: one is bad.
        """
        self._wanted = settings
        try:
            self._read(settings, unmade)
        except TlsFileError as error:
            self.error = error.reason
            raise
        self.error = ""

    def _read(self, settings: TlsSettings, unmade: str) -> None:
        paths = [path for pair in settings.pairs for path in (pair.certificate, pair.key) if path]
        paths += [path for path in (settings.ca, settings.crl) if path]
        newest = max((os.stat(located(path)).st_mtime for path in paths if os.path.exists(located(path))), default=0.0)
        if settings.made and not all(os.path.exists(path) for path in paths):
            how = f"cannot be made ({unmade}); tried again, and at once by a reload" if unmade else "is not made yet"
            raise TlsFileError(paths[0], how)
        own = tuple(certificates_in(pair.certificate)[0] for pair in settings.pairs)
        shown = tuple(fingerprint(_blocks(pair.certificate, ("CERTIFICATE",))[0][1]) for pair in settings.pairs)
        authorities = frozenset(_blocks(settings.ca, ("CERTIFICATE",)) if settings.ca else ())
        crls = tuple(_parsed_lists(settings.crl)) if settings.crl else ()
        newest = max([newest, *(found.not_before for found in own)])
        checked = wallclock.known(newest)
        lenient = settings.crl_expired is Expired.WARN and _expired(crls)
        # The system's authorities take a tenth of a second to load: only who calls somebody needs them.
        self.server = self._made(settings, checked=checked, lenient=lenient, server=True)
        self._client = None if settings.pairs else self._made(settings, checked=checked, lenient=lenient, server=False)
        if not self._authorities <= authorities:
            self._epoch += 1
        self._settings, self._own, self._authorities, self._newest = settings, own, authorities, newest
        self._fingerprints = shown
        self._crls, self._revoked = crls, frozenset((crl.issuer, serial) for crl in crls for serial in crl.revoked)
        self._checked, self._lenient, self._read_once = checked, lenient, True

    @property
    def client(self) -> ssl.SSLContext:
        """For those whom we call.

        Raises:
            OSError: no good files were read yet.
        """
        if not self._read_once:
            raise OSError(0, self.error)
        if self._client is None:
            self._client = self._made(self._settings, checked=self._checked, lenient=self._lenient, server=False)
        assert self._client is not None  # only a server must have a certificate
        return self._client

    @property
    def clock_known(self) -> bool:
        """Whether the clock shows a time by which dates can be judged."""
        return wallclock.known(self._newest)

    @property
    def stale(self) -> bool:
        """Whether what is in force was made for other times: the clock has become known, a list has expired."""
        lenient = self._settings.crl_expired is Expired.WARN and _expired(self._crls)
        return bool(self.error) or self._checked is not self.clock_known or self._lenient is not lenient

    @property
    def server_name(self) -> str:
        """What the certificates of those whom we call must be for; empty: the name by which they are called."""
        return self._settings.server_name

    @property
    def vouched(self) -> bool:
        """Whether somebody else has signed our certificates, and not we ourselves."""
        return bool(self._own) and all(own.issuer != own.subject for own in self._own)

    @property
    def in_force(self) -> bool:
        """Whether files were read well once."""
        return self._read_once

    @property
    def checked(self) -> bool:
        """Whether dates are looked at."""
        return self._checked

    @property
    def wanted(self) -> TlsSettings:
        """What is to be in force, and is unless `error` says why not."""
        return self._wanted

    @property
    def epoch(self) -> int:
        """Counts up when an authority is not believed any more: who was let in before may have come by it."""
        return self._epoch

    def admits(self, identity: Identity | None) -> bool:
        """Whether a client with this certificate, verified once, may be here now."""
        if identity is None:
            return self._settings.clients is not Clients.REQUIRED
        if identity.epoch != self._epoch:
            return False
        if not self._revoked:
            return True
        try:
            found = certificate(identity.der)
        except ProtocolError:
            return False  # nobody can tell whether it is revoked
        return (found.issuer, found.serial) not in self._revoked

    def status(self) -> TlsStatus:
        """A snapshot."""
        updates = [crl.next_update for crl in self._crls if crl.next_update is not None]
        return TlsStatus(
            name=self._settings.name,
            error=self.error,
            checked=self._checked,
            certificates=tuple(
                CertificateStatus(own.name, own.key, own.not_after, shown)
                for own, shown in zip(self._own, self._fingerprints, strict=True)
            ),
            crl_next_update=min(updates) if updates else None,
        )

    def _made(self, settings: TlsSettings, *, checked: bool, lenient: bool, server: bool) -> ssl.SSLContext | None:
        if server and not settings.pairs:
            return None
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        made.minimum_version = _VERSIONS[settings.minimum]
        made.set_ciphers(CIPHERS)
        made.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_IGNORE_UNEXPECTED_EOF
        for pair in settings.pairs:
            _load_pair(made, pair.certificate, pair.key, pair.password_file)
        if server:
            # A resumed session would skip the certificate, and whether it is revoked.
            made.options |= ssl.OP_NO_TICKET | ssl.OP_CIPHER_SERVER_PREFERENCE
            made.num_tickets = 0
            made.verify_mode = _MODES[settings.clients]
        if settings.ca:
            _load(made, settings.ca)
        elif not server:
            made.load_default_certs()
        if settings.crl:
            _load(made, settings.crl)
            if not lenient:
                made.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
        if not checked:
            made.verify_flags |= _NO_CHECK_TIME
        return made


_MODES: Final = {
    Clients.NONE: ssl.CERT_NONE,
    Clients.OPTIONAL: ssl.CERT_OPTIONAL,
    Clients.REQUIRED: ssl.CERT_REQUIRED,
}


def read_table(settings: TlsSettings) -> Table:
    """A table of its own, read now: for who connects seldom, and is to see renewed files without being told.

    Raises:
        TlsFileError: a file is bad.
    """
    table = Table(settings)
    table.read(settings)
    return table


class Tables:
    """All tables of a gateway."""

    def __init__(self) -> None:
        """None yet."""
        self._tables: dict[str, Table] = {}

    def configure(self, wanted: Iterable[TlsSettings], unmade: str = "") -> None:
        """Read all files anew, and go over to what they say; the log tells of those that are bad.

        `unmade` as in `Table.read`.
        """
        settings = {each.name: each for each in wanted}
        self._tables = {name: self._tables.get(name) or Table(each) for name, each in settings.items()}
        for name, table in self._tables.items():
            _read(table, settings[name], unmade)

    def find(self, name: str) -> Table:
        """The table of a name."""
        return self._tables[name]

    def look(self, unmade: str = "") -> None:
        """See whether a file that was bad is good now, or the clock has become known; `unmade` as in `Table.read`."""
        for table in self._tables.values():
            if table.stale:
                before = table.checked, table.error
                _read(table, table.wanted, unmade, before=before)

    def status(self) -> tuple[TlsStatus, ...]:
        """A snapshot."""
        return tuple(table.status() for table in self._tables.values())


def _read(table: Table, settings: TlsSettings, unmade: str, before: tuple[bool, str] | None = None) -> None:
    extra: dict[str, object] = {"tls": settings.name}
    try:
        table.read(settings, unmade)
    except TlsFileError as error:
        if before is None or before[1] != error.reason:
            kept = "the ones before stay in force" if table.in_force else "nobody can connect"
            log.error(f"certificates not taken over, {kept}", extra=extra | {"reason": error.reason})
        return
    if before is None or before[1]:
        shown = table.status().certificates
        until = [f"{own.name} until {_day(own.not_after)}" for own in shown]
        facts: dict[str, object] = {"certificates": ", ".join(until) or "none of ours"}
        if settings.made:  # there is no authority by which others could know it
            facts["fingerprint"] = ", ".join(own.fingerprint for own in shown)
        log.info("certificates read", extra=extra | facts)
    if before is None and not table.checked:
        log.warning("the clock is not known yet: dates of certificates are not looked at", extra=extra)
    elif before is not None and before[0] is not table.checked:
        what = "is known now: dates of certificates are" if table.checked else "is not known: dates are not"
        log.warning(f"the clock {what} looked at", extra=extra)


def fingerprint(der: bytes) -> str:
    """SHA-256 of a certificate, as browsers show it."""
    return hashlib.sha256(der).digest().hex(":").upper()


def located(path: str) -> str:
    """Where a file is: a name alone is one of systemd's credentials (systemd.exec(5), LoadCredential=)."""
    return path if path.startswith("/") else os.path.join(os.environ.get("CREDENTIALS_DIRECTORY", ""), path)


def certificates_in(path: str) -> list[Certificate]:
    """The certificates of a file, in its order; at least one.

    Raises:
        TlsFileError: it cannot be read, or has none.
    """
    try:
        return [certificate(der) for _, der in _blocks(path, ("CERTIFICATE",))]
    except ProtocolError as error:
        raise TlsFileError(path, f"holds no certificate that can be read: {error}") from error


def _parsed_lists(path: str) -> Iterator[RevocationList]:
    for _, der in _blocks(path, ("X509 CRL",)):
        try:
            yield revocation_list(der)
        except ProtocolError as error:
            raise TlsFileError(path, f"holds no revocation list that can be read: {error}") from error


def _blocks(path: str, kinds: tuple[str, ...]) -> list[tuple[str, bytes]]:
    """What a PEM file has of some kinds."""
    try:
        with open(located(path), "rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise TlsFileError(path, error.strerror or "cannot be read") from error
    if len(data) > _LARGEST:
        raise TlsFileError(path, "is larger than 8MiB")
    try:
        found = [(kind.decode(), base64.b64decode(body)) for kind, body in _PEM.findall(data) if kind.decode() in kinds]
    except (ValueError, binascii.Error) as error:
        raise TlsFileError(path, "is damaged") from error
    if not found:
        raise TlsFileError(path, f"holds no {kinds[0].lower().replace('x509 crl', 'revocation list')} in PEM")
    return found


def _load_pair(context: ssl.SSLContext, chain: str, key: str, password_file: str) -> None:
    def password() -> str:
        # Without one OpenSSL would ask at the terminal.
        if not password_file:
            raise TlsFileError(key or chain, "is locked by a password: key_password_file names the file with it")
        try:
            with open(located(password_file), encoding="utf-8") as file:
                return file.readline().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise TlsFileError(password_file, getattr(error, "strerror", None) or "is not text") from error

    for path in filter(None, (chain, key)):
        _blocks_any(path)
    try:
        context.load_cert_chain(located(chain), located(key) if key else None, password)
    except TlsFileError:
        raise
    except ssl.SSLError as error:
        raise TlsFileError(key or chain, _reason(error, bool(password_file))) from error
    except (OSError, ValueError) as error:
        raise TlsFileError(key or chain, getattr(error, "strerror", None) or "cannot be used") from error


def _reason(error: ssl.SSLError, locked: bool) -> str:
    if not error.reason or error.reason == "PEM_LIB":
        return "cannot be opened: its password is another, or it is damaged" if locked else "holds no key in PEM"
    return _PAIR_REASONS.get(error.reason, error.reason.replace("_", " ").lower())


_PAIR_REASONS: Final = {
    "KEY_VALUES_MISMATCH": "is not the key of this certificate",
    "EE_KEY_TOO_SMALL": "the key is too short",
    "CA_MD_TOO_WEAK": "is signed in a way that is too weak",
}


def _blocks_any(path: str) -> None:
    """A file must be there, and open to us: OpenSSL would not say which one is not."""
    try:
        with open(located(path), "rb") as file:
            file.read(1)
    except OSError as error:
        raise TlsFileError(path, error.strerror or "cannot be read") from error


def _load(context: ssl.SSLContext, path: str) -> None:
    try:
        context.load_verify_locations(located(path))
    except (OSError, ValueError) as error:
        raise TlsFileError(path, getattr(error, "reason", None) or error.args[-1]) from error


def _expired(crls: Iterable[RevocationList]) -> bool:
    return any(crl.next_update is not None and crl.next_update < time.time() for crl in crls)


def _day(moment: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment))
