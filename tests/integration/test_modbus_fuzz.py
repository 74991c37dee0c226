"""Whatever a Modbus client sends, its neighbours do not notice, nothing grows, and the gateway lives."""

import random
import tracemalloc

import pytest

from nportpy.modbus.settings import Action, BusSettings, Matching, RoutingSettings, Rule, Timeout
from nportpy.modes.modbus_base import Access
from nportpy.port.loopback import Cable
from nportpy.protocols.modbus import ascii as ascii_frames
from nportpy.protocols.modbus import mbap, rtu
from nportpy.protocols.modbus.exchange import Echo
from tests.support.modbus_serving import asker, attach, holding, modbus, read, units
from tests.support.serving import Client, plan, serving, settle, until

ROUNDS = 50
GROWTH = 2_000_000
"""Bytes that the process may hold more than before, whatever was sent: buffers, caches, logs."""


def frame(protocol: Access, unit: int, pdu: bytes, number: int) -> bytes:
    match protocol:
        case Access.TCP:
            return mbap.encode(number & 0xFFFF, unit, pdu)
        case Access.RTU:
            return rtu.encode(unit, pdu)
        case _:
            return ascii_frames.encode(unit, pdu)


def mutated(rng: random.Random, protocol: Access, number: int) -> bytes:
    """A request, or what is left of one."""
    pdu = rng.choice(
        [
            read(rng.randrange(65536), rng.randrange(300)),
            bytes((rng.randrange(256),)) + rng.randbytes(rng.randrange(252)),
            b"\x10" + rng.randbytes(rng.randrange(1, 250)),
            b"\x2b\x0e\x01\x00",
            b"\x08\x00\x04\x00\x00",
        ]
    )
    data = bytearray(frame(protocol, rng.randrange(256), pdu, number))
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(data))
        match rng.randrange(4):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                del data[at:]
            case 2:
                data[at:at] = rng.randbytes(rng.randrange(1, 20))
            case 3:
                data *= rng.randrange(1, 6)
        if not data:
            break
    return bytes(data[:8192])


@pytest.mark.parametrize("protocol", [Access.TCP, Access.RTU, Access.ASCII])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.sample(4)
@pytest.mark.long
async def test_fuzzed_requests(protocol: Access, seed: int, times: int) -> None:
    rounds, rng = ROUNDS * times, random.Random(seed)
    cable = Cable()
    attach(cable, units(1, 2, 3))
    bus = BusSettings(silence=0.0, echo=Echo.NO, timeout=Timeout(0.02), turnaround=0.005, deadline=1.0)
    # Listen-only mode (8/4) is what a unit obeys: nobody could serve the neighbour then.
    no_diagnostics = Rule(Matching(functions=frozenset((8,))), Action.DENY)
    services = modbus(), modbus(protocol=protocol, routing=RoutingSettings.whole("cable", rules=(no_diagnostics,)))
    async with serving(plan("cable", *services, bus=bus), cables=[cable]) as served:
        neighbour = await asker(served)
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for number in range(rounds):
                rude = await served._connected(Client, "modbus-2", "cable")
                for _ in range(rng.randrange(1, 8)):
                    rude.send(mutated(rng, protocol, number))
                    if rng.random() < 0.3:
                        await settle(rng.random() * 0.02)
                assert await neighbour.read(number, 2, unit=2) == holding(2, number, 2)
                if rude.lost or rng.random() < 0.5:
                    await rude.close()
                else:
                    await rude.reset()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        await until(lambda: not served.service("modbus-2").clients)
        await until(lambda: served.gateway.status().buses[0].queued == 0)
        assert after - before < GROWTH
        results = served.results("modbus-2")
        assert results["accepted"] == rounds
        assert sum(results.get(end, 0) for end in ("closed", "error", "slow")) == rounds
        assert len(served.gateway.status().buses[0].requests) < 2100
