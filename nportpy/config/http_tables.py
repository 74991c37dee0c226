"""The `[http]` table of a configuration file, and which of its keys do not go together."""

from collections.abc import Iterator
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field

from nportpy.accounts.roles import Extra, Role
from nportpy.config import values
from nportpy.config.positions import Lines
from nportpy.config.tables import TEXT, Allow, Leaf, Many, Table, UsesTls, words
from nportpy.config.toml import Path, key_path, leaves, table, toml_text
from nportpy.config.values import ValueFault
from nportpy.errors import Fault
from nportpy.network.addresses import Endpoint, address_of
from nportpy.services.http_base import AsWhom, ConsoleMode, HttpSettings

_DEFAULTS: Final = HttpSettings()
_NAME_ALLOWED: Final = 'a name or an address by which programs call it, as in "pi-07.plant"'
_HttpListen = Annotated[
    list[Annotated[Endpoint, Leaf(values.endpoint, TEXT)]],
    Many("false switches http off", single=True, off=True, example='"127.0.0.1:9550" or false'),
]


def _host(value: object) -> str:
    values.typed(value, str, _NAME_ALLOWED)
    return values.host(str(value), _NAME_ALLOWED)


class CertificateTable(Table):
    """An item of `certificates`."""

    subject: Annotated[str, Leaf(lambda value: values.label(value, 200), TEXT)]
    role: Annotated[Role, words(Role)]
    rights: Annotated[
        list[Annotated[Extra, words(Extra)]],
        Many("it has those of its role without such a line", single=True, example='["monitor"]'),
    ] = Field(default_factory=list)

    def whom(self) -> AsWhom:
        """What it stands for."""
        return AsWhom(self.role, tuple(dict.fromkeys(self.rights)))


class Http(Table):
    """[http]: metrics, status and the console."""

    listen: _HttpListen = Field(default_factory=lambda: [Endpoint(*pair) for pair in _DEFAULTS.listen])
    allow: Allow = Field(default_factory=list)
    tls: UsesTls = _DEFAULTS.tls
    console: Annotated[ConsoleMode | None, words(ConsoleMode)] = None
    names: Annotated[
        list[Annotated[str, Leaf(_host, TEXT)]],
        Many("this machine's own names need no such line", single=True, example='["pi-07.plant"]'),
    ] = Field(default_factory=list)
    accounts_file: Annotated[str, Leaf(values.file, TEXT)] = _DEFAULTS.accounts
    certificates: Annotated[
        list[CertificateTable],
        Many("the role in a certificate counts", example='[{ subject = "CN=anna", role = "operator" }]'),
    ] = Field(default_factory=list)


TABLES: dict[str, tuple[str, type[BaseModel]]] = {
    "http": ("[http]", Http),
    "http.certificates": ("an item of certificates", CertificateTable),
}


def http_clashes(data: dict[str, object], lines: Lines) -> Iterator[Fault]:
    """Every fault between the keys of `[http]`, and between it and its certificates. Of tomllib's values."""
    for path, keys in leaves(data, (), ("http",)):
        if isinstance(keys, dict):
            yield from _plain(path, keys, lines)
            yield from _certified(data, path, keys, lines)


def _plain(path: Path, keys: dict[str, Any], lines: Lines) -> Iterator[Fault]:
    """What would send passwords over the network as anybody can read it."""
    if "tls" in keys or _here(keys.get("listen")):
        return
    if "accounts_file" in keys and keys.get("console") not in ("view", "edit"):  # pages for others are always by TLS
        where = (*path, "accounts_file")
        reason = "passwords and tokens would cross the network for all to read"
        allowed = 'tls = "NAME" or tls = "self" beside it, or listen = "127.0.0.1:9550"'
        yield Fault(key_path(where), reason, toml_text(keys["accounts_file"]), allowed, lines.of(where))


def _certified(data: dict[str, object], path: Path, keys: dict[str, Any], lines: Lines) -> Iterator[Fault]:
    """Clients must show certificates that could be in the table, and each is there once."""
    named = table(data, "tls").get(str(keys.get("tls")))
    where = (*path, "certificates")
    if "certificates" in keys and not (isinstance(named, dict) and named.get("ca_file")):
        allowed = "tls beside it, with ca_file in that table: those who vouch for clients"
        yield Fault(key_path(where), "nobody can show a certificate here", "", allowed, lines.of(where))
    found = keys.get("certificates")
    seen = set()
    for place, each in enumerate(found if isinstance(found, list) else []):
        subject = each.get("subject") if isinstance(each, dict) else None
        if isinstance(subject, str) and subject in seen:
            inner = (*where, place, "subject")
            yield Fault(key_path(inner), "is there twice", toml_text(subject), "once", lines.of(inner))
        seen.add(subject)


def _here(listen: object) -> bool:
    """Whether only this machine can come; what is no address is a fault of its own."""
    for each in [_DEFAULTS.listen[0][0]] if listen is None else listen if isinstance(listen, list) else [listen]:
        if each is False:
            continue
        try:
            if not address_of(values.endpoint(each).host).is_loopback:
                return False
        except ValueFault:
            continue
    return True
