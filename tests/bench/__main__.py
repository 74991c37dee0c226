"""`make bench`: measure nportpy beside its peers and print a table. Timing never decides the exit code."""

import gc
import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import click

from tests.bench.attach import ATTACH
from tests.bench.chart import CHART, NportpyChart
from tests.bench.console import CONSOLE, CONSOLE_UNSEEN, NportpyConsole
from tests.bench.dlms import DLMS
from tests.bench.dlms_line import DLMS_LINE
from tests.bench.gateways import SUBJECTS, ModbusPeer, Running, Subject
from tests.bench.idle import IDLE
from tests.bench.latency import LATENCY
from tests.bench.logins import LOGINS, NportpyLogins
from tests.bench.modbus import MODBUS
from tests.bench.modbus_paced import MODBUS_19200, MODBUS_115200, MODBUS_DEAD
from tests.bench.modbus_soak import LATE, SOAK
from tests.bench.modes import MODES, NportpyModes
from tests.bench.modes_others import OTHER_MODES, NportpyOtherModes
from tests.bench.monitor import MONITOR, NportpyMonitor
from tests.bench.packing import PACKING, NportpyPacking
from tests.bench.processes import BrokenError, DeadlockError, far_ends, machine
from tests.bench.realcom import REALCOM, NportpyRealCom
from tests.bench.report import OURS, QUICK, Bench, Results, Rounds, Scale, table, write_between_marks
from tests.bench.rules import RULES
from tests.bench.saturated import SATURATED
from tests.bench.startup import STARTUP
from tests.bench.tap import TAP, TAP_SATURATED, NportpyTap
from tests.bench.throughput import BOTH_WAYS, FROM_LINE
from tests.bench.tls import MODBUS_TLS, TLS, TLS_MEMORY

# One file for each group of rows; a new group is added here.
BENCHES = (
    LATENCY,
    FROM_LINE,
    BOTH_WAYS,
    SATURATED,
    IDLE,
    STARTUP,
    MODBUS,
    MODBUS_19200,
    MODBUS_115200,
    MODBUS_DEAD,
    SOAK,
    ATTACH,
    MODES,
    OTHER_MODES,
    PACKING,
    REALCOM,
    DLMS,
    TLS,
    TLS_MEMORY,
    MODBUS_TLS,
    RULES,
    TAP,
    TAP_SATURATED,
    CONSOLE_UNSEEN,
    CONSOLE,
    LOGINS,
    CHART,
    MONITOR,
    DLMS_LINE,
    LATE,
)

# nportpy set up in another way, for the rows that need it.
OTHERWISE: tuple[Subject, ...] = (
    NportpyModes(),
    NportpyOtherModes(),
    NportpyPacking(),
    NportpyRealCom(),
    NportpyTap(),
    NportpyConsole(),
    NportpyLogins(),
    NportpyChart(),
    NportpyMonitor(),
)


class Turn:
    """One program under one measurement: its gateway and far ends, kept between rounds unless they must be fresh."""

    def __init__(self, bench: Bench, subject: Subject, scale: Scale, results: Results) -> None:
        """Nothing runs yet."""
        self._bench = bench
        self._subject = subject
        self._scale = scale
        self._results = results
        self._stack = ExitStack()
        self._gateway: Running | None = None
        self._rounds: Rounds = iter(())
        self._failed = False

    def take(self) -> None:
        """One round; none any more once one has failed."""
        if self._failed:
            return
        try:
            gateway = self._gateway or self._begin()
            figures = next(self._rounds)
            gateway.check()
            self._results.add(self._subject.name, figures)
            if self._bench.fresh:
                self.end()
        except DeadlockError as error:
            self._fail("deadlock", error)
        except (BrokenError, OSError) as error:
            self._fail("broken", error)

    def end(self) -> None:
        """End gateway and far ends."""
        self._gateway = None
        self._stack.close()

    def _begin(self) -> Running:
        ends = self._stack.enter_context(far_ends(self._bench.far_ends(self._scale)))
        started = time.monotonic()
        devices = [end.device for end in ends]
        gateway = self._stack.enter_context(self._subject.running(devices, self._bench.setup))
        self._gateway = gateway
        self._rounds = self._bench.measure(gateway, ends, self._scale, started)
        return gateway

    def _fail(self, how: str, error: Exception) -> None:
        words = self._gateway.last_words() if self._gateway else ""
        click.echo(f"{self._subject.name}, {self._bench.name}: {error!r} {words}", err=True)
        self._results.fail(self._subject.name, self._bench, how)
        self._failed = True
        self.end()


def run(benches: tuple[Bench, ...], subjects: tuple[Subject, ...], scale: Scale, rounds: int) -> Results:
    """Every measurement, the programs in turn, round by round."""
    results = Results({subject.name: subject.version() for subject in subjects}, machine())
    for bench in benches:
        click.echo(f"{bench.name} ...", err=True)
        turns = [
            Turn(bench, subject, scale, results)
            for subject in subjects
            if results.versions[subject.name]
            and bench.setup.service in subject.services
            and (subject.name == OURS or not bench.ours_only)
            and (subject.process_rows or not bench.process_rows)
        ]
        try:
            for _ in range(max(1, round(rounds * bench.weight))):
                for turn in turns:
                    turn.take()
        finally:
            for turn in turns:
                turn.end()
    return results


def _wanted(only: tuple[str, ...]) -> list[Bench]:
    """What is to be measured: what was named, with what its goals are multiples of; else all but what takes minutes."""
    chosen = [bench for bench in BENCHES if (bench.name in only if only else not bench.on_demand)]
    others = {goal.times for bench in chosen for goal in bench.goals}
    return [b for b in BENCHES if b in chosen or others & {figure.key for figure in b.figures}]


def _peer(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[ModbusPeer, ...]:
    try:
        return tuple(ModbusPeer(*value.split("=", 1)) if "=" in value else ModbusPeer(value, "") for value in values)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="A taste: fewer bytes and seconds, two rounds.")
@click.option(
    "--rounds",
    type=click.IntRange(1, 50),
    help="Rounds over the programs; more for round trips, fewer for what takes long.",
)
@click.option("--only", type=click.Choice([b.name for b in BENCHES]), multiple=True, help="Only these measurements.")
@click.option("--subject", type=click.Choice([s.name for s in SUBJECTS]), multiple=True, help="Only these programs.")
@click.option(
    "--modbus-peer",
    "peers",
    metavar="NAME=COMMAND",
    multiple=True,
    callback=_peer,
    help="Another Modbus gateway; in its command {device}, {port}, {baudrate} and {format} are replaced.",
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write every sample here.")
@click.option("--write-page", is_flag=True, help="Put the table between the bench marks of docs/benchmark.md.")
def main(
    *,
    quick: bool,
    rounds: int | None,
    only: tuple[str, ...],
    subject: tuple[str, ...],
    peers: tuple[ModbusPeer, ...],
    json_file: Path | None,
    write_page: bool,
) -> None:
    benches = tuple(bench.beside(peer.name for peer in peers) for bench in _wanted(only))
    subjects = (*(each for each in (*SUBJECTS, *OTHERWISE) if not subject or each.name in subject), *peers)
    gc.disable()  # a collection here would look like a slow gateway
    results = run(benches, subjects, QUICK if quick else Scale(), rounds or (2 if quick else 5))
    text = table(results, benches)
    click.echo(text, nl=False)
    if json_file:
        kept = {name: getattr(results, name) for name in ("machine", "versions", "samples", "failures")}
        json_file.write_text(json.dumps(kept, indent=2) + "\n")
    if write_page:
        write_between_marks(Path(__file__).parents[2] / "docs/benchmark.md", text)
    broken = any("broken" in failures.values() for failures in results.failures.values())
    deadlocked = "deadlock" in results.failures.get(OURS, {}).values()  # a peer's is only shown
    sys.exit(1 if broken or deadlocked else 0)


if __name__ == "__main__":
    main()
