"""Line settings: what exists, how it is written, and counters that wrap."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.linesettings import Flow, LineSettings, Parity, StopBits, UartCounters

LIMIT = 1 << 32
COUNTS = st.builds(UartCounters, *[st.integers(0, LIMIT - 1)] * 5)


def every_format() -> list[str]:
    return [
        f"{bits}{parity}{stop}"
        for bits in "5678"
        for parity in "NEOMS"
        for stop in ("1", "1.5", "2")
        if stop != "1.5" or bits == "5"
    ]


@pytest.mark.parametrize("text", every_format())
def test_formats_are_read_and_written(text: str) -> None:
    settings = LineSettings.parse(9600, text)
    assert settings.format == text
    assert LineSettings.parse(9600, text.lower()) == settings
    assert str(settings) == f"9600 {text}"


@pytest.mark.parametrize("text", ["", "8", "8N", "9N1", "4N1", "8X1", "8N3", "8N1.5", "81N", "8N1 ", "٨N1", "8N0"])
def test_what_is_no_format(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a format|1\.5 stop bits"):
        LineSettings.parse(9600, text)


@pytest.mark.parametrize("baudrate", [0, -1, 1 << 31])
def test_speeds_that_do_not_exist(baudrate: int) -> None:
    with pytest.raises(ValueError, match="baud rate"):
        LineSettings(baudrate)


@pytest.mark.parametrize("bits", [4, 9, 0])
def test_sizes_that_do_not_exist(bits: int) -> None:
    with pytest.raises(ValueError, match="data bits"):
        LineSettings(data_bits=bits)


def test_one_and_a_half_stop_bits_need_five_data_bits() -> None:
    LineSettings(data_bits=5, stop_bits=StopBits.ONE_AND_HALF)
    with pytest.raises(ValueError, match=r"1\.5 stop bits"):
        LineSettings(data_bits=6, stop_bits=StopBits.ONE_AND_HALF)


@pytest.mark.parametrize("out", Flow)
@pytest.mark.parametrize("back", Flow)
def test_directions_differ_only_where_a_driver_can_tell_them_apart(out: Flow, back: Flow) -> None:
    if out is back or {out, back} == {Flow.NONE, Flow.XONXOFF}:
        LineSettings(flow=out, flow_in=back)
    else:
        with pytest.raises(ValueError, match="cannot be combined"):
            LineSettings(flow=out, flow_in=back)


@pytest.mark.parametrize(("text", "bits"), [("8N1", 10), ("8E1", 11), ("7E2", 11), ("5N1.5", 7.5), ("8S2", 12)])
def test_how_long_a_character_takes(text: str, bits: float) -> None:
    settings = LineSettings.parse(1200, text)
    assert settings.bits_per_character == bits
    assert settings.character_time == bits / 1200


def test_flow_control_is_shown_where_there_is_some() -> None:
    assert str(LineSettings(300, 7, Parity.EVEN, StopBits.ONE, Flow.RTSCTS, Flow.RTSCTS)) == "300 7E1 rtscts"
    assert str(LineSettings(flow=Flow.XONXOFF)) == "9600 8N1 xonxoff out"
    assert str(LineSettings(flow_in=Flow.XONXOFF)) == "9600 8N1 xonxoff in"


@given(COUNTS, COUNTS)
def test_an_increase_is_right_where_the_kernel_has_wrapped(before: UartCounters, increase: UartCounters) -> None:
    total = before.plus(increase)
    kernel = UartCounters(
        total.frame % LIMIT, total.overrun % LIMIT, total.parity % LIMIT, total.breaks % LIMIT,
        total.buffer_overrun % LIMIT,
    )  # fmt: skip
    assert kernel.since(before) == increase
    assert before.plus(kernel.since(before)) == total
