"""The load profile: which rows, which columns, and the ways in which meters tell them."""

from datetime import UTC, datetime, timedelta

import pytest

from nportpy.simulator.cosem.clock import Zone
from nportpy.simulator.cosem.data import (
    NULL,
    Data,
    Tag,
    array,
    double_long_unsigned,
    integer,
    long_unsigned,
    octets,
    structure,
    unsigned,
)
from nportpy.simulator.cosem.objects import CosemObject, Moment, RefusedError, Selection, obis
from nportpy.simulator.cosem.profile import CLOCK, Bounds, Column, Profile, ProfileSettings

START = datetime(2026, 11, 21, 18, 0, tzinfo=UTC)
ZONE = Zone()
SORT = structure(long_unsigned(8), octets(CLOCK), integer(2), long_unsigned(0))


def profile(zone: Zone = ZONE, **settings: object) -> CosemObject:
    columns = [
        Column(1, obis("0.0.96.10.1"), 2, lambda _: unsigned(0)),
        Column(3, obis("1.0.1.8.0"), 2, lambda moment: double_long_unsigned(int(1_000_000 + moment.elapsed))),
    ]
    ours = ProfileSettings(**{"recorded": 86400.0, **settings})  # type: ignore[arg-type]
    return Profile("1.0.99.1.0", columns, zone, ours).cosem_object()


def moment(elapsed: float = 0.0) -> Moment:
    return Moment(START + timedelta(seconds=elapsed), elapsed)


def by_range(begin: datetime, end: datetime, *columns: Data, zone: Zone = ZONE, sort: Data = SORT) -> Selection:
    return Selection(1, structure(sort, octets(zone.encode(begin)), octets(zone.encode(end)), array(*columns)))


def by_entry(first: int, last: int, left: int = 1, right: int = 0) -> Selection:
    numbers = double_long_unsigned(first), double_long_unsigned(last), long_unsigned(left), long_unsigned(right)
    return Selection(2, structure(*numbers))


def stamps(rows: Data, zone: Zone = ZONE) -> list[datetime]:
    return [zone.decode(row.value[0].value)[0] for row in rows.value]


def test_a_row_each_quarter_of_an_hour_since_it_records() -> None:
    rows = profile().read(2, moment(10.0))
    assert stamps(rows) == [START - timedelta(days=1) + n * timedelta(minutes=15) for n in range(97)]
    assert rows.value[-1].value[2].value == 1_000_000
    assert rows.value[0].value[2].value == 1_000_000 - 86400


def test_rows_are_added_as_time_passes_and_the_oldest_go() -> None:
    held = profile(entries=10)
    assert len(held.read(2, moment()).value) == held.read(7, moment()).value == 10
    assert stamps(held.read(2, moment(900.0)))[-1] == START + timedelta(minutes=15)
    assert stamps(held.read(2, moment(900.0)))[0] == START - 8 * timedelta(minutes=15)


def test_both_ends_of_a_range_belong_to_it() -> None:
    begin, end = START - timedelta(hours=1), START - timedelta(minutes=30)
    rows = profile().read(2, moment(), by_range(begin, end))
    assert stamps(rows) == [begin, begin + timedelta(minutes=15), end]
    later = by_range(begin + timedelta(seconds=1), end + timedelta(seconds=1))
    assert stamps(profile().read(2, moment(), later)) == [begin + timedelta(minutes=15), end]
    assert profile().read(2, moment(), by_range(START + timedelta(hours=1), START + timedelta(hours=2))) == array()


def test_columns_of_a_range() -> None:
    energy = structure(long_unsigned(3), octets(obis("1.0.1.8.0")), integer(2), long_unsigned(0))
    rows = profile().read(2, moment(), by_range(START, START, SORT, energy))
    assert [len(row.value) for row in rows.value] == [2]
    assert rows.value[0].value[1].value == 1_000_000


def test_entries() -> None:
    held = profile()
    whole = held.read(2, moment())
    assert held.read(2, moment(), by_entry(1, 2)) == array(*whole.value[:2])
    assert held.read(2, moment(), by_entry(1, 0)) == whole
    assert [len(row.value) for row in held.read(2, moment(), by_entry(97, 97, 3, 3)).value] == [1]


@pytest.mark.parametrize(
    ("selection", "result"),
    [
        (by_entry(0, 1), 250),
        (by_entry(1, 1, 1, 9), 250),
        (by_range(START, START, sort=structure(long_unsigned(3), octets(CLOCK), integer(2), long_unsigned(0))), 250),
        (by_range(START, START, structure(long_unsigned(9))), 12),
        (Selection(3, NULL), 250),
        (Selection(1, NULL), 12),
        (Selection(2, array()), 12),
        (Selection(1, structure(SORT, octets(b"\0"), octets(b"\0"), array())), 12),
    ],
)
def test_field_11_selections_that_are_refused(selection: Selection, result: int) -> None:
    with pytest.raises(RefusedError) as caught:
        profile().read(2, moment(), selection)
    assert caught.value.result == result


def test_field_11_a_meter_without_ranges_has_entries() -> None:
    with pytest.raises(RefusedError):
        profile(ranges=False).read(2, moment(), by_range(START, START))
    assert profile(ranges=False).read(2, moment(), by_entry(1, 1))


def test_field_11_bounds_with_and_without_deviation() -> None:
    unspecified = Zone(deviation=False)
    for bounds, refused in ((Bounds.UNSPECIFIED, ZONE), (Bounds.SPECIFIED, unspecified)):
        accepted = unspecified if refused is ZONE else ZONE
        held = profile(bounds=bounds)
        assert stamps(held.read(2, moment(), by_range(START, START, zone=accepted))) == [START]
        with pytest.raises(RefusedError):
            held.read(2, moment(), by_range(START, START, zone=refused))


def test_field_10_stamps_without_deviation() -> None:
    rows = profile(Zone(deviation=False)).read(2, moment(), by_entry(97, 97))
    assert rows.value[0].value[0].value.hex() == "07ea0b1506130000ff800000"


def test_field_12_cells_that_are_as_expected_are_null() -> None:
    rows = profile(null_cells=True).read(2, moment(), by_entry(95, 97)).value
    assert rows[0].value[0].tag is Tag.OCTET_STRING
    assert [row.value[0] for row in rows[1:]] == [NULL, NULL]
    assert [row.value[1] for row in rows] == [unsigned(0), NULL, NULL]
    assert all(row.value[2].tag is Tag.DOUBLE_LONG_UNSIGNED for row in rows)


def test_summer_time_begins_and_ends() -> None:
    for utc, text in (
        (datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC), "07ea031d07013b3bffffc400"),
        (datetime(2026, 3, 29, 1, tzinfo=UTC), "07ea031d07030000ffff8880"),
        (datetime(2026, 10, 25, 0, 59, 59, tzinfo=UTC), "07ea0a1907023b3bffff8880"),
        (datetime(2026, 10, 25, 1, tzinfo=UTC), "07ea0a1907020000ffffc400"),
    ):
        assert ZONE.encode(utc).hex() == text
        assert ZONE.decode(bytes.fromhex(text)) == (utc, True)
    july = datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert Zone(deviation=False).decode(Zone(deviation=False).encode(july)) == (july, False)
    assert Zone(summer=False).encode(july).hex() == "07ea0701030d0000ffffc400"
