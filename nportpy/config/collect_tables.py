"""The tables of a collector's file: [source.NAME], [store], [http] and [log]."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, Field

from nportpy.config import edge_values, values
from nportpy.config.schema import Log
from nportpy.config.tables import TEXT, Leaf, Many, Table, duration
from nportpy.config.toml import Path
from nportpy.config.values import ValueFault
from nportpy.edge.collect.settings import SourceSettings, StoreSettings
from nportpy.edge.collect.sources import SCHEMES
from nportpy.network.addresses import Endpoint

_SOURCE = SourceSettings("", ())
_STORE = StoreSettings()
_USUAL_PORT = 9551

_FILE = Leaf(edge_values.path, {"type": "string", "pattern": "^/"})
_NAME = Leaf(edge_values.topic_name, {"type": "string", "pattern": edge_values.TOPIC_NAME})


def source_name(value: object) -> str:
    """The name in [source.NAME]."""
    return edge_values.topic_name(value)


def source_url(value: object) -> str:
    """A broker's URL."""
    return edge_values.broker_url(value, SCHEMES, "of a broker")


def store_url(value: object) -> str:
    """A database of PostgreSQL; its password stands in a file, where it does not reach a log."""
    allowed = 'postgresql://user@host:5432/database, or path = "collected.db" for SQLite'
    values.typed(value, str, allowed)
    text = str(value)
    if not re.match("postgres(ql)?://", text):
        raise ValueFault("is no URL of PostgreSQL", allowed)
    try:
        place = urlsplit(text)
        secret = place.password
        place.port  # noqa: B018 - raises
    except ValueError as error:
        raise ValueFault("has a port that is none", "1 to 65535") from error
    if secret is not None or "password=" in place.query:
        raise ValueFault("has a password in it", 'password_file = "/etc/nportpy/..."')
    return text


class Source(Table):
    """[source.NAME]: where samples come from."""

    url: Annotated[
        list[Annotated[str, Leaf(source_url, TEXT)]],
        Many("nothing would be collected", single=True, example='"mqtts://broker.example:8883"'),
    ]
    group: Annotated[str, _NAME] = _SOURCE.group
    client: Annotated[str | None, Leaf(lambda value: values.label(value, 64, ascii_only=True), TEXT)] = None
    session: Annotated[float, duration("1min", "365d")] = _SOURCE.session
    keepalive: Annotated[float, duration("1s", "1h")] = _SOURCE.keepalive
    user: Annotated[str, Leaf(lambda value: values.label(value, 256), TEXT)] = ""
    password_file: Annotated[str, _FILE] = ""
    credentials_file: Annotated[str, _FILE] = ""
    ca_file: Annotated[str, _FILE] = ""
    cert_file: Annotated[str, _FILE] = ""
    key_file: Annotated[str, _FILE] = ""


class Store(Table):
    """[store]: where samples are kept."""

    path: Annotated[str | None, Leaf(edge_values.archive_path, TEXT)] = None
    url: Annotated[str | None, Leaf(store_url, TEXT)] = None
    password_file: Annotated[str, _FILE] = ""
    ca_file: Annotated[str, _FILE] = ""
    cert_file: Annotated[str, _FILE] = ""
    key_file: Annotated[str, _FILE] = ""
    commit: Annotated[float, duration("0s", "1min")] = _STORE.commit


class Http(Table):
    """[http]: metrics for Prometheus."""

    listen: Annotated[
        list[Annotated[Endpoint, Leaf(lambda value: values.endpoint(value, _USUAL_PORT), TEXT)]],
        Many("no such table switches it off", single=True, example=f'"127.0.0.1:{_USUAL_PORT}"'),
    ]


class CollectFile(Table):
    """The whole file."""

    source: dict[Annotated[str, Leaf(source_name, TEXT)], Source]
    store: Store = Store()
    http: Http | None = None
    log: Log = Field(default_factory=Log)


_TABLES: dict[str, tuple[str, type[BaseModel]]] = {
    "source": ("tables [source.NAME]", Source),
    "source.NAME": ("[source.NAME]", Source),
    "store": ("[store]", Store),
    "http": ("[http]", Http),
    "log": ("[log]", Log),
}

EXAMPLES = {
    "source": 'a table [source.NAME] with a line such as url = "mqtt://broker.example:1883"',
    "url": 'a line such as url = "nats://a.example:4222,b.example:4222"',
    "listen": f'a line such as listen = "127.0.0.1:{_USUAL_PORT}"',
}
"""What to write where a key is missing."""


def table_at(path: Path) -> tuple[str, type[BaseModel]]:
    """The table that a key path leads to: what to call it, and its model."""
    match [step for step in path if isinstance(step, str)]:
        case []:
            return "the file", CollectFile
        case ["source", _]:
            return _TABLES["source.NAME"]
        case rest:
            return _TABLES[".".join(rest)]


def tables_with(key: str) -> list[str]:
    """What to call the tables that know `key`."""
    return [name for path, (name, model) in _TABLES.items() if path != "source" and key in model.model_fields]
