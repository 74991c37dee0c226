"""Statuses to show, made up."""

from dataclasses import replace

from nportpy.linesettings import LineSettings, ModemLines, PortReport, Rs485Mode, Rs485Settings, UartCounters
from nportpy.status import (
    ArchiveStatus,
    BusClientCounts,
    BusClientStatus,
    BusCounts,
    BusStatus,
    CertificateStatus,
    ClientStatus,
    EdgeStatus,
    GatewayStatus,
    LineStatus,
    ServiceStatus,
    StationStatus,
    TagStatus,
    TlsStatus,
    UnitCounts,
    UnitStatus,
    UpstreamStatus,
)

STARTED = 1_767_225_600.0  # 2026-01-01T00:00:00Z


def line(name: str = "meters", state: str = "up", *, uart: bool = True) -> LineStatus:
    up = state == "up"
    return LineStatus(
        name=name,
        device="/dev/ttyAMA0",
        state=state,
        since=STARTED + 2.5,
        error="" if up else "No such file or directory",
        settings=LineSettings.parse(9600, "8E1"),
        report=PortReport("pl011", Rs485Settings(Rs485Mode.ON), modem_lines=True, counters=True) if up else None,
        modem_lines=ModemLines.DTR | ModemLines.CTS if up else None,
        received=1001,
        sent=2002,
        unheard=33,
        purged=44,
        opens=5,
        losses=4,
        attempts=6,
        uart=UartCounters(1, 2, 3, 4, 5) if uart else None,
        unsent=7,
    )


def client(address: str = "192.0.2.7") -> ClientStatus:
    return ClientStatus(address, 4711, STARTED + 60, "open", 10, 20, 0, True)


def service(port: str = "meters", name: str = "raw", clients: int = 2) -> ServiceStatus:
    return ServiceStatus(
        port=port,
        service=name,
        listen=("0.0.0.0:4001",),
        clients=tuple(client(f"192.0.2.{number + 1}") for number in range(clients)),
        results={"accepted": 12, "refused_allow": 3, "closed": 9, "slow": 1},
        dropped=4096,
    )


def gateway(*names: str) -> GatewayStatus:
    names = names or ("meters",)
    return GatewayStatus(
        name="pi-07",
        started=STARTED,
        ready=True,
        reloads=2,
        reloads_failed=1,
        lines=tuple(line(name) for name in names),
        services=tuple(service(name, kind) for name in names for kind in ("raw", "rfc2217")),
    )


def bus(name: str = "meters", units: int = 2) -> BusStatus:
    """Its unit 2 does not answer."""
    ids = range(1, units + 1)
    return BusStatus(
        name=name,
        up=True,
        requests={
            (str(unit), function, "no_answer" if unit == 2 else "answered"): 10 * unit + int(function)
            for unit in ids
            for function in ("3", "16")
        }
        | {("other", "other", "unreachable"): 4},
        durations=(0, 0, 1, 2, 0, 3, 5, 0, 0, 2, 0, 0, 0, 1),
        busy=15.5,
        queued=2,
        waited=0.75,
        sent=14,
        coalesced=21,
        cached=22,
        merged=23,
        retries=24,
        probes=25,
        late=26,
        echoes=27,
        junk=28,
        spoilt=29,
        foreign=30,
        unfit=31,
        units=tuple(unit_status(unit) for unit in ids),
        own=0.125,
        sampled=10,
        clients=(asker(), asker("192.0.2.8", left=STARTED + 1200)),
        recent=BusCounts(
            300.0, 100, 12.5, 0.5, 0.01, 10, {"answered": 90, "no_answer": 4, "expired": 1, "queue_full": 2}
        ),
    )


def unit_status(unit: int) -> UnitStatus:
    """Unit 2 is silent."""
    times = tuple(20 if bound == 4 else 0 for bound in range(14))
    recent = UnitCounts(answered=20, answer_times=times, answer_seconds=0.4, wire_seconds=0.3, busy=0.4)
    return UnitStatus(
        unit, unit == 2, unit / 4, STARTED + 600 if unit == 2 else None, recent,
        answered=100 * unit, unanswered=unit, spoilt=3, late=2, retries=4, busy=unit * 1.5,
        answer_times=times, answer_seconds=0.4, wire_seconds=0.3,
    )  # fmt: skip


def asker(client: str = "192.0.2.7:4711", left: float | None = None) -> BusClientStatus:
    recent = BusClientCounts() if left else BusClientCounts(requests=60, busy=6.0)
    return BusClientStatus(
        client, "meters modbus", STARTED + 60, left, 1, 5, 2, 3, 1000, recent, requests=500, busy=40.0
    )


def translator(*names: str, units: int = 2) -> GatewayStatus:
    """A gateway with Modbus on its lines, a router over them, and a server elsewhere."""
    plain = gateway(*names)
    refused = {"forbidden": 5, "no_route": 6}
    modbus = [(line.name, "modbus") for line in plain.lines]
    services = tuple(
        replace(service(port, kind, clients=0), refused=refused) for port, kind in (*modbus, ("plant", "router-2"))
    )
    buses = tuple(bus(name, units) for name in (*(line.name for line in plain.lines), "tcp://[2001:db8::1]:502"))
    return replace(plain, services=plain.services + services, buses=buses)


TLS = TlsStatus("plant", "", True, (CertificateStatus("CN=gateway", "EC", int(STARTED) + 86400),), int(STARTED) + 3600)


def every_mode() -> GatewayStatus:
    """A gateway with a service of each kind."""
    plain = translator()
    kinds = ("reverse_telnet", "tcp_client", "udp", "pair", "modem", "realcom", "master")
    modes = [service("plc", kind) for kind in kinds] + [service(plain.name, "discovery", clients=0)]
    silent = [replace(each, listen=()) if each.may_be_silent else each for each in modes]
    return replace(plain, services=(*plain.services, *silent), edge=with_edge().edge, tls=(TLS,))


def with_edge() -> GatewayStatus:
    """A gateway that reads two stations, of which one is dead, and sends to one upstream."""
    tags = (
        TagStatus("power", "kW", 12.5, "good", "", STARTED + 100),
        TagStatus("counter", "", 7, "uncertain", "beyond its limits", STARTED + 100),
        TagStatus("voltage", "V", None, "bad", "no number", STARTED + 100),
        TagStatus("state", "", "open", "good", "", STARTED + 100),
    )
    polls = {"good": 8, "partial": 1, "failed": 2}
    emon = StationStatus("emon", True, STARTED, "", polls, 1.5, 3, 0.01, 80, 20, tags)
    silent = (TagStatus("power", "kW", None, "bad", "unit 9 does not answer", None),)
    dead = StationStatus("dead", False, STARTED + 60, "unit 9 does not answer", polls, 0.0, 0, 0.0, 2, 0, silent)
    kept = ArchiveStatus(
        path="/var/lib/nportpy/archive.db",
        samples=90,
        bytes=40960,
        oldest=11,
        newest=100,
        oldest_at=STARTED,
        evicted=10,
        queued=4,
        dropped=1,
        commits=13,
        commit_seconds=0.5,
        durations=(0, 0, 1, 2, 0, 3, 5, 0, 0, 2, 0, 0, 0, 0),
        failures=2,
        recovered=1,
        error="",
        trusted=True,
    )
    plant = UpstreamStatus("plant", "mqtts://broker:8883", True, STARTED, "", 50, 10, 1, 2, 3, 70, 30)
    return replace(gateway(), edge=EdgeStatus(kept, (emon, dead), (plant,)))
