"""The row of reverse telnet, Ethernet modem and pair connection measures what it says."""

import os

import pytest

from tests.bench.__main__ import run
from tests.bench.modes_others import OTHER_MODES, NportpyOtherModes, _joined
from tests.bench.report import Scale

pytestmark = pytest.mark.process


def test_a_taste_of_it_loses_no_byte() -> None:
    results = run((OTHER_MODES,), (NportpyOtherModes(),), Scale(exchanges=50, bulk=400_000), 1)
    assert not results.failures
    assert all(results.samples["nportpy"][figure.key] for figure in OTHER_MODES.figures)


@pytest.mark.parametrize(
    ("sent", "joined"),
    [
        (b"a\r\0\nb\r\0\ncdef", b"a\r\nb\r\ncdef"),
        (b"ab\r\0\0\ncd", b"ab\r\0\0\ncd"),  # CR NUL LF on the line
    ],
)
def test_it_does_not_matter_where_the_line_was_read(sent: bytes, joined: bytes) -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, sent)
        assert _joined(reading, bytearray(os.read(reading, len(joined)))) == joined
    finally:
        os.close(reading)
        os.close(writing)
