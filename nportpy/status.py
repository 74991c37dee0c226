"""What the gateway looks like at one moment: frozen values, pulled by /metrics, /readyz and the status page.

The gateway fills them; nothing here asks anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from nportpy.linesettings import LineSettings, ModemLines, PortReport, UartCounters


@dataclass(frozen=True, slots=True)
class LeaseStatus:
    """What one who leases a line has had of it. Numbers since the start.

    Attributes:
        holder: who: a station's name, or a command's; "other" for those of whom there are too many.
        held: whether it has the line now, or gives way for a moment.
        outcomes: how its leases ended: returned, limit (its time was over), line_down, unsupported (the driver does not
            take its settings), refused (the line was not to be had in time), withdrawn (it waited no longer).
        seconds: in which it had the wire.
        waited: seconds that it waited for the line, all added up.
        ways_given: how often it let others have the wire.
    """

    holder: str
    held: bool
    outcomes: Mapping[str, int]
    seconds: float
    waited: float
    ways_given: int


@dataclass(frozen=True, slots=True)
class LineStatus:
    """One line. Times are seconds since the epoch, counts are totals since the start.

    Attributes:
        name: the port's name in the configuration.
        device: path or URL.
        state: closed, opening, up or lost.
        since: when it came up, or when it ceased to be; tries to open it in between change nothing.
        error: why it is not up; empty if it is.
        settings: speed, format and flow control in effect, or wished for while it is not up.
        report: what the driver says of itself; None while it is not up.
        modem_lines: the modem lines now; None where there are none or the line is not up.
        received: bytes from the line.
        sent: bytes handed to the line.
        unheard: bytes from the line while no client was there.
        purged: bytes thrown away unsent (client's purge, linger over, device lost).
        opens: how often the device was opened.
        losses: how often it was lost.
        attempts: how often opening failed.
        uart: the driver's error counters, added up over reopenings; None where it has none.
        unsent: bytes that wait for the line now.
        held_by: the services whose own settings hold; none where those of the port do.
        changeovers: how often it went over from one service's settings to another's, or to the port's.
        leases: who has had it alone.
    """

    name: str
    device: str
    state: str
    since: float
    error: str
    settings: LineSettings
    report: PortReport | None
    modem_lines: ModemLines | None
    received: int
    sent: int
    unheard: int
    purged: int
    opens: int
    losses: int
    attempts: int
    uart: UartCounters | None
    unsent: int
    held_by: tuple[str, ...] = ()
    changeovers: int = 0
    leases: tuple[LeaseStatus, ...] = ()


class End(StrEnum):
    """How an accepted connection ended."""

    CLOSED = "closed"  # by the client
    KICKED = "kicked"  # for another client
    TAKEN_OVER = "taken_over"  # dead, and its address came again
    INACTIVE = "inactive"
    SLOW = "slow"
    LINE_DOWN = "line_down"
    DEAD = "dead"  # the alive check had no answer
    ERROR = "error"
    NOT_ALLOWED = "not_allowed"  # a reload has taken its address off a list
    RELOAD = "reload"  # its service was started anew, or is not wanted any more
    SHUTDOWN = "shutdown"


@dataclass(frozen=True, slots=True)
class ClientStatus:
    """One connection. `state` is open, half-closed, suspended or stalled."""

    address: str
    port: int
    since: float
    state: str
    received: int  # bytes of the line's data that came from this client
    sent: int  # bytes of the line's data that went to this client
    waiting: int  # bytes that wait for this client
    controls: bool  # may change the line's settings
    identity: str = ""  # who it is by its certificate: `CN=scada, Operator`


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service of one port.

    Attributes:
        port: the port's name.
        service: its kind: raw, rfc2217, reverse_telnet, tcp_client, udp, pair, modem, realcom, modbus, master, router
            (then `port` is the router's name) or discovery (then it is the gateway's); with a number where a port has
            several of a kind (raw, raw-2).
        listen: the addresses it listens on, as text, with the port numbers the kernel gave.
        clients: who is connected; where there are no connections: who sent datagrams lately.
        results: numbers since the start. Of connections that came in: accepted, refused_allow, refused_limit,
            refused_full, refused_down, refused_busy (others have the line at other settings), refused_settings (the
            driver does not take those of the service), tls_failed (no handshake). Of calls, which are connections that
            the gateway makes: connected, refused, timeout, unreachable, no_address, tls_failed, failed. Of both, how
            they ended: see `End`. Where there are no connections it is senders that are accepted and end, and datagrams
            that are refused; and unsent are those that the network did not take. Of a master: late are answers for
            which it did not wait any more.
        dropped: bytes that waited for clients dropped as too slow, or for hosts that could not be reached.
        refused: Modbus requests that came to no bus, by reason: forbidden, ignored, no_route, queue_full, malformed.
        refused_by: those that a rule refused, by its number in `rules` and the role of the client's certificate: NULL
            for the NULL role, other for one that no rule names, empty where it showed no certificate.
        waiting: clients that wait until the line can be set as this service wants it.
    """

    port: str
    service: str
    listen: tuple[str, ...]
    clients: tuple[ClientStatus, ...]
    results: Mapping[str, int]
    dropped: int
    refused: Mapping[str, int] = field(default_factory=dict)
    waiting: int = 0
    refused_by: Mapping[tuple[int, str], int] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """What it is, without its number."""
        return self.service.partition("-")[0]

    @property
    def may_be_silent(self) -> bool:
        """Whether all is well although it listens nowhere: it calls, or is called by the line."""
        return self.kind in ("tcp_client", "pair", "modem", "master")


DURATIONS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds of the transaction histogram, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCounts:
    """What a unit was asked and did, in some time.

    Attributes:
        answered: its answers, exceptions included.
        unanswered: requests sent and not answered, however often they were sent again.
        retries: frames that were sent again.
        spoilt: answers with a wrong check sum, and those that were cut off.
        late: answers that came when nobody waited for them any more.
        busy: seconds in which requests for it had the bus.
        answer_times: answers by their time from the request's being sent to their end, the time on the wire included:
            counts for DURATIONS, as in `BusStatus`. Those to requests that were sent more than once are not among
            them, as nobody knows which of the requests they answer.
        answer_seconds: those times, all added up.
        wire_seconds: what of that requests and answers took on the wire.
    """

    answered: int = 0
    unanswered: int = 0
    retries: int = 0
    spoilt: int = 0
    late: int = 0
    busy: float = 0.0
    answer_times: tuple[int, ...] = (0,) * (len(DURATIONS) + 1)
    answer_seconds: float = 0.0
    wire_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class UnitStatus(UnitCounts):
    """One unit of a bus, as far as it is known. One that never answered is forgotten some minutes after its last try.

    Attributes:
        unit: its unit id on the line.
        silent: it did not answer, and is tried by one request at a time.
        timeout: seconds that it gets for an answer now.
        silent_since: when the first of the requests was given up that it did not answer, in seconds since the epoch;
            None: it is not silent.
        recent: the same counts for the last minutes; see `BusCounts`.
    """

    unit: int
    silent: bool
    timeout: float
    silent_since: float | None = None
    recent: UnitCounts = field(default_factory=UnitCounts)


@dataclass(frozen=True, slots=True, kw_only=True)
class BusClientCounts:
    """What a client has had of a bus, in some time.

    Attributes:
        requests: that it asked of the bus; those that were answered for it without being sent are among them.
        busy: seconds that the bus was busy for it. What serves several clients is parted evenly among them.
    """

    requests: int = 0
    busy: float = 0.0


@dataclass(frozen=True, slots=True)
class BusClientStatus(BusClientCounts):
    """One who asks units of a bus, or did so lately.

    Those of one address that have left one service are shown as one, for an hour after the last of them has left.

    Attributes:
        client: who: its address and port, of those that have left the address alone; a station; the master on the line.
        service: through which service: the port's or router's name and the service's kind.
        since: when it came, in seconds since the epoch.
        left: when it went; None: it is there.
        connections: how many connections this is.
        refused: requests of it that came to no bus, whichever they were meant for: by a rule, for want of a route, as
            malformed, or because too many were under way; and those for which it had no more room in the queue here.
        unit: whom it asked last, as the unit is called on the line; None: nobody.
        function: with which function.
        address: for which register or bit; None: the function has none.
        recent: the same counts for the last minutes; see `BusCounts`.
    """

    client: str
    service: str
    since: float
    left: float | None
    connections: int
    refused: int
    unit: int | None
    function: int | None
    address: int | None
    recent: BusClientCounts = field(default_factory=BusClientCounts)


@dataclass(frozen=True, slots=True)
class BusCounts:
    """What a bus did in the last minutes: five to six, or since the gateway's start.

    Attributes:
        seconds: how long that was.
        sent: requests that were sent.
        busy: seconds in which a request was on the line.
        waited: seconds that requests waited until they were first sent, all added up.
        own: seconds of the gateway's own; see `BusStatus`.
        sampled: of how many transactions.
        results: requests by result, as in `BusStatus`.
    """

    seconds: float = 0.0
    sent: int = 0
    busy: float = 0.0
    waited: float = 0.0
    own: float = 0.0
    sampled: int = 0
    results: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionCounts:
    """What was sent and heard beside requests and their answers, since the start.

    Attributes:
        retries: requests sent again.
        probes: requests sent to find out about the echo.
        late: answers that came when nobody waited for them any more.
        echoes: copies of what was sent.
        junk: bytes that belong to no frame.
        spoilt: answers with a wrong check sum.
        foreign: frames of other units, or of another function.
        unfit: answers that do not fit their request.
    """

    retries: int
    probes: int
    late: int
    echoes: int
    junk: int
    spoilt: int
    foreign: int
    unfit: int


@dataclass(frozen=True, slots=True)
class BusStatus(TransactionCounts):
    """The Modbus requests of one line, or of a server elsewhere. Numbers since the start, but for `queued`.

    Attributes:
        name: the port's name, or `tcp://HOST:PORT`.
        up: whether it can be asked.
        requests: by unit, function and result. Unit and function are text, "other" for what is not worth a series
            of its own. Results: answered, exception (by the unit), sent (a broadcast), no_answer, unreachable (not
            sent, as the unit was silent before), expired, queue_full, line_down, gone, malformed.
        durations: transactions by their time from being sent to their end: as many counts as DURATIONS has bounds,
            each of those above the bound before and not above this one, and one of those beyond.
        busy: seconds in which a request was on the line.
        queued: requests that wait now.
        waited: seconds that requests waited until they were first sent, all added up.
        sent: requests that were sent: what `waited` is the sum of.
        coalesced: requests answered by a transaction that another one caused.
        cached: requests answered from the cache.
        merged: requests that were made part of a wider one.
        units: those that were asked for, by unit id.
        own: seconds that the gateway itself added to those transactions that were sampled, one of sixteen: to give a
            request to the port, to hand its answer on, and by which it was late to send one that waited for silence.
        sampled: how many those were.
        clients: who asks, and who did so within the last hour.
        recent: what it did in the last minutes.
    """

    name: str
    up: bool
    requests: Mapping[tuple[str, str, str], int]
    durations: tuple[int, ...]
    busy: float
    queued: int
    waited: float
    sent: int
    coalesced: int
    cached: int
    merged: int
    units: tuple[UnitStatus, ...]
    own: float = 0.0
    sampled: int = 0
    clients: tuple[BusClientStatus, ...] = ()
    recent: BusCounts = field(default_factory=BusCounts)


@dataclass(frozen=True, slots=True)
class LoopStatus:
    """How late the event loop comes to what is to be done: sampled once a second.

    Attributes:
        lags: samples by the seconds that it was late: counts for DURATIONS, as in `BusStatus`.
        seconds: all of them added up.
        worst: the worst of the last minute or two.
    """

    lags: tuple[int, ...] = (0,) * (len(DURATIONS) + 1)
    seconds: float = 0.0
    worst: float = 0.0


@dataclass(frozen=True, slots=True)
class ArchiveStatus:
    """The archive of readings. Numbers since the start, but where said otherwise.

    Attributes:
        path: its file.
        samples: how many samples it holds now.
        bytes: what its file and WAL take now.
        oldest: number of the oldest sample; newest + 1 if there is none.
        newest: number of the newest sample.
        oldest_at: time of the oldest sample, seconds since the epoch; None if there is none.
        evicted: samples that had to go for size, age or a full disk, since the file was begun.
        queued: readings that wait for the disk now.
        dropped: readings that were dropped as the disk was too slow or refused for too long.
        commits: commits that succeeded.
        commit_seconds: what they took, all added up.
        durations: commits by what they took: counts for DURATIONS, as in `BusStatus`.
        failures: commits that failed; their readings waited on.
        recovered: how often a damaged file was set aside and a new one begun.
        error: why it cannot write now; empty if it can.
        trusted: whether the wall clock is trusted; if not, samples are uncertain until it is.
    """

    path: str
    samples: int
    bytes: int
    oldest: int
    newest: int
    oldest_at: float | None
    evicted: int
    queued: int
    dropped: int
    commits: int
    commit_seconds: float
    durations: tuple[int, ...]
    failures: int
    recovered: int
    error: str
    trusted: bool


@dataclass(frozen=True, slots=True)
class TagStatus:
    """A tag of a station, and the newest that is known of it.

    Attributes:
        name: its name in the station.
        unit: of its value.
        value: the newest; None: there is none.
        quality: good, uncertain or bad.
        reason: why it is not good.
        at: when it was read, in seconds since the epoch; None: never.
    """

    name: str
    unit: str
    value: int | float | str | bool | None
    quality: str
    reason: str
    at: float | None


@dataclass(frozen=True, slots=True)
class StationStatus:
    """A station. Counts are since the start.

    Attributes:
        name: its name.
        up: whether it answered last; None: it was not asked yet.
        since: since when that is so, in seconds since the epoch.
        reason: why it is not up.
        polls: rounds by result: good, partial, failed.
        poll_seconds: that rounds took, all added up.
        overruns: rounds that were skipped because the one before took too long.
        lag: seconds by which the last round began late.
        samples: given to the archive.
        unchanged: readings that were not worth a sample.
        tags: its tags.
    """

    name: str
    up: bool | None
    since: float
    reason: str
    polls: dict[str, int]
    poll_seconds: float
    overruns: int
    lag: float
    samples: int
    unchanged: int
    tags: tuple[TagStatus, ...]


@dataclass(frozen=True, slots=True)
class UpstreamStatus:
    """Where samples are sent. Counts of samples are since the start.

    Attributes:
        name: its name.
        url: where, without any password.
        up: whether it is connected.
        since: since when that is so, in seconds since the epoch.
        reason: what is wrong; empty if nothing is.
        sent_live: acknowledged as they came.
        sent_late: acknowledged as late ones.
        refused: that the other side will never take.
        lost: that were evicted before they were sent.
        connects: connections that came about.
        acknowledged: number of the sample up to which everything has arrived.
        backlog: samples behind that number.
        oldest_at: when the oldest of them was taken, seconds since the epoch; None if there is none. Some seconds old.
    """

    name: str
    url: str
    up: bool
    since: float
    reason: str
    sent_live: int
    sent_late: int
    refused: int
    lost: int
    connects: int
    acknowledged: int
    backlog: int
    oldest_at: float | None = None


@dataclass(frozen=True, slots=True)
class EdgeStatus:
    """The second storey.

    Attributes:
        archive: where samples are kept; None while it cannot be had, and `error` says why.
        stations: what is read.
        upstreams: where samples are sent.
        error: why nothing is read; empty if it is.
    """

    archive: ArchiveStatus | None
    stations: tuple[StationStatus, ...]
    upstreams: tuple[UpstreamStatus, ...]
    error: str = ""


@dataclass(frozen=True, slots=True)
class MissingStatus:
    """An address where a service should be reached, and is not.

    Attributes:
        port: the port's name; a router's; the gateway's for http and discovery.
        service: the service's name there: raw, raw-2, http.
        listen: the address.
        reason: what stands in the way.
        line: file and line that name the address, as in `nportpy.toml:12`; empty where it is nobody's choice.
    """

    port: str
    service: str
    listen: str
    reason: str
    line: str = ""

    def __str__(self) -> str:
        return f"{self.port} {self.service} on {self.listen}: {self.reason}"


@dataclass(frozen=True, slots=True)
class CertificateStatus:
    """A certificate of ours.

    Attributes:
        name: whose it is: `CN=gateway.plant`.
        key: RSA, EC or another kind.
        not_after: when it expires, in seconds since the epoch.
        fingerprint: SHA-256, as browsers show it.
    """

    name: str
    key: str
    not_after: int
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class TlsStatus:
    """A `[tls.NAME]` table.

    Attributes:
        name: its name.
        error: what was wrong with its files when they were last read; empty: nothing.
        checked: whether dates are looked at: not before the clock is known.
        certificates: who we are.
        crl_next_update: when the first of its revocation lists expires, in seconds since the epoch; None: none does.
    """

    name: str
    error: str
    checked: bool
    certificates: tuple[CertificateStatus, ...]
    crl_next_update: int | None


@dataclass(frozen=True, slots=True)
class RecordingStatus:
    """What is written to files of a line.

    Attributes:
        port: the line's name.
        error: why nothing is; empty if all is well.
        lost: records that are in no file, since it began.
    """

    port: str
    error: str
    lost: int


@dataclass(frozen=True, slots=True)
class TrialStatus:
    """A change of the configuration that is tried, and goes back by itself.

    Attributes:
        number: its number in the history.
        by: who has made it.
        why: in his words.
        since: when, in seconds since the epoch.
        until: when it goes back, unless somebody confirms it.
    """

    number: int
    by: str
    why: str
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """The whole gateway.

    Attributes:
        actions: what was done from the console since the start, by action and result: done, failed, refused (not from
            this machine), unconfirmed (asked what it would change).
        trial: the change of the configuration that is tried now.
    """

    name: str
    started: float
    ready: bool  # every service listens, at each of its addresses
    reloads: int
    reloads_failed: int
    lines: tuple[LineStatus, ...]
    services: tuple[ServiceStatus, ...]
    buses: tuple[BusStatus, ...] = ()
    missing: tuple[MissingStatus, ...] = ()
    edge: EdgeStatus | None = None
    tls: tuple[TlsStatus, ...] = ()
    loop: LoopStatus = field(default_factory=LoopStatus)
    actions: Mapping[tuple[str, str], int] = field(default_factory=dict)
    recordings: tuple[RecordingStatus, ...] = ()
    trial: TrialStatus | None = None
