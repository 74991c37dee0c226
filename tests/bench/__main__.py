"""`make bench`: measure nportpy beside its peers and print a table. Timing never decides the exit code."""

import gc
import json
import sys
import time
from pathlib import Path

import click

from tests.bench.gateways import SUBJECTS, Subject
from tests.bench.idle import IDLE
from tests.bench.latency import LATENCY
from tests.bench.processes import BrokenError, DeadlockError, far_ends, machine
from tests.bench.report import OURS, QUICK, Bench, Results, Scale, table, write_between_marks
from tests.bench.saturated import SATURATED
from tests.bench.startup import STARTUP
from tests.bench.throughput import BOTH_WAYS, FROM_LINE

# One file for each group of rows; a new group is added here.
BENCHES = (LATENCY, FROM_LINE, BOTH_WAYS, SATURATED, IDLE, STARTUP)


def measure(bench: Bench, subject: Subject, scale: Scale, results: Results) -> None:
    """One round of one measurement on one program, with far ends of its own."""
    click.echo(f"{bench.name}: {subject.name}", err=True)
    try:
        with far_ends(bench.far_ends(scale)) as ends:
            started = time.monotonic()
            with subject.running([end.device for end in ends]) as gateway:
                gc.disable()
                figures = bench.measure(gateway, ends, scale, started)
                gateway.check()
        results.add(subject.name, figures)
    except DeadlockError as error:
        click.echo(f"  {error}", err=True)
        results.fail(subject.name, bench, "deadlock")
    except BrokenError as error:
        click.echo(f"  {error}", err=True)
        results.fail(subject.name, bench, "broken")
    finally:
        gc.enable()


def run(benches: tuple[Bench, ...], subjects: tuple[Subject, ...], scale: Scale, rounds: int) -> Results:
    """Every measurement, the programs in turn, round by round."""
    results = Results({subject.name: subject.version() for subject in subjects}, machine())
    for bench in benches:
        for _ in range(max(1, round(rounds * bench.weight))):
            for subject in subjects:
                failed = results.failure(subject.name, bench.figures[0].key)
                if results.versions[subject.name] and not failed and (subject.process_rows or not bench.process_rows):
                    measure(bench, subject, scale, results)
    return results


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="A taste: fewer bytes and seconds, two rounds.")
@click.option(
    "--rounds",
    type=click.IntRange(1, 50),
    help="Rounds over the programs; twice as many for round trips, fewer for what takes long.",
)
@click.option("--only", type=click.Choice([b.name for b in BENCHES]), multiple=True, help="Only these measurements.")
@click.option("--subject", type=click.Choice([s.name for s in SUBJECTS]), multiple=True, help="Only these programs.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write every sample here.")
@click.option("--write-readme", is_flag=True, help="Put the table between the bench marks of README.md.")
def main(
    *,
    quick: bool,
    rounds: int | None,
    only: tuple[str, ...],
    subject: tuple[str, ...],
    json_file: Path | None,
    write_readme: bool,
) -> None:
    benches = tuple(bench for bench in BENCHES if not only or bench.name in only)
    subjects = tuple(each for each in SUBJECTS if not subject or each.name in subject)
    results = run(benches, subjects, QUICK if quick else Scale(), rounds or (2 if quick else 5))
    text = table(results, benches)
    click.echo(text, nl=False)
    if json_file:
        kept = {name: getattr(results, name) for name in ("machine", "versions", "samples", "failures")}
        json_file.write_text(json.dumps(kept, indent=2) + "\n")
    if write_readme:
        write_between_marks(Path(__file__).parents[2] / "README.md", text)
    broken = any("broken" in failures.values() for failures in results.failures.values())
    deadlocked = "deadlock" in results.failures.get(OURS, {}).values()  # a peer's is only shown
    sys.exit(1 if broken or deadlocked else 0)


if __name__ == "__main__":
    main()
