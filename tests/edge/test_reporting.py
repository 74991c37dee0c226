"""Report by exception (E2)."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from nportpy.edge.conversion import Converted
from nportpy.edge.reporting import Reporter
from nportpy.edge.sample import Quality
from nportpy.protocols.modbus.values import Value
from tests.edge.test_conversion import TAG


def good(value: float) -> Converted:
    return Converted(value, Quality.GOOD)


def test_e2_constant_input_gives_one_sample_and_then_one_per_max_silence() -> None:
    reporter = Reporter(replace(TAG, max_silence=900.0))
    reported = [second for second in range(0, 3601, 10) if reporter.reports(good(5.0), float(second))]
    assert reported == [0, 900, 1800, 2700, 3600]


def test_e2_a_change_beyond_the_deadband_gives_exactly_one() -> None:
    reporter = Reporter(replace(TAG, deadband=0.2, max_silence=0.0))
    values = [230.0, 230.2, 229.8, 230.3, 230.3, 230.1]
    assert [reporter.reports(good(value), float(at)) for at, value in enumerate(values)] == [
        True, False, False, True, False, False,
    ]  # fmt: skip


def test_e2_what_creeps_is_measured_against_what_was_reported() -> None:
    reporter = Reporter(replace(TAG, deadband=1.0, max_silence=0.0))
    reported = [step for step in range(40) if reporter.reports(good(step / 10), float(step))]
    assert reported == [0, 11, 22, 33]


def test_e2_any_change_of_quality_passes_the_deadband() -> None:
    reporter = Reporter(replace(TAG, deadband=100.0, max_silence=0.0))
    assert reporter.reports(good(5.0), 0.0)
    assert reporter.reports(Converted(5.0, Quality.UNCERTAIN), 1.0)
    assert reporter.reports(Converted(None, Quality.BAD), 2.0)
    assert not reporter.reports(Converted(None, Quality.BAD, "for another reason"), 3.0)
    assert reporter.reports(good(5.0), 4.0)


def test_e2_texts_and_words_are_reported_when_they_change() -> None:
    reporter = Reporter(replace(TAG, max_silence=0.0))
    said: list[Value] = ["on", "on", "off", "off", 7]
    assert [reporter.reports(Converted(each, Quality.GOOD), 0.0) for each in said] == [True, False, True, False, True]


def test_e12_silence_is_reported_once_however_long_it_lasts() -> None:
    reporter = Reporter(replace(TAG, max_silence=10.0))
    bad = Converted(None, Quality.BAD)
    assert reporter.reports(good(1.0), 0.0)
    assert [reporter.silent(bad, float(at)) for at in range(1, 100, 20)] == [True, False, False, False, False]
    assert reporter.reports(good(1.0), 101.0)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(0, 1e3))
def test_no_reading_is_further_from_what_was_reported_than_the_deadband(values: list[float], deadband: float) -> None:
    reporter = Reporter(replace(TAG, deadband=deadband, max_silence=0.0))
    for value in values:
        reporter.reports(good(value), 0.0)
        last = reporter.last
        assert last is not None
        assert isinstance(last.value, float)
        assert abs(last.value - value) <= deadband + 1e-11 * abs(value)
