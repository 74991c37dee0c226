"""What text means: numbers, stamps, codes, profiles."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.errors import ProtocolError
from nportpy.protocols.iec62056 import profile
from nportpy.protocols.iec62056.codes import find, is_text, parse, same, unit_of
from nportpy.protocols.iec62056.datasets import Line, Unreadable
from nportpy.protocols.iec62056.datasets import parse as parse_line
from nportpy.protocols.iec62056.reader import Reader
from nportpy.protocols.iec62056.values import Season, Stamp, number, stamp_at
from tests.protocols.iec62056.vectors import WIRE


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("000077.160", "77.160"),
        ("12.3-", "-12.3"),
        ("-5", "-5"),
        ("+5", "5"),
        ("12,3", "12.3"),
        (".5", "0.5"),
        ("5.", "5"),
        (" 7 ", "7"),
    ],
)
def test_numbers(text: str, value: str) -> None:
    assert number(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "-5-", "1.2.3", "--.--", "1e5", "0x10", "18:58:15", "\u0661", "NaN", "1 2"])
def test_no_numbers(text: str) -> None:
    assert number(text) is None


@pytest.mark.parametrize(
    ("text", "local", "season"),
    [
        ("2611210945", "2026-11-21 09:45:00", Season.UNSAID),
        ("261121094530", "2026-11-21 09:45:30", Season.UNSAID),
        ("12611210945", "2026-11-21 09:45:00", Season.SUMMER),
        ("1261121000000", "2026-11-21 00:00:00", Season.SUMMER),
        ("S2607210945", "2026-07-21 09:45:00", Season.SUMMER),
        ("w2601210945", "2026-01-21 09:45:00", Season.NORMAL),
        ("U2601210945", "2026-01-21 09:45:00", Season.UTC),
        ("2612312400", "2027-01-01 00:00:00", Season.UNSAID),
    ],
)
def test_stamps(text: str, local: str, season: Season) -> None:
    stamp = Stamp.parse(text)
    assert stamp is not None
    assert (str(stamp.local), stamp.season) == (local, season)


@pytest.mark.parametrize("text", ["", "2613210945", "2611212401", "3261121094500", "26112109", "261121094560"])
def test_no_stamps(text: str) -> None:
    assert Stamp.parse(text) is None


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("02610250230", "01:30"),  # the hour that comes twice: normal time
        ("12610250230", "00:30"),  # summer time
        ("22610250230", "02:30"),
        ("2610250130", "23:30"),
    ],
)
def test_stamps_in_utc(text: str, utc: str) -> None:
    stamp = Stamp.parse(text)
    assert stamp is not None
    assert f"{stamp.utc(ZoneInfo('Europe/Bratislava')):%H:%M}" == utc


def test_stamps_of_requests() -> None:
    zone = ZoneInfo("Europe/Bratislava")
    assert stamp_at(datetime(2026, 7, 1, 10, tzinfo=UTC), zone).text() == "12607011200"
    assert stamp_at(datetime(2026, 1, 1, 10, tzinfo=UTC), zone).text() == "02601011100"
    assert stamp_at(datetime(2026, 1, 1, 10, tzinfo=UTC), zone, season=False).text() == "2601011100"


@given(st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 30)))  # noqa: DTZ001
def test_stamps_come_back(at: datetime) -> None:
    at = at.replace(second=0, microsecond=0, tzinfo=UTC)
    zone = ZoneInfo("Europe/Bratislava")
    again = Stamp.parse(stamp_at(at, zone).text())
    assert again is not None
    assert again.utc(zone).replace(tzinfo=UTC) == at


FORMS = ["1-0:1.8.0*255", "1.0.1.8.0.255", "1.8.0", "1.8", "1-0:1.8.0", "1.0.1.8.0", "1.8.0*255"]


@pytest.mark.parametrize("one", FORMS)
@pytest.mark.parametrize("other", FORMS)
def test_one_register_in_all_forms(one: str, other: str) -> None:
    assert same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("F.F", "0.0.97.97.0.255"), ("C.1.0", "0-0:96.1.0*255"), ("c.1", "C.1.0"), ("32.7", "1.0.32.7.0.255"),
     ("P.01", "P.1"), ("1.8.0*03", "1-0:1.8.0&3"), ("Serial", "serial "), ("20", "20"), ("8.1", "8.1")],
)  # fmt: skip
def test_the_same(one: str, other: str) -> None:
    assert same(one, other)
    assert find(one, ["x", other]) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [("1.8.0", "1.8.0*03"), ("1.8.0", "1.8.0&80"), ("1.8.0", "2.8.0"), ("1.8.0", "1.8.1"), ("1-0:1.8.0", "7-0:1.8.0"),
     ("1-1:1.8.0", "1-2:1.8.0"), ("20", "20.0"), ("8.1", "8.2"), ("Serial", "1.8.0"), ("300.1", "44.1")],
)  # fmt: skip
def test_others(one: str, other: str) -> None:
    assert not same(one, other)
    assert find(one, [other]) is None


def test_the_same_text_comes_before_the_same_code_and_the_first_of_equals() -> None:
    assert find("1.8.0", ["1-0:1.8.0", "1.8.0", "1.8.0"]) == 1
    assert find("1.8.0", ["1.8.0*01", "1-0:1.8.0", "1-0:1.8.0"]) == 1


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_text_may_be_compared(one: str, other: str) -> None:
    assert same(one, one)
    assert same(one, other) == same(other, one)


def test_the_dotted_six() -> None:
    assert str(parse("1-0:1.8.0*255")) == str(parse("1.8.0")) == "1.0.1.8.0.255"
    assert str(parse("1.8.0*03")) == "1.0.1.8.0.3"


@pytest.mark.parametrize(
    ("code", "unit"),
    [("1.8.0", "kWh"), ("16.7.0", "kW"), ("3.8.1", "kvarh"), ("32.7", "V"), ("51.7.0", "A"), ("14.7", "Hz"),
     ("13.7.0", ""), ("0.0.0", ""), ("7-0:1.8.0", ""), ("Serial", ""), ("1.6.1", "kW"), ("9.8.0", "kVAh")],
)  # fmt: skip
def test_units_of_meters_that_print_none(code: str, unit: str) -> None:
    assert unit_of(code) == unit


def test_texts_made_of_digits() -> None:
    assert [is_text(each) for each in ("0.0.0", "C.1.0", "F.F", "0.9.1", "Serial", "1.8.0", "13.7")] == [True] * 5 + [
        False
    ] * 2


HEAD = "P.01(0261121001500)(00)(15)(2)(1.5)(kW)(2.5)(kvar)"


def lines(*texts: str) -> list[Line | Unreadable]:
    found: list[Line | Unreadable] = []
    last = ""
    for text in texts:
        sets, rest = parse_line(text, last)
        if sets:
            last = sets[-1].address
            found.append(Line(sets))
        if rest:
            found.append(Unreadable(rest))
    return found


def table(*texts: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(f"{row.stamp.local:%H:%M}", tuple(map(str, row.values))) for row in profile.rows(lines(*texts))]


def test_w12_a_profile() -> None:
    (row,) = profile.rows(each for each in Reader().feed(WIRE["W12"]) if isinstance(each, Line))
    assert (str(row.stamp.local), row.stamp.season) == ("2026-11-21 00:00:00", Season.SUMMER)
    assert [(each.code, each.unit) for each in row.columns] == [("1.5", "kW"), ("2.5", "kvar")]
    assert row.values == (Decimal("0.123"), Decimal("0.045"))


def test_rows_follow_each_other_by_the_interval_and_a_header_begins_anew() -> None:
    found = table(
        HEAD, "(1)(2)", "(3)(4)", HEAD.replace("0015", "1200").replace("(00)(15)", "(80)(30)"), "(5)(6)", "(7)(8)"
    )
    assert found == [("00:15", ("1", "2")), ("00:30", ("3", "4")), ("12:00", ("5", "6")), ("12:30", ("7", "8"))]


def test_values_on_the_header_s_line_several_rows_on_one_and_rows_over_two() -> None:
    assert table(HEAD + "(1)(2)", "(3)(4)(5)(6)", "(7)", "(8)")[-1] == ("01:00", ("7", "8"))


def test_a_value_or_a_row_that_cannot_be_read_leaves_the_others_their_times() -> None:
    found = table(HEAD, "(1)(--)", "rubbish", "(3)(4)")
    assert found == [("00:15", ("1", "None")), ("00:30", ("None", "None")), ("00:45", ("3", "4"))]


@pytest.mark.parametrize(
    "header",
    ["P.01(1)", "P.01(ERROR)", HEAD.replace("(15)", "(0)"), HEAD.replace("(15)", "(x)"), HEAD.replace("(2)", "(99)"),
     HEAD.replace("(2)", "(3)"), HEAD.replace("(2)", "(1.5)"), HEAD.replace("0261121", "0261321")],
)  # fmt: skip
def test_headers_that_make_no_sense(header: str) -> None:
    with pytest.raises(ProtocolError, match=r"P\.01"):
        table(header, "(1)(2)")


def test_a_profile_that_never_began() -> None:
    assert profile.rows([Unreadable("x")]) == []


@given(st.lists(st.text("P.01()259-x", max_size=40), max_size=6))
def test_fuzz_profiles(texts: list[str]) -> None:
    try:
        table(HEAD, *texts)
    except ProtocolError:
        return
