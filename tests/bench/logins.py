"""A line while passwords are tried (S19): each takes a fifth of a second of a processor, in a thread of the gateway."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from nportpy.accounts import changing
from nportpy.accounts.roles import Role
from tests.bench.clients import exchange
from tests.bench.gateways import PATIENCE, Nportpy, Running, Setup
from tests.bench.processes import BrokenError, FarEnd, program
from tests.bench.report import Bench, Figure, Goal, Rounds, Scale
from tests.bench.stats import percentile
from tests.support.free_ports import free_ports

_WARM_UP = 500
_TRYING = 24
"""Who try at once: eight may wait, so that others are sent away meanwhile."""


class NportpyLogins(Nportpy):
    """nportpy with HTTP and an account."""

    services = frozenset(("logins",))

    def start(self, stack: ExitStack, directory: Path, devices: Sequence[str], setup: Setup) -> Running:
        raw, http = free_ports(2)
        accounts = directory / "accounts.json"
        changing.add(str(accounts), "anna", Role.VIEWER, [], "correct horse battery")
        file = directory / "nportpy.toml"
        file.write_text(
            f'[gateway]\nlisten = "127.0.0.1"\n[http]\nlisten = "127.0.0.1:{http}"\naccounts_file = "{accounts}"\n'
            f'[port.line]\ndevice = "{devices[0]}"\n[port.line.raw]\nlisten = {raw}\n'
        )
        command = [sys.executable, "-m", "nportpy", "serve", "-c", str(file)]
        process = stack.enter_context(program(command, directory / "nportpy.log"))
        return Running(stack, [process], {"raw": [raw], "http": [http]})


def _measure(gateway: Running, ends: Sequence[FarEnd], scale: Scale, started: float) -> Rounds:
    line = gateway.connect()
    gateway.settle()
    exchange(line, _WARM_UP)
    quiet = percentile(exchange(line, scale.exchanges), 0.99)
    command = [sys.executable, "-m", "tests.bench.logins", str(gateway.port(0, "http"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as trying:
        assert trying.stdout is not None
        try:
            trying.stdout.readline()  # the first was looked at
            took = exchange(line, scale.exchanges)
            said, _ = trying.communicate("", PATIENCE)
        finally:
            trying.kill()
    answers = json.loads(said)
    if not answers.get("401") or answers.keys() - {"401", "503"}:
        raise BrokenError(f"passwords were not tried as they should be: {answers}")
    yield {"logins_quiet": quiet, "logins_p50": percentile(took, 0.5), "logins_p99": percentile(took, 0.99)}


async def _try(port: int, numbers: "count[int]", answers: Counter[str]) -> None:
    """Log in in vain, again and again, each time as another one from elsewhere: nobody waits for having guessed."""
    while True:
        number = next(numbers)
        body = json.dumps({"name": f"n{number}", "password": "not the right one"})
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            "POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Forwarded-Proto: https\r\n"
            f"X-Forwarded-For: 10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        status = (await reader.read()).split(b" ", 2)[1].decode()
        writer.close()
        if status == "401" and not answers["401"]:
            print(flush=True)
        answers[status] += 1
        await asyncio.sleep(0.5)


async def _all(port: int) -> None:
    answers: Counter[str] = Counter()
    numbers = count()
    async with asyncio.TaskGroup() as tasks:
        trying = [tasks.create_task(_try(port, numbers, answers)) for _ in range(_TRYING)]
        await asyncio.to_thread(sys.stdin.read)
        for each in trying:
            each.cancel()
    print(json.dumps(+answers))


LOGINS = Bench(
    name="logins",
    figures=(
        Figure("logins_quiet", "8-byte round trip beside HTTP with accounts, p99", "us"),
        Figure("logins_p50", "the same while passwords are tried, p50", "us"),
        Figure("logins_p99", "the same while passwords are tried, p99", "us"),
    ),
    goals=(Goal("logins_p99", 1.5, times="logins_quiet"),),
    far_ends=lambda _: [["echo"]],
    measure=_measure,
    setup=Setup("logins"),
    fresh=True,
    ours_only=True,
)

if __name__ == "__main__":
    asyncio.run(_all(int(sys.argv[1])))
