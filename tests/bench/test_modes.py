"""The row of TCP client and UDP measures what it says."""

import pytest

from tests.bench.__main__ import run
from tests.bench.modes import MODES, NportpyModes
from tests.bench.report import Scale

pytestmark = pytest.mark.process


def test_a_taste_of_it_loses_no_byte() -> None:
    results = run((MODES,), (NportpyModes(),), Scale(exchanges=50, bulk=400_000), 1)
    assert not results.failures
    assert all(results.samples["nportpy"][figure.key] for figure in MODES.figures)
