"""The rows of the console measure what they say."""

import pytest

from tests.bench.__main__ import run
from tests.bench.console import CONSOLE, CONSOLE_UNSEEN, NportpyConsole
from tests.bench.logins import LOGINS, NportpyLogins
from tests.bench.monitor import MONITOR, NportpyMonitor
from tests.bench.report import Scale
from tests.support import browser

pytestmark = pytest.mark.process


def test_c2_c4_a_taste_of_them() -> None:
    benches = (CONSOLE, CONSOLE_UNSEEN)
    results = run(benches, (NportpyConsole(),), Scale(lines=2, paced_seconds=1, idle_seconds=1), 1)
    assert not results.failures
    assert all(figure.key in results.samples["nportpy"] for bench in benches for figure in bench.figures)


def test_s19_a_taste_of_a_line_while_passwords_are_tried() -> None:
    results = run((LOGINS,), (NportpyLogins(),), Scale(exchanges=200), 1)
    assert not results.failures
    assert all(figure.key in results.samples["nportpy"] for figure in LOGINS.figures)


@pytest.mark.peer
@pytest.mark.skipif(browser.PROGRAM is None, reason="no Chromium here")
def test_c1_c14_a_taste_of_the_monitor_in_a_browser() -> None:
    results = run((MONITOR,), (NportpyMonitor(),), Scale(soak_seconds=1), 1)
    assert not results.failures
    assert all(figure.key in results.samples["nportpy"] for figure in MONITOR.figures)
    assert max(results.samples["nportpy"]["monitor_dom"]) <= 100
