"""The row of Real COM measures what it says."""

import pytest

from tests.bench.__main__ import run
from tests.bench.realcom import REALCOM, NportpyRealCom
from tests.bench.report import Scale

pytestmark = pytest.mark.process


def test_a_taste_of_it_loses_no_byte() -> None:
    results = run((REALCOM,), (NportpyRealCom(),), Scale(exchanges=50), 1)
    assert not results.failures
    assert all(results.samples["nportpy"][figure.key] for figure in REALCOM.figures)
