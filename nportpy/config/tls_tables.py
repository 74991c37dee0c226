"""The `[tls.NAME]` tables of a configuration file, and what other tables make of them."""

from collections.abc import Iterator
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field

from nportpy.config import values
from nportpy.config.positions import Lines
from nportpy.config.tables import TEXT, Leaf, Many, Table, words
from nportpy.config.toml import Path, key_path, leaves, table, toml_text
from nportpy.config.values import ValueFault
from nportpy.errors import Fault
from nportpy.network.tls_settings import SELF, Clients, Expired, KeyPair, TlsSettings
from nportpy.protocols.modbus.mbap import SECURITY_PORT

_DEFAULTS = TlsSettings("")
_VERSIONS: Final = ("1.2", "1.3")
_FILE_ALLOWED: Final = 'an absolute path, as in "/etc/nportpy/tls/server.crt", or the name of a credential of systemd'


def _file(value: object) -> str:
    """A file's absolute path, or the name of a credential (systemd.exec(5), LoadCredential=)."""
    values.typed(value, str, _FILE_ALLOWED)
    text = str(value)
    if not text.isprintable() or not text or (not text.startswith("/") and "/" in text) or text.endswith("/"):
        raise ValueFault("is no path of a file", _FILE_ALLOWED)
    return text


def _server_name(value: object) -> str:
    values.typed(value, str, "a host's name or address")
    return values.host(str(value), "a host's name or address, as its certificate has it")


_FILE = Leaf(_file, TEXT)
_FILES = Annotated[list[Annotated[str, _FILE]], Many("there would be none", single=True)]


class Tls(Table):
    """[tls.NAME]: certificates, and whom to believe."""

    cert_file: _FILES = Field(default_factory=list)
    key_file: _FILES = Field(default_factory=list)
    key_password_file: Annotated[str, _FILE] = ""
    ca_file: Annotated[str, _FILE] = _DEFAULTS.ca
    clients: Annotated[Clients | None, words(Clients)] = None
    crl_file: Annotated[str, _FILE] = _DEFAULTS.crl
    crl_expired: Annotated[Expired, words(Expired)] = _DEFAULTS.crl_expired
    minimum: Annotated[str, Leaf(lambda value: values.word(value, _VERSIONS), {"enum": list(_VERSIONS)})] = (
        _DEFAULTS.minimum
    )
    server_name: Annotated[str, Leaf(_server_name, TEXT)] = _DEFAULTS.server_name

    def settings(self, name: str) -> TlsSettings:
        """The same in settings: who names authorities wants certificates of clients, unless `clients` says else."""
        keys = self.key_file or [""] * len(self.cert_file)
        return TlsSettings(
            name=name,
            pairs=tuple(
                KeyPair(cert, key, self.key_password_file) for cert, key in zip(self.cert_file, keys, strict=True)
            ),
            ca=self.ca_file,
            clients=self.clients or (Clients.REQUIRED if self.ca_file else Clients.NONE),
            crl=self.crl_file,
            crl_expired=self.crl_expired,
            minimum=self.minimum,
            server_name=self.server_name,
        )


TABLES: dict[str, tuple[str, type[BaseModel]]] = {"tls.NAME": ("[tls.NAME]", Tls)}

_SERVING: Final = (
    ("http",),
    *(("port", "*", kind) for kind in ("raw", "rfc2217", "reverse_telnet", "modem", "modbus")),
    ("modbus", "*"),
)
_CALLING: Final = (
    ("port", "*", "tcp_client"),
    ("port", "*", "pair"),
    ("modbus", "*", "routes"),
    ("port", "*", "modbus_master", "routes"),
    ("station", "*"),
    ("upstream", "*"),
)


def tls_clashes(data: dict[str, object], lines: Lines) -> Iterator[Fault]:
    """Every fault between the keys of such a table, and between it and those that name it. Of tomllib's values."""
    for name, keys in table(data, "tls").items():
        if isinstance(keys, dict):
            for path, reason, allowed in _within(("tls", name), keys):
                yield Fault(key_path(path), reason, "", allowed, lines.of(path))
    for pattern in _SERVING:
        for path, keys in leaves(data, (), pattern):
            if isinstance(keys, dict) and isinstance(keys.get("tls"), str):
                yield from _served(data, path, keys, lines)
    for pattern in (("port", "*", "modbus"), ("modbus", "*")):
        for path, keys in leaves(data, (), pattern):
            if isinstance(keys, dict):
                yield from _secured(data, path, keys, lines)
    for pattern in (("modbus", "*", "routes"), ("port", "*", "modbus_master", "routes")):
        for path, keys in leaves(data, (), pattern):
            if isinstance(keys, dict):
                yield from _routed(path, keys, lines)
    for pattern in _CALLING:
        for path, keys in leaves(data, (), pattern):
            if isinstance(keys, dict) and isinstance(keys.get("tls"), str):
                yield from _unknown(data, path, keys, lines)


def _routed(path: Path, keys: dict[str, Any], lines: Lines) -> Iterator[Fault]:
    """A server is called by TLS if its URL says so, and then somebody must say whom to believe."""
    to = keys.get("to")
    secure = isinstance(to, str) and to.lower().startswith("tls://")
    if secure and "tls" not in keys:
        where = (*path, "to")
        allowed = 'tls = "NAME" beside it, and a table [tls.NAME] with ca_file'
        yield Fault(key_path(where), "nobody says whom to believe there", toml_text(to), allowed, lines.of(where))
    if not secure and "tls" in keys:
        where, meant = (*path, "tls"), str(to).replace("tcp://", "tls://", 1) if isinstance(to, str) else "tls://HOST"
        yield Fault(key_path(where), "is for servers that are called by TLS", "", f'to = "{meant}"', lines.of(where))


_Found = Iterator[tuple[Path, str, str]]


def _within(path: Path, keys: dict[str, Any]) -> _Found:
    certificates, private = _listed(keys.get("cert_file")), _listed(keys.get("key_file"))
    if private and len(private) != len(certificates):
        yield (*path, "key_file"), "certificates and keys go in pairs", "as many files as cert_file names"
    if keys.get("key_password_file") and not private:
        yield (*path, "key_password_file"), "there is no key that it would open", "key_file beside it"
    if keys.get("crl_file") and not keys.get("ca_file"):
        yield (*path, "crl_file"), "nobody's certificates are believed that could be revoked", "ca_file beside it"
    if keys.get("clients") in ("optional", "required") and not keys.get("ca_file"):
        reason = "nobody says which certificates are to be believed"
        yield (*path, "clients"), reason, "ca_file beside it: those who vouch for clients"


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _unknown(
    data: dict[str, object], path: Path, keys: dict[str, Any], lines: Lines, *, serving: bool = False
) -> Iterator[Fault]:
    tables = table(data, "tls")
    if keys["tls"] not in tables and not (serving and keys["tls"] == SELF):
        known = ", ".join(f'"{name}"' for name in tables) or "a table [tls.NAME]"
        if serving:
            known += f'; "{SELF}" needs none: the gateway makes a certificate for itself'
        where = (*path, "tls")
        yield Fault(key_path(where), "there is no such table", toml_text(keys["tls"]), known, lines.of(where))


def _secured(data: dict[str, object], path: Path, keys: dict[str, Any], lines: Lines) -> Iterator[Fault]:
    """What MODBUS/TCP Security needs (R-02, R-06: both sides show a certificate)."""
    ports = [str(each).rpartition(":")[2] for each in _listed(keys.get("listen"))]
    key = "security" if keys.get("security") is True else "listen"
    if keys.get("security") is False or (key == "listen" and str(SECURITY_PORT) not in ports):
        return
    where = (*path, key)
    what = "MODBUS/TCP Security" if key == "security" else f"port {SECURITY_PORT} is MODBUS/TCP Security, which"

    def fault(reason: str, allowed: str) -> Fault:
        return Fault(key_path(where), reason, toml_text(keys[key]), allowed, lines.of(where))

    named = table(data, "tls").get(str(keys.get("tls")))
    if "tls" not in keys:
        also = "" if key == "security" else "; security = false for another protocol"
        yield fault(f"{what} is spoken by TLS", f'tls = "NAME" beside it, and a table [tls.NAME]{also}')
    elif (keys["tls"] == SELF and named is None) or (isinstance(named, dict) and not _demanding(named)):
        reason = f"{what} wants a certificate of every client"
        yield fault(reason, f'ca_file, and clients = "required" or no such line, in [tls.{keys["tls"]}]')
    if keys.get("protocol", "tcp") != "tcp":
        yield fault(f"{what} is Modbus TCP, and no other protocol", 'protocol = "tcp", or no such line')


def _demanding(keys: dict[str, Any]) -> bool:
    """Whether a table wants a certificate of every client."""
    return bool(keys.get("ca_file")) and keys.get("clients", "required") == "required"


def _served(data: dict[str, object], path: Path, keys: dict[str, Any], lines: Lines) -> Iterator[Fault]:
    yield from _unknown(data, path, keys, lines, serving=True)
    where, named = (*path, "tls"), table(data, "tls").get(keys["tls"])
    if isinstance(named, dict) and not named.get("cert_file"):
        reason, allowed = "that table has no certificate to show", f"cert_file and key_file in [tls.{keys['tls']}]"
        yield Fault(key_path(where), reason, toml_text(keys["tls"]), allowed, lines.of(where))
    if keys.get("protocol") == "udp":
        reason = "over UDP there is no TLS here"
        yield Fault(
            key_path(where), reason, toml_text(keys["tls"]), "no such line, or another protocol", lines.of(where)
        )
