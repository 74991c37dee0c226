"""The rows of meters measure what they say."""

import pytest

from tests.bench.__main__ import run
from tests.bench.dlms import DLMS
from tests.bench.dlms_line import DLMS_LINE
from tests.bench.gateways import Nportpy
from tests.bench.report import Scale


@pytest.mark.long
def test_a_taste_of_it_decodes_everything() -> None:
    results = run((DLMS, DLMS_LINE), (Nportpy(),), Scale(exchanges=100), 1)
    assert not results.failures
    assert all(results.samples["nportpy"][figure.key] for figure in (*DLMS.figures, *DLMS_LINE.figures))
