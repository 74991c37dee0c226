"""What a collector is told. Times are seconds."""

from dataclasses import dataclass, field

from nportpy.network.tls_settings import TlsSettings
from nportpy.services.logs import LogSettings


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """A broker, or a cluster of them.

    Attributes:
        name: unique.
        urls: tried in turn.
        group: the collectors that share the work: name of the durable consumer (NATS) or of the shared subscription
            (MQTT 5). Two groups get everything each.
        client: MQTT: by which the broker keeps this collector's session; no two collectors have the same.
        session: MQTT 5: for how long it does, from the loss of the connection on.
        keepalive: after so long without a sign of life the connection counts as lost.
        user: user name; empty: none. `password_file`: the first line of it is the password.
        credentials: a NATS credentials file.
        tls: for mqtts, and NATS with TLS; None: the system's authorities.
    """

    name: str
    urls: tuple[str, ...]
    group: str = "nportpy-collect"
    client: str = ""
    session: float = 7 * 86400.0
    keepalive: float = 30.0
    user: str = ""
    password_file: str = ""
    credentials: str = ""
    tls: TlsSettings | None = None


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Where samples are kept.

    Attributes:
        path: SQLite's file; empty where there is a `url`.
        url: of a database of PostgreSQL.
        password_file: the first line of it is the password.
        tls: how it is believed; None: as the `url` says.
        commit: for how long a message may wait for others, so that they share a commit.
    """

    path: str = ""
    url: str = ""
    password_file: str = ""
    tls: TlsSettings | None = None
    commit: float = 0.2


@dataclass(frozen=True, slots=True)
class CollectSettings:
    """All of it.

    Attributes:
        sources: one at least.
        store: where to.
        metrics: (host, port) pairs of Prometheus' pages; none: no such page.
        log: as everywhere.
    """

    sources: tuple[SourceSettings, ...]
    store: StoreSettings
    metrics: tuple[tuple[str, int], ...] = ()
    log: LogSettings = field(default_factory=LogSettings)
