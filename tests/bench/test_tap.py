"""The rows of the tap measure what they say."""

import pytest

from tests.bench.__main__ import run
from tests.bench.report import Scale
from tests.bench.tap import TAP, NportpyTap


@pytest.mark.long
def test_c17_a_taste_of_it_loses_no_byte() -> None:
    results = run((TAP,), (NportpyTap(),), Scale(exchanges=64), 1)
    assert not results.failures
    assert all(figure.key in results.samples["nportpy"] for figure in TAP.figures)
