"""Statuses to show, made up."""

from nportpy.linesettings import LineSettings, ModemLines, PortReport, Rs485Mode, Rs485Settings, UartCounters
from nportpy.status import ClientStatus, GatewayStatus, LineStatus, ServiceStatus

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
