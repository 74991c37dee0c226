"""The bench of the drain still works; its figures are taken without a test's haste."""

import pytest

from tests.bench import drain

pytestmark = [pytest.mark.peer, pytest.mark.real]


async def test_e10_a_small_backlog_drains_beside_live() -> None:
    figures = await drain.run(20_000, 0.0, 50.0, 60.0)
    assert figures["late"] >= 20_000
    assert figures["live"] > 0


async def test_e10_the_rate_holds_on_the_wire() -> None:
    figures = await drain.run(10_000, 2000.0, 50.0, 60.0)
    assert figures["rate"] < 2000 * 10_000 / (10_000 - 2000) * 1.1  # the first second's worth goes at once
