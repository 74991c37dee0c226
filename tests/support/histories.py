"""Half an hour of gateways with faults, as Prometheus would have scraped them: one that runs, and invented ones.

pi-07    a gateway that runs, with simulated units, and clients that ask too much
pi-08    statuses that are made up: what no simulation on this machine can show, such as a device that comes and goes
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from prometheus_client.registry import Collector

from nportpy.linesettings import LineSettings, UartCounters
from nportpy.modbus.settings import Action, BusSettings, Matching, RoutingSettings, Rule, Timeout
from nportpy.port.loopback import Cable
from nportpy.services.metrics import registry
from nportpy.simulator.faults import BadCheck, Delay, Faulty, Script
from nportpy.status import CertificateStatus, EdgeStatus, GatewayStatus, LoopStatus, MissingStatus, TlsStatus
from tests.services import samples
from tests.support.clock import VirtualLoop
from tests.support.culprits import spoilt
from tests.support.modbus_serving import Asker, asker, attach, modbus, units, write
from tests.support.serving import plan, serving

SCRAPED_EVERY: Final = 15.0
SCRAPES: Final = 130

Scrape = list[tuple[str, str, dict[str, str], float]]  # family and kind, sample name, labels, value


def scrape(collector: Collector) -> Scrape:
    """What one scrape brings."""
    return [
        (f"{metric.name} {metric.type}", sample.name, dict(sample.labels), float(sample.value))
        for metric in collector.collect()
        for sample in metric.samples
    ]


# A gateway that runs.


async def _keep_asking(client: Asker, unit: int, pdu: bytes, rests: float, at_once: int = 1) -> None:
    while True:
        await asyncio.gather(*(client.ask(pdu[:2] + bytes((number,)) + pdu[3:], unit) for number in range(at_once)))
        await asyncio.sleep(rests)


async def _run(scrapes: list[Scrape]) -> None:
    """Unit 9 is dead, 4 slow, 5 noisy; three clients ask without a pause, one too much at once, one writes in vain."""
    line, cable = LineSettings(1200), Cable()
    attach(cable, Faulty(units(1, 2, 3, 4, 5), Script((spoilt(4, Delay(0.5)), spoilt(5, BadCheck(), 0.3)))), line)
    refuses = Rule(Matching(functions=frozenset({6})), Action.DENY)
    service = modbus(routing=replace(RoutingSettings.whole("cable"), rules=(refuses,)))
    bus = BusSettings(timeout=Timeout(1.0), queue=2)
    async with (
        serving(plan("cable", service, bus=bus, line=line), cables=[cable], name="pi-07") as served,
        asyncio.TaskGroup() as tasks,
    ):
        collector = registry(served.gateway.status)
        clients = [await asker(served) for _ in range(7)]
        read = b"\x03\x00\x00\x00\x02"
        asking = [
            *(_keep_asking(client, unit, read, 0.0) for unit, client in enumerate(clients[:3], 1)),
            _keep_asking(clients[3], 4, read, 1.0),
            _keep_asking(clients[4], 5, read, 1.0),
            _keep_asking(clients[5], 9, read, 5.0),
            _keep_asking(clients[6], 1, read, 1.0, at_once=6),
            _keep_asking(clients[6], 1, write(0, 1), 1.0),
        ]
        running = [tasks.create_task(each) for each in asking]
        for _ in range(SCRAPES):
            await asyncio.sleep(SCRAPED_EVERY)
            scrapes.append(scrape(collector))
        for task in running:
            task.cancel()
        for client in clients:
            with suppress(TimeoutError):
                await client.close()


def of_a_gateway() -> list[Scrape]:
    """Scrapes of one that runs, on virtual time."""
    scrapes: list[Scrape] = []
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(_run(scrapes))
    return scrapes


# Made up.


def _moved(value: Any, step: int) -> Any:
    """Counts that grow by as much again with each step."""
    if isinstance(value, dict):
        return {key: _moved(each, step) for key, each in value.items()}
    return value * step


def _line_troubles(step: int) -> Iterator[Any]:
    meters = samples.line("meters")
    yield replace(
        meters,
        losses=step // 8,
        sent=step * 9000,
        received=step * 9000,
        uart=UartCounters(frame=step * 3, overrun=0, parity=step, breaks=0, buffer_overrun=0),
    )
    yield replace(samples.line("plc", "lost"), attempts=step)
    yield replace(samples.line("mute"), sent=step * 100, received=0)


def _status(step: int) -> GatewayStatus:
    """The one after so many scrapes; its clients left 40 scrapes before the last."""
    left = step > SCRAPES - 50
    raw = samples.service("meters", "raw", clients=0 if left else 2)
    raw = replace(raw, results=_moved({"accepted": 1, "refused_full": 2, "slow": 1, "closed": 1}, step))
    caller = replace(samples.service("plc", "tcp_client", clients=0), listen=(), results={"failed": step})
    silent = replace(samples.service("plc", "rfc2217", clients=0), listen=())
    refused = replace(samples.service("meters", "modbus", clients=0), refused=_moved({"no_route": 3}, step))
    bus = samples.bus()
    bus = replace(
        bus,
        own=step * 1.0,
        sampled=step * 10,
        spoilt=step,
        late=step,
        durations=tuple(count * step for count in bus.durations),
        coalesced=step,
        cached=step,
        merged=step,
    )
    lags = tuple(step if bound in (2, 9) else 0 for bound in range(14))
    edge = samples.with_edge().edge
    assert edge is not None
    return GatewayStatus(
        name="pi-08",
        started=samples.STARTED,
        ready=False,
        reloads=0,
        reloads_failed=step // 50,
        lines=tuple(_line_troubles(step)),
        services=(raw, caller, silent, refused),
        buses=(bus, replace(samples.bus("tcp://192.0.2.10:502"), up=False)),
        missing=(MissingStatus("plc", "rfc2217", "[::]:5001", "in use by another program"),),
        edge=_edge_troubles(edge, step),
        tls=(TlsStatus("plant", "the key is another's", False, (CertificateStatus("CN=gateway", "EC", 1),), 1),),
        loop=LoopStatus(lags, step * 0.3, 0.4),
    )


def _edge_troubles(edge: EdgeStatus, step: int) -> EdgeStatus:
    assert edge.archive is not None
    archive = replace(edge.archive, dropped=step, error="No space left on device", trusted=False)
    stations = tuple(replace(station, overruns=step) for station in edge.stations)
    upstreams = tuple(
        replace(upstream, up=False, lost=step, refused=step, backlog=10_000 + step * 100) for upstream in edge.upstreams
    )
    return replace(edge, archive=archive, stations=stations, upstreams=upstreams)


def made_up() -> list[Scrape]:
    """Scrapes of statuses that nobody has."""
    return [scrape(registry(lambda step=step: _status(step))) for step in range(1, SCRAPES + 1)]  # type: ignore[misc]


# As a file.


def openmetrics(histories: dict[str, list[Scrape]], end: float) -> Iterator[str]:
    """Lines of OpenMetrics with times, the last scrapes at `end`: family by family, as promtool wants them."""
    families: dict[str, dict[str, list[str]]] = {}
    for instance, scrapes in histories.items():
        for number, found in enumerate(scrapes):
            at = end - SCRAPED_EVERY * (len(scrapes) - 1 - number)
            for family, name, labels, value in found:
                text = ",".join(f'{key}="{_escaped(each)}"' for key, each in labels.items())
                label = f'instance="{instance}",job="nportpy"{"," if text else ""}{text}'
                families.setdefault(family, {}).setdefault(f"{name}{{{label}}}", []).append(f"{value!r} {at:.3f}")
    for family, series in families.items():
        yield f"# TYPE {family}"
        for name, points in series.items():
            yield from (f"{name} {point}" for point in points)
    yield "# EOF"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def lines(parts: Iterable[str]) -> str:
    """As one text."""
    return "\n".join(parts) + "\n"
