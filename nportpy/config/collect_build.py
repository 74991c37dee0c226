"""A collector's file: read, checked and turned into settings, once. Its keys are described in etc/collect.toml."""

from collections.abc import Iterator
from typing import Final

from pydantic import ValidationError

from nportpy.config import read, toml_of, values
from nportpy.config.collect_tables import EXAMPLES, CollectFile, Source, Store, table_at, tables_with
from nportpy.config.edge_build import tls_files
from nportpy.config.faults import Known, faults_of
from nportpy.config.places import state_file
from nportpy.config.positions import Lines
from nportpy.config.toml import Path, key_path
from nportpy.edge.collect.settings import CollectSettings, SourceSettings, StoreSettings
from nportpy.errors import ConfigError, Fault
from nportpy.services.logs import LogSettings

DEFAULT_PATH: Final = "/etc/nportpy/collect.toml"
_FILE: Final = "collected.db"

_KNOWN: Final = Known(table_at, tables_with, EXAMPLES, lambda *_: None)


def load(path: str) -> CollectSettings:
    """Read a collector's file.

    Raises:
        ConfigError: the file cannot be read, or has faults: all of them at once.
    """
    return parse(read(path), path)


def parse(text: str, source: str) -> CollectSettings:
    """Read a collector's configuration from its text; `source` names it in messages.

    Raises:
        ConfigError: every fault at once, in the order of their lines.
    """
    text, data, faults = toml_of(text, source)
    lines = Lines(text)
    file = None
    try:
        file = CollectFile.model_validate(data)
    except ValidationError as error:
        faults += faults_of(error, data, lines, _KNOWN)
    if file is not None:
        faults += [
            Fault(key_path(path), reason, "", allowed, lines.of(path)) for path, reason, allowed in _clashes(file)
        ]
    if faults or file is None:
        raise ConfigError(source, tuple(sorted(faults, key=lambda fault: (fault.line, fault.key))))
    return CollectSettings(
        sources=tuple(_source(name, table) for name, table in file.source.items()),
        store=_store(file.store),
        metrics=tuple((each.host, each.port) for each in file.http.listen) if file.http is not None else (),
        log=LogSettings(file.log.level, file.log.format),
    )


def _clashes(file: CollectFile) -> list[tuple[Path, str, str]]:
    found: list[tuple[Path, str, str]] = []
    if not file.source:
        found.append((("source",), "is missing", EXAMPLES["source"]))
    for name, table in file.source.items():
        at: Path = ("source", name)
        if len({url.partition("://")[0].startswith("mqtt") for url in table.url}) > 1:
            found.append(((*at, "url"), "leads to MQTT and to NATS", "one kind a source"))
        if bool(table.cert_file) is not bool(table.key_file):
            found.append((at, "a certificate goes with its key", "cert_file and key_file"))
        if table.password_file and not table.user:
            found.append((at, "has a password and no user", 'user = "..."'))
    if file.store.path is not None and file.store.url is not None:
        found.append((("store", "url"), "goes not with path", "one of both"))
    if file.store.password_file and file.store.url is None:
        found.append((("store", "password_file"), "is for PostgreSQL", 'url = "postgresql://..."'))
    found += _store_by_tls(file.store)
    return found


def _store_by_tls(table: Store) -> Iterator[tuple[Path, str, str]]:
    said = next((key for key in ("ca_file", "cert_file", "key_file") if getattr(table, key)), "")
    if said and table.url is None:
        yield ("store", said), "is for PostgreSQL", 'url = "postgresql://..."'
    elif said and "ssl" in (table.url or "").partition("?")[2]:
        yield ("store", said), "goes not with what the url says of TLS", "one of both"
    if bool(table.cert_file) is not bool(table.key_file):
        yield ("store",), "a certificate goes with its key", "cert_file and key_file"


def _source(name: str, table: Source) -> SourceSettings:
    return SourceSettings(
        name=name,
        urls=tuple(table.url),
        group=table.group,
        client=table.client or f"nportpy-collect-{values.host_name()}-{name}"[:64],
        session=table.session,
        keepalive=table.keepalive,
        user=table.user,
        password_file=table.password_file,
        credentials=table.credentials_file,
        tls=tls_files(table.ca_file, table.cert_file, table.key_file),
    )


def _store(table: Store) -> StoreSettings:
    if table.url is not None:
        tls = tls_files(table.ca_file, table.cert_file, table.key_file)
        return StoreSettings("", table.url, table.password_file, tls, table.commit)
    return StoreSettings(state_file(table.path or _FILE), commit=table.commit)
