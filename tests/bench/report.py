"""What is measured, what it should be, and the table that says so."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.bench.gateways import RAW, Running, Setup
from tests.bench.processes import FarEnd
from tests.bench.stats import Spread

OURS = "nportpy"
Rounds = Iterator[Mapping[str, float]]
_OPEN, _CLOSE = "<!-- bench -->", "<!-- /bench -->"


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    key: str
    title: str
    unit: str
    digits: int = 1


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure of ours should be: by itself, or as a multiple of another one.

    Attributes:
        figure: ours.
        limit: at most this; with `least`, at least this.
        least: whether the limit is a lower one.
        times: the figure that it is a multiple of; empty: none.
        of: whose figure that is.
        always: it holds only if it holds in every round; else the median counts.
    """

    figure: str
    limit: float
    least: bool = False
    times: str = ""
    of: str = OURS
    always: bool = False

    def met(self, spread: Spread) -> bool:
        """Whether these values are good enough."""
        worst = spread.low if self.least else spread.high
        value = worst if self.always else spread.middle
        return value >= self.limit if self.least else value <= self.limit


@dataclass(frozen=True, slots=True)
class Scale:
    """How much a run does: everything, or a taste of it."""

    exchanges: int = 1_000
    bulk: int = 32_000_000
    echoed: int = 20_000_000
    lines: int = 16
    paced_seconds: float = 10.0
    idle_seconds: float = 20.0
    dead_seconds: float = 30.0
    soak_seconds: float = 60.0
    late_trials: int = 100_000


QUICK = Scale(
    exchanges=500,
    bulk=8_000_000,
    echoed=4_000_000,
    paced_seconds=3.0,
    idle_seconds=5.0,
    dead_seconds=6.0,
    soak_seconds=5.0,
    late_trials=5_000,
)


@dataclass(frozen=True, slots=True)
class Bench:
    """A group of rows that one measurement yields.

    Attributes:
        name: for --only.
        figures: the rows.
        goals: what ours should be.
        far_ends: the far ends that it needs.
        measure: begins on a gateway that was started at the given time, and yields the figures of a round each time.
        process_rows: whether its rows are about a process, of which the bare pseudo-terminal has none.
        fresh: whether each round needs a gateway of its own. Otherwise all stay and take turns.
        weight: its share of the rounds: more for figures that vary much, less for those that take long.
        setup: of the lines, and what is offered on them.
        rivalry: what ours should be beside each other program that was given; `of` is filled in.
        on_demand: it runs only where --only names it.
        ours_only: it is about our own code, without a gateway around it.
    """

    name: str
    figures: tuple[Figure, ...]
    goals: tuple[Goal, ...]
    far_ends: Callable[[Scale], Sequence[Sequence[object]]]
    measure: Callable[[Running, Sequence[FarEnd], Scale, float], Rounds]
    process_rows: bool = False
    fresh: bool = False
    weight: float = 1.0
    setup: Setup = RAW
    rivalry: tuple[Goal, ...] = ()
    on_demand: bool = False
    ours_only: bool = False

    def beside(self, rivals: Iterable[str]) -> "Bench":
        """The same with goals for each of these programs."""
        goals = tuple(replace(goal, of=rival) for rival in rivals for goal in self.rivalry)
        return replace(self, goals=self.goals + goals)


@dataclass(slots=True)
class Results:
    """All that was measured: by program, figure and round."""

    versions: dict[str, str | None]
    machine: dict[str, str]
    samples: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    failures: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, subject: str, figures: Mapping[str, float]) -> None:
        """Keep one round's figures."""
        for key, value in figures.items():
            self.samples[subject][key].append(value)

    def fail(self, subject: str, bench: Bench, reason: str) -> None:
        """Keep why there is no figure: the rounds that did work do not count then."""
        for figure in bench.figures:
            self.samples[subject].pop(figure.key, None)
            self.failures.setdefault(subject, {})[figure.key] = reason

    def failure(self, subject: str, key: str) -> str | None:
        """Why there is no figure, if that is known."""
        return self.failures.get(subject, {}).get(key)

    def judge(self, goal: Goal) -> Spread | None:
        """The value to hold against a goal; as a multiple, round by round, so that the machine's drift cancels out."""
        values = self.samples[OURS].get(goal.figure, [])
        if goal.times:
            others = self.samples[goal.of].get(goal.times, [])
            values = [ours / other for ours, other in zip(values, others, strict=False)]
        return Spread.over(values) if values else None


def table(results: Results, benches: Iterable[Bench]) -> str:
    """The whole report in Markdown."""
    benches = list(benches)
    figures = {figure.key: figure for bench in benches for figure in bench.figures}
    goals = [goal for bench in benches for goal in bench.goals]
    names = list(results.versions)
    rows = [["lowest / median / highest", "", *names]]
    rows += [[f.title, f.unit, *(_cell(results, name, f) for name in names)] for f in figures.values()]
    judged = [["goal", "measured", ""]]
    judged += [_judged(results, goal, figures) for goal in goals]
    facts = ", ".join(f"{key} {value}" for key, value in results.machine.items())
    versions = ", ".join(f"{name} {version or 'absent'}" for name, version in results.versions.items())
    return (
        f"{_markdown(rows)}\n{_markdown(judged)}\n"
        f"{facts}; {versions}. Client, gateway and one far end per line are processes that the kernel places as it "
        "likes; the programs took turns, round by round.\n"
    )


def _cell(results: Results, name: str, figure: Figure) -> str:
    if results.versions[name] is None:
        return "absent"
    if failure := results.failure(name, figure.key):
        return failure
    values = results.samples[name].get(figure.key)
    return Spread.over(values).text(figure.digits) if values else "-"


def _judged(results: Results, goal: Goal, figures: Mapping[str, Figure]) -> list[str]:
    figure = figures[goal.figure]
    wish = f"{figure.title}: {'at least' if goal.least else 'at most'} {goal.limit:g}"
    if goal.times:
        other = figures[goal.times].title
        wish += f" x {'own' if goal.of == OURS else goal.of}" + (f" {other}" if goal.times != goal.figure else "")
    else:
        wish += f" {figure.unit}"
    value = results.judge(goal)
    if value is None:
        return [wish, "-", "?"]
    return [wish, value.text(2), "met" if goal.met(value) else "**missed**"]


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns line up in plain text as well."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def write_between_marks(path: Path, text: str) -> None:
    """Put the table where the page has its marks."""
    before, opening, rest = path.read_text().partition(_OPEN)
    _, closing, after = rest.partition(_CLOSE)
    if not opening or not closing:
        raise ValueError(f"{path}: no {_OPEN} and {_CLOSE}")
    path.write_text(f"{before}{_OPEN}\n{text}{_CLOSE}{after}")
