"""A bus with culprits on it: a dead, a slow and a noisy unit, and five clients, one of which polls too much."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from nportpy.linesettings import LineSettings
from nportpy.modbus.settings import BusSettings, Timeout
from nportpy.port.loopback import Cable
from nportpy.simulator.faults import BadCheck, Cut, Delay, Fault, Faulty, Missing, Rule, Script, Where
from tests.support.modbus_serving import Asker, asker, attach, modbus, units
from tests.support.serving import Served, plan, serving

GOOD, DEAD, SLOW, NOISY = 1, 9, 4, 5
WIRE = LineSettings(19200)


def spoilt(unit: int, fault: Fault, share: float = 1.0) -> Rule:
    """What is wrong with a unit, and how often."""
    return Rule(fault, Where(units=(range(unit, unit + 1),), share=share))


CULPRITS = (spoilt(SLOW, Delay(0.3)), spoilt(NOISY, BadCheck(), 0.3))


@asynccontextmanager
async def culprits(*rules: Rule, within: float = 0.5, wire: LineSettings | None = WIRE) -> AsyncIterator[Served]:
    """A gateway on such a bus, on which unit 9 is missing."""
    cable = Cable()
    attach(cable, Faulty(units(1, 2, 3, SLOW, NOISY), Script(rules or CULPRITS)), wire)
    bus = BusSettings(timeout=Timeout(within, within, within))
    async with serving(plan("cable", modbus(), bus=bus, line=WIRE), cables=[cable]) as served:
        yield served


async def poll(client: Asker, every: float, *wanted: int, start: int = 0) -> None:
    """Ask units in turn for ever, with a rest after each answer; different registers each time."""
    at = start
    while True:
        for unit in wanted:
            at += 1
            await client.ask(b"\x03" + (at % 60).to_bytes(2) + b"\x00\x04", unit)
            await asyncio.sleep(every)


@asynccontextmanager
async def five_clients(served: Served, *, hog_rests: float = 0.0) -> AsyncIterator[str]:
    """Four that ask once in two seconds, and one that never stops; its name."""
    clients = [await asker(served) for _ in range(5)]
    hog = clients[2]
    plans = [
        (clients[0], 2.0, (GOOD,)),
        (clients[1], 2.0, (DEAD, 2)),
        (hog, hog_rests, (GOOD, 2, 3)),
        (clients[3], 2.0, (SLOW,)),
        (clients[4], 0.5, (NOISY,)),
    ]
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(poll(client, every, *wanted, start=10 * number))
            for number, (client, every, wanted) in enumerate(plans)
        ]
        try:
            host, port = hog.transport.get_extra_info("sockname")[:2]
            yield f"{host}:{port}"
        finally:
            for task in running:
                task.cancel()
            for client in clients:
                with suppress(TimeoutError):
                    await client.close()


__all__ = ["BadCheck", "Cut", "Delay", "Missing", "culprits", "five_clients", "poll", "spoilt"]
