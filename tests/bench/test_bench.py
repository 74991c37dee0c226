"""The harness measures what it says: its statistics, its judgement, its table, and a taste of real runs."""

import shutil
from pathlib import Path

import pytest

from tests.bench.__main__ import run
from tests.bench.clients import _plain
from tests.bench.gateways import Direct, Nportpy, Socat
from tests.bench.latency import LATENCY
from tests.bench.processes import cpu_seconds, megabytes, program, tree, wakeups
from tests.bench.report import Bench, Figure, Goal, Results, Scale, table, write_between_marks
from tests.bench.saturated import SATURATED
from tests.bench.stats import Spread, percentile
from tests.bench.throughput import BOTH_WAYS, FROM_LINE

TINY = Scale(exchanges=50, bulk=300_000, echoed=200_000, lines=2, paced_seconds=0.2, idle_seconds=0.1)


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 50), (0.99, 99), (1.0, 100)])
def test_percentile_is_a_value_that_was_measured(share: float, value: float) -> None:
    assert percentile(range(100, 0, -1), share) == value


def test_percentile_of_one_value() -> None:
    assert percentile([7.0], 0.99) == 7.0


def test_spread() -> None:
    assert Spread.over([3, 1, 2]) == Spread(1, 2, 3)
    assert Spread.over([4, 1, 2, 3]) == Spread(1, 2.5, 4)
    assert Spread(1, 2.25, 3).text(1) == "1.0 / 2.2 / 3.0"


SPEED = Bench(
    name="speed",
    figures=(Figure("speed", "speed", "MB/s", 0), Figure("pause", "pause", "s")),
    goals=(Goal("speed", 10, least=True, times="speed", of="ser2net"), Goal("pause", 2)),
    far_ends=lambda _: [],
    measure=lambda *_: iter(()),
)


def measured() -> Results:
    results = Results({"nportpy": "1", "socat": None, "ser2net": "4"}, {"processor": "2 x some"})
    for ours, theirs in ((100, 10), (300, 20), (90, 10)):
        results.add("nportpy", {"speed": ours, "pause": 3})
        results.add("ser2net", {"speed": theirs})
    return results


def test_a_multiple_is_taken_round_by_round() -> None:
    assert measured().judge(SPEED.goals[0]) == Spread(9, 10, 15)


def test_the_table_tells_met_from_missed_and_absent_from_not_measured() -> None:
    text = table(measured(), [SPEED])
    assert "| speed                     | MB/s | 90 / 100 / 300  | absent | 10 / 10 / 20 |" in text
    assert "| pause                     | s    | 3.0 / 3.0 / 3.0 | absent | -            |" in text
    assert "| speed: at least 10 x ser2net | 9.00 / 10.00 / 15.00 | met        |" in text
    assert "| pause: at most 2 s           | 3.00 / 3.00 / 3.00   | **missed** |" in text


def test_a_failure_takes_the_place_of_its_figures() -> None:
    results = measured()
    results.fail("ser2net", SPEED, "deadlock")
    text = table(results, [SPEED])
    assert "deadlock" in text
    assert "| speed: at least 10 x ser2net | -                  | ?          |" in text


def test_the_table_replaces_the_old_one_in_the_page(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("a\n<!-- bench -->\nold\n<!-- /bench -->\nb\n")
    write_between_marks(page, "new\n")
    assert page.read_text() == "a\n<!-- bench -->\nnew\n<!-- /bench -->\nb\n"
    page.write_text("a\n")
    with pytest.raises(ValueError, match="no <!-- bench -->"):
        write_between_marks(page, "new\n")


def test_telnet_commands_between_the_data_are_left_out() -> None:
    assert _plain(b"ab\xff\xfa\x2c\x6b\x30\xff\xf0cd\xff\xfd\x00ef") == b"abcdef"


def test_what_the_kernel_knows_of_a_process(tmp_path: Path) -> None:
    with program(["sh", "-c", "sleep 60 & wait"], tmp_path / "log") as process:
        while len(tree(process.pid)) < 2:
            assert process.poll() is None
        pids = tree(process.pid)
        assert 0 < cpu_seconds(pids) < 10
        assert wakeups(pids) >= 0
        assert megabytes(pids, "Rss") >= megabytes(pids, "Pss") > 0


@pytest.mark.parametrize("bench", [LATENCY, FROM_LINE, BOTH_WAYS], ids=lambda bench: bench.name)
def test_a_taste_of_each_measurement_without_a_gateway(bench: Bench) -> None:
    results = run((bench,), (Direct(),), TINY, 1)
    assert not results.failures
    assert results.samples["pty alone"][bench.figures[0].key][0] > 0


@pytest.mark.parametrize("bench", [LATENCY, BOTH_WAYS, SATURATED], ids=lambda bench: bench.name)
def test_a_taste_of_each_measurement_on_nportpy_loses_no_byte(bench: Bench) -> None:
    results = run((bench,), (Nportpy(),), TINY, 1)
    assert not results.failures
    assert all(results.samples["nportpy"][figure.key] for figure in bench.figures)


@pytest.mark.peer
@pytest.mark.skipif(not shutil.which("socat"), reason="socat is not installed")
@pytest.mark.parametrize("bench", [LATENCY, SATURATED], ids=lambda bench: bench.name)
def test_a_taste_of_each_measurement_on_socat(bench: Bench) -> None:
    results = run((bench,), (Socat(),), TINY, 1)
    assert not results.failures
    assert results.samples["socat"][bench.figures[0].key][0] > 0
