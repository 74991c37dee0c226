"""Modbus TCP to a line on which characters take their time: how near a gateway comes to what the line can do.

The far end is the simulated bus, whose units answer as soon as t3.5 has ended a request. So the least that a
transaction takes is the request, t3.5, the answer, and t3.5 again.

Without a gateway a master at the pseudo-terminal itself shows what is lost before any gateway comes in: the kernel
carries each byte from one process to another, which no wire does.
"""

import os
import struct
import time
from collections.abc import Sequence
from itertools import cycle

from tests.bench.farend import framed, reading
from tests.bench.gateways import Running, Setup
from tests.bench.modbusclients import QUANTITY, Client, await_line, reads, run
from tests.bench.processes import BrokenError, FarEnd, SimulatedBus
from tests.bench.report import Bench, Figure, Goal, Rounds, Scale

_FORMAT, _BITS = "8E1", 11  # start, data, parity, stop
_UNIT, _ABSENT = 1, 9  # the simulated bus has units 1 to 8
_CLIENTS = 8
_OWN = QUANTITY * 4
_POLLS = 0.01  # seconds that whoever asks the absent unit rests between its requests


def cycle_time(baudrate: int) -> float:
    """Seconds that one transaction takes on the line at least."""
    request, answer = 8, 5 + 2 * QUANTITY
    return (request + answer) * _BITS / baudrate + 2 * silence(baudrate)


def silence(baudrate: int) -> float:
    """Seconds of t3.5 (MODBUS over Serial Line V1.02, 2.5.1.1)."""
    return 3.5 * _BITS / baudrate if baudrate <= 19200 else 0.00175


def _rate(clients: Sequence[Client]) -> float:
    """Answers per second, from the first to the last."""
    at = sorted(moment for client in clients for moment in client.at)
    return (len(at) - 1) / (at[-1] - at[0])


def _asked(descriptors: Sequence[int], seconds: float, *, same: bool = False) -> float:
    """Answers per second to clients that each read their own registers, or all the same."""
    clients = []
    for number, descriptor in enumerate(descriptors):
        first = 0 if same else _OWN * number
        clients.append(Client(descriptor, cycle(reads(_UNIT, range(first, first + _OWN, QUANTITY)))))
    run(clients, seconds)
    return _rate(clients)


def _connected(gateway: Running, count: int) -> list[int]:
    descriptors = [gateway.connect(service="modbus") for _ in range(count)]
    await_line(descriptors[0], reads(_UNIT, [0])[0])
    gateway.settle()
    return descriptors


def _mastered(descriptor: int, baudrate: int, seconds: float) -> float:
    """Answers per second to a master at the line itself; it looks at the clock until the silence has passed."""
    request = framed(_UNIT, struct.pack(">BHH", 3, 0, QUANTITY))
    wanted = framed(_UNIT, reading(_UNIT, 0, QUANTITY))
    pause, clock = silence(baudrate), time.monotonic
    at = [clock() + pause]
    until = at[0] + seconds
    while at[-1] < until:
        while clock() < at[-1] + pause:
            pass
        os.write(descriptor, request)
        answer = b""
        while len(answer) < len(wanted):
            answer += os.read(descriptor, 256)
        at.append(clock())
        if answer != wanted:
            raise BrokenError(f"wanted {wanted.hex()}, got {answer.hex()}")
    return (len(at) - 2) / (at[-1] - at[1])


def _paced(baudrate: int, *, same: bool) -> Bench:
    name = f"modbus{baudrate}"
    limit = 1 / cycle_time(baudrate)

    def measure(gateway: Running, ends: Sequence[FarEnd], scale: Scale, started: float) -> Rounds:
        (bus,) = ends
        assert isinstance(bus, SimulatedBus)
        if not gateway.serves("modbus"):
            descriptor = gateway.connect()
            while True:
                yield {f"{name}_one": _mastered(descriptor, baudrate, scale.paced_seconds) / limit * 100}
        descriptors = _connected(gateway, _CLIENTS)
        while True:
            before = bus.counts()["violations"]
            figures = {
                f"{name}_one": _asked(descriptors[:1], scale.paced_seconds) / limit * 100,
                f"{name}_eight": _asked(descriptors, scale.paced_seconds) / limit * 100,
            }
            if same:
                figures[f"{name}_same"] = _asked(descriptors, scale.paced_seconds, same=True) / limit
            yield figures | {f"{name}_short": bus.counts()["violations"] - before}

    figures = [
        Figure(f"{name}_one", f"Modbus at {baudrate} {_FORMAT}, one client", "% of the line", 2),
        Figure(
            f"{name}_eight", f"Modbus at {baudrate}, {_CLIENTS} clients, each its own registers", "% of the line", 2
        ),
        Figure(f"{name}_short", f"Modbus at {baudrate}, silences shorter than t3.5", "", 0),
    ]
    goals = [
        Goal(f"{name}_one", 99, least=True),
        Goal(f"{name}_one", 0.99, least=True, times=f"{name}_one", of="pty alone"),
        Goal(f"{name}_eight", 99, least=True),
        Goal(f"{name}_short", 0, always=True),
    ]
    if same:
        title = f"Modbus at {baudrate}, {_CLIENTS} clients, all the same registers"
        figures.append(Figure(f"{name}_same", title, "x the line", 2))
        goals.append(Goal(f"{name}_same", 7, least=True))
    return Bench(
        name=f"modbus-{baudrate}",
        figures=tuple(figures),
        goals=tuple(goals),
        far_ends=lambda _: [["simulated", f"--baudrate={baudrate}", f"--format={_FORMAT}"]],
        measure=measure,
        setup=Setup("modbus", baudrate, _FORMAT),
        weight=0.4,
    )


def _beside_a_dead_unit(gateway: Running, ends: Sequence[FarEnd], scale: Scale, started: float) -> Rounds:
    """One client reads a unit, first alone, then beside one that asks a unit that is not there."""
    living, other = _connected(gateway, 2)
    alone = _asked([living], scale.paced_seconds)
    client = Client(living, cycle(reads(_UNIT, range(0, _OWN, QUANTITY))))
    absent = (pair._replace(answer=b"") for pair in cycle(reads(_ABSENT, range(0, _OWN, QUANTITY))))
    run([client, Client(other, absent, _POLLS)], scale.dead_seconds)
    yield {"dead_live": len(client.at) / scale.dead_seconds / alone * 100}


MODBUS_19200 = _paced(19200, same=True)
MODBUS_115200 = _paced(115200, same=False)
MODBUS_DEAD = Bench(
    name="modbus-dead",
    figures=(Figure("dead_live", "Modbus at 19200, live unit beside a dead one", "% of it alone"),),
    goals=(Goal("dead_live", 80, least=True),),
    far_ends=lambda _: [["simulated", "--baudrate=19200", f"--format={_FORMAT}"]],
    measure=_beside_a_dead_unit,
    process_rows=True,
    fresh=True,
    setup=Setup("modbus", 19200, _FORMAT, 'timeout = "300ms"'),
    weight=0.2,
)
