"""Profiles and object lists: what stands in them, what is left out of them, and what is none."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.errors import ProtocolError
from nportpy.protocols.dlms import axdr, classes, profile
from nportpy.protocols.dlms.classes import ListedObject, object_list
from nportpy.protocols.dlms.clock import DateTime
from nportpy.protocols.dlms.obis import Obis
from nportpy.protocols.dlms.profile import Captured, rows

CLOCK = Captured(8, Obis.parse("0.0.1.0.0.255"))
STATUS = Captured(1, Obis.parse("0.0.96.10.1.255"))
ENERGY = Captured(3, Obis.parse("1.0.1.29.0.255"))
COLUMNS = [CLOCK, STATUS, ENERGY]
START = DateTime(2026, 11, 21, 6, 0, 0, 0, 255, -60, 0)
AT = START.moment()


def test_field_12_nulls_are_what_was_before() -> None:
    assert AT is not None
    buffer: Any = [(START.encode(), 0, 1000), (None, None, 1012), (None, 8, None), (None, None, None)]
    found = rows(buffer, COLUMNS, step=900)
    assert [row.at for row in found] == [AT, AT + 900_000_000, AT + 1_800_000_000, AT + 2_700_000_000]
    assert [row.values[1:] for row in found] == [(0, 1000), (0, 1012), (8, 1012), (8, 1012)]
    assert [row.values[0] for row in found] == [START, None, None, None]


def test_field_12_newest_first_counts_backwards() -> None:
    assert AT is not None
    found = rows([(START.encode(), 0, 1), (None, 0, 2)], COLUMNS, step=-900)
    assert found[1].at == AT - 900_000_000


def test_a_stamp_in_the_middle_sets_the_time_anew() -> None:
    later = DateTime(2026, 11, 21, 6, 3, 0, 0, 255, -60, 0x02)
    found = rows([(START.encode(), 0, 1), (later.encode(), 0, 2), (None, 0, 3)], COLUMNS, step=900)
    assert [row.at for row in found] == [AT, later.moment(), (later.moment() or 0) + 900_000_000]
    assert [row.uncertain for row in found] == [False, True, True]


@pytest.mark.parametrize("stamp", [None, b"short", 5, DateTime(), bytes(12), axdr.DONT_CARE])
def test_a_row_without_a_time_is_a_row(stamp: axdr.Value) -> None:
    found = rows([(stamp, 0, 1), (None, 0, 2)], COLUMNS, step=900)
    assert [row.at for row in found] == [None, None]
    assert [row.values[2] for row in found] == [1, 2]


def test_a_profile_without_a_clock() -> None:
    found = rows([(1, 2), (None, 3)], [STATUS, ENERGY], step=900)
    assert [(row.at, row.values) for row in found] == [(None, (1, 2)), (None, (1, 3))]


def test_a_tagged_date_time_is_one_too() -> None:
    assert rows([(START, 0, 1)], COLUMNS)[0].at == AT


@pytest.mark.parametrize("buffer", [None, 5, (1, 2), [5], [[1, 2, 3]], [(1, 2)], [(1, 2, 3, 4)]])
def test_buffers_that_are_none(buffer: axdr.Value) -> None:
    with pytest.raises(ProtocolError):
        rows(buffer, COLUMNS)


def test_columns_survive_the_wire() -> None:
    wire = axdr.array(*(each.encode() for each in COLUMNS))
    assert profile.columns(axdr.decode(wire)) == COLUMNS
    assert profile.captured(axdr.decode(ENERGY.encode())) == ENERGY
    wrong: tuple[Any, ...] = (None, [5], [(3, b"short", 2, 0)], [(3, 4, 2, 0)])
    for value in wrong:
        with pytest.raises(ProtocolError):
            profile.columns(value)


def test_chosen_columns_stand_in_the_range() -> None:
    wire = profile.by_range(CLOCK, START, START, [CLOCK, ENERGY])
    assert wire[:1] == b"\x01"
    value = axdr.decode(wire[1:])
    assert value == ((8, CLOCK.name.code, 2, 0), START.encode(), START.encode(), [
        (8, CLOCK.name.code, 2, 0), (3, ENERGY.name.code, 2, 0)])  # fmt: skip


@given(st.binary(max_size=120))
def test_rubbish_raises_nothing_but_our_errors(wire: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        value = axdr.decode(b"\x01" + wire)
        for parse in (object_list, profile.columns, lambda each: rows(each, COLUMNS)):
            with contextlib.suppress(ProtocolError):
                parse(value)


ENERGY_NAME = ENERGY.name.code


def test_object_lists_by_logical_names() -> None:
    value: Any = [(3, 0, ENERGY_NAME, ([(1, 1, None)], [])), (8, 0, CLOCK.name.code, ([], []))]
    assert object_list(value) == [ListedObject(3, 0, ENERGY.name), ListedObject(8, 0, CLOCK.name)]


def test_an_odd_entry_costs_no_other_one() -> None:
    value: Any = [(3, 0, ENERGY_NAME, ()), (3, 0, b"short", ()), 7, (-1536, 12, 0, CLOCK.name.code)]
    assert object_list(value) == [ListedObject(3, 0, ENERGY.name), ListedObject(12, 0, CLOCK.name, 0xFA00)]
    assert object_list([]) == []
    nothing: tuple[Any, ...] = (None, 5, [5], [(1, 2)])
    for none in nothing:
        with pytest.raises(ProtocolError):
            object_list(none)


def test_field_13_class_5_has_its_scaler_in_attribute_4() -> None:
    assert [classes.scaler_attribute(class_id, 2) for class_id in (1, 3, 4, 5, 7)] == [None, 3, 3, 4, None]
    assert classes.scaler_attribute(5, 3) == 4
    assert classes.scaler_attribute(4, 5) is None
    assert classes.scaler_unit((-1, 35)) == (-1, 35)
    for none in (None, 5, (1,), (1, 2, 3), ("a", "b")):
        assert classes.scaler_unit(none) is None


def test_names_of_classes_and_attributes() -> None:
    assert classes.class_name(3) == "register"
    assert classes.class_name(8192) == "class 8192"
    assert [classes.attribute_name(3, number) for number in classes.attributes(3)] == [
        "logical_name",
        "value",
        "scaler_unit",
    ]
    assert classes.attribute_name(3, 0) == "attribute 0"
    assert classes.attribute_name(3, 9) == "attribute 9"
    assert list(classes.attributes(8192)) == [1, 2]
    assert classes.is_time(8, 2)
    assert not classes.is_time(3, 2)
