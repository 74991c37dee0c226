"""The rows of the week's chart measure what they say."""

import pytest

from tests.bench import chart
from tests.bench.__main__ import run
from tests.bench.chart import CHART, NportpyChart
from tests.bench.report import Scale
from tests.support import browser

pytestmark = pytest.mark.process


def test_a_taste_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chart, "_WEEK", 3600)
    monkeypatch.setattr(browser, "PROGRAM", None)
    results = run((CHART,), (NportpyChart(),), Scale(), 1)
    assert not results.failures
    assert results.samples["nportpy"].keys() == {"chart_answer", "chart_wait"}
