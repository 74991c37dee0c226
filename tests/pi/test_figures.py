"""How fast, and at what cost: printed at the end, never deciding. Software emulation is slow and uneven."""

import statistics
import time

import pytest

from tests.pi.gateway import DEVICES, FAR_ENDS, RAW, Gateway, exactly
from tests.pi.guest import Guest

pytestmark = pytest.mark.pi

ROUNDS = 300
SIZE = 1 << 20
FLOOR = """
import json, os, sys, time, tty
fd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
tty.setraw(fd)
times = []
for _ in range(int(sys.argv[2])):
    started = time.perf_counter()
    os.write(fd, bytes(8))
    got = 0
    while got < 8:
        got += len(os.read(fd, 8))
    times.append(time.perf_counter() - started)
print(json.dumps(times))
"""


def summary(times: list[float]) -> str:
    cuts = statistics.quantiles(times, n=100)
    return f"p50 {cuts[49] * 1e6:.0f} us, p99 {cuts[98] * 1e6:.0f} us"


def cpu(gateway: Gateway) -> float:
    """Seconds of processor time that the gateway has used."""
    fields = gateway.guest.read(f"/proc/{gateway.pid}/stat").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


@pytest.mark.parametrize("line", ["pl011", "uart", "usb"])
def test_round_trips(guest: Guest, gateway: Gateway, figures: list[str], line: str) -> None:
    with guest.far_end(FAR_ENDS[line], echo=True):
        gateway.wait_up(line)
        with gateway.raw(RAW[line]) as client:
            times = []
            used = cpu(gateway)
            for _ in range(ROUNDS):
                started = time.perf_counter()
                client.sendall(bytes(8))
                exactly(client, 8)
                times.append(time.perf_counter() - started)
            used = cpu(gateway) - used
    figures.append(
        f"{line}: 8 bytes there and back through raw TCP: {summary(times)}, {used / ROUNDS * 1e6:.0f} us CPU"
    )


def test_start_and_memory(gateway: Gateway, figures: list[str]) -> None:
    status = gateway.guest.read(f"/proc/{gateway.pid}/status")
    memory = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    figures.append(f"the gateway answered on HTTP {gateway.start_time:.1f} s after its start; {int(memory) >> 10} MiB")


def test_the_drivers_alone(guest: Guest, gateway: Gateway, figures: list[str]) -> None:
    gateway.stop()
    for line in ("pl011", "uart"):
        with guest.far_end(FAR_ENDS[line], echo=True):
            times = guest.python(FLOOR, DEVICES[line], str(ROUNDS))
        figures.append(f"{line}: 8 bytes there and back through the driver alone, in the guest: {summary(times)}")
