"""The row of packing measures what it says."""

import pytest

from tests.bench.__main__ import run
from tests.bench.packing import PACKING, NportpyPacking
from tests.bench.report import Scale

pytestmark = pytest.mark.process


def test_a_taste_of_it_loses_no_byte() -> None:
    results = run((PACKING,), (NportpyPacking(),), Scale(exchanges=50, bulk=400_000), 1)
    assert not results.failures
    assert all(results.samples["nportpy"][figure.key] for figure in PACKING.figures)
