"""ASDUs: what each vector says, and what nobody says."""

import struct
from datetime import UTC
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nportpy.errors import ProtocolError
from nportpy.protocols.iec101 import asdu as asdus
from nportpy.protocols.iec101.asdu import Asdu, Cause, Sizes, UnknownType, decode
from nportpy.protocols.iec101.elements import TYPES, Flags, Object
from nportpy.protocols.iec101.ft12 import parse
from nportpy.protocols.iec101.link import Link
from nportpy.protocols.iec101.times import Time24, Time56
from tests.protocols.iec101.vectors import VARIABLE, WIRE, link_size

SMALL, LARGE = Sizes(), Sizes(2, 2, 3)
TAG = Time56(15250, 58, 18, 21, 11, 26, weekday=6)
SATURDAY = 1795287495250000  # 2026-11-21 18:58:15.250 UTC


def read(name: str) -> Asdu:
    size = link_size(name)
    return decode(parse(WIRE[name], size).data, LARGE if size == 2 else SMALL)


def one(name: str) -> Object:
    (only,) = read(name).objects
    return only


WHAT = {
    "V1": (100, 6, Object(0, 20)),
    "V2": (100, 7, Object(0, 20)),
    "V5": (100, 10, Object(0, 20)),
    "V6": (3, 3, Object(30, 2)),
    "V7": (5, 3, Object(31, -2, extra=1)),
    "V8": (7, 3, Object(32, b"\x01\x02\x03\x04")),
    "V9": (9, 1, Object(40, 0.5)),
    "V10": (11, 2, Object(41, -1000, Flags.OVERFLOW)),
    "V11": (13, 5, Object(42, 231.4)),
    "V12": (15, 37, Object(50, 77160, extra=5)),
    "V13": (20, 20, Object(60, 0x0003, extra=0x0001)),
    "V14": (21, 1, Object(61, 0.5)),
    "V15": (30, 3, Object(10, True, time=TAG)),
    "V16": (31, 3, Object(30, 1, time=TAG)),
    "V17": (36, 3, Object(42, 231.4, time=TAG)),
    "V18": (37, 37, Object(50, 77160, extra=5, time=TAG)),
    "V19": (70, 4, Object(0, 0)),
    "V20": (101, 6, Object(0, 5)),
    "V21": (103, 6, Object(0, time=TAG)),
    "V22": (103, 6, Object(0, time=TAG)),
    "V23": (45, 6, Object(100, True, extra=0x80)),
    "V24": (45, 7, Object(100, True, extra=0x80)),
    "V25": (45, 6, Object(100, True)),
    "V26": (45, 7, Object(100, True)),
    "V27": (102, 5, Object(42)),
    "V28": (50, 6, Object(110, 231.4)),
    "V29": (100, 6, Object(0, 20)),
    "V30": (36, 3, Object(65578, 231.4, time=TAG)),
    "V31": (2, 3, Object(10, True, time=Time24(15250, 58))),
    "V32": (105, 6, Object(0, 1)),
    "V33": (104, 6, Object(0, b"\xaa\x55")),
    "V34": (106, 6, Object(0, elapsed=500)),
    "V35": (46, 6, Object(101, 2)),
    "V36": (110, 6, Object(120, 0.5, extra=1)),
}


@pytest.mark.parametrize("name", WHAT)
def test_vectors_say_what_they_say(name: str) -> None:
    number, cause, what = WHAT[name]
    asdu = read(name)
    assert (asdu.type, asdu.cause, asdu.objects) == (number, cause, (what,))
    assert asdu.common_address == {"V22": 255, "V29": 258, "V30": 258}.get(name, 1)
    assert asdu.negative == (name == "V26")
    assert not asdu.test


def test_vector_v3_has_addresses_of_its_own() -> None:
    assert read("V3").objects == (Object(10, True), Object(11, False), Object(20, False, Flags.INVALID))


def test_vector_v4_counts_addresses_on() -> None:
    assert read("V4").sequence
    assert read("V4").objects == (Object(10, True), Object(11, False), Object(12, True, Flags.BLOCKED))


def test_every_vector_is_read() -> None:
    assert set(WHAT) | {"V3", "V4"} == set(VARIABLE)


@pytest.mark.parametrize("name", VARIABLE)
def test_asdus_cut_at_every_byte_or_with_one_more_are_errors(name: str) -> None:
    size = link_size(name)
    data = parse(WIRE[name], size).data
    for wrong in (*(data[:end] for end in range(len(data))), data + b"\x00"):
        with pytest.raises(ProtocolError):
            decode(wrong, LARGE if size == 2 else SMALL)


def test_what_this_side_sends_is_as_the_vectors_have_it() -> None:
    link = Link(1, 1, up=True)
    assert link.send(asdus.interrogation(SMALL, 1)) == WIRE["V1"]
    assert asdus.interrogation(LARGE, 258) == parse(WIRE["V29"], 2).data
    for name, made in {
        "V20": asdus.counter_interrogation(SMALL, 1),
        "V21": asdus.clock_synchronisation(SMALL, 1, TAG),
        "V27": asdus.read(SMALL, 1, 42),
        "V33": asdus.test(SMALL, 1),
        "V34": asdus.delay_acquisition(SMALL, 1, 500),
    }.items():
        assert made == parse(WIRE[name], 1).data
    assert link.broadcast(asdus.clock_synchronisation(SMALL, SMALL.everyone, TAG)) == WIRE["V22"]


def test_commands_cannot_be_made() -> None:
    """This storey only reads: nothing in asdu.py makes types 45 to 64, parameters or resets."""
    sends = {asdus.interrogation, asdus.counter_interrogation, asdus.read, asdus.clock_synchronisation, asdus.test,
             asdus.delay_acquisition}  # fmt: skip
    public = {each for name, each in vars(asdus).items() if callable(each) and not name.startswith("_")}
    makes = {each for each in public if getattr(each, "__annotations__", {}).get("return") is bytes}
    assert makes == sends


def test_an_unknown_type_is_told_by_its_number() -> None:
    with pytest.raises(UnknownType, match="127") as caught:
        decode(bytes((127, 1, 3, 1, 0, 0)), SMALL)
    assert caught.value.number == 127
    with pytest.raises(UnknownType):
        decode(bytes((120, 1, 3, 1, 0, 0)), SMALL)


def test_test_bit_and_originator() -> None:
    asdu = decode(bytes.fromhex("01 01 83 07 01 00 0A 00 00 01"), LARGE)
    assert (asdu.test, asdu.cause, asdu.originator, asdu.common_address) == (True, Cause.SPONTANEOUS, 7, 1)


def test_no_objects_is_an_asdu() -> None:
    assert decode(bytes((1, 0, 3, 1)), SMALL).objects == ()
    assert decode(bytes((1, 0x80, 3, 1)), SMALL).objects == ()


@pytest.mark.parametrize("wrong", [(0, 1, 1), (3, 1, 1), (1, 0, 1), (1, 3, 1), (1, 1, 0), (1, 1, 4)])
def test_sizes_of_no_standard_are_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="sizes"):
        Sizes(*wrong)


# Written anew from the tables of the reference, as twins would share their mistakes.
ELEMENTS = {
    1: 1, 3: 1, 5: 2, 7: 5, 9: 3, 11: 3, 13: 5, 15: 5, 20: 5, 21: 2, 70: 1, 100: 1, 101: 1, 102: 0, 103: 7, 104: 2,
    105: 1, 106: 2, 107: 9, 110: 3, 111: 3, 112: 5, 113: 1, 17: 6, 18: 7, 19: 7, 38: 10, 39: 11, 40: 11,
    2: 4, 4: 4, 6: 5, 8: 8, 10: 6, 12: 6, 14: 8, 16: 8, 30: 8, 31: 8, 32: 9, 33: 12, 34: 10, 35: 10, 36: 12, 37: 12,
    45: 1, 46: 1, 47: 1, 48: 3, 49: 3, 50: 5, 51: 4, 58: 8, 59: 8, 60: 8, 61: 10, 62: 10, 63: 12, 64: 11,
}  # fmt: skip


def test_all_types_have_their_size() -> None:
    assert {number: kind.size for number, kind in TYPES.items()} == ELEMENTS


def test_types_have_the_standards_names() -> None:
    names = {number: kind.name for number, kind in TYPES.items()}
    assert names[1] == "M_SP_NA_1"
    assert names[2] == "M_SP_TA_1"
    assert names[30] == "M_SP_TB_1"
    assert names[36] == "M_ME_TF_1"
    assert names[13] == "M_ME_NC_1"
    assert names[38] == "M_EP_TD_1"
    assert names[19] == "M_EP_TC_1"
    assert names[45] == "C_SC_NA_1"
    assert names[63] == "C_SE_TC_1"


@pytest.mark.long
@settings(max_examples=300)
@given(st.sampled_from(sorted(ELEMENTS)), st.sampled_from([SMALL, LARGE, Sizes(1, 2, 1)]), st.data())
def test_objects_of_all_types_survive(number: int, sizes: Sizes, data: st.DataObject) -> None:
    sequence = data.draw(st.booleans()) and ELEMENTS[number] > 0
    size = ELEMENTS[number] + sizes.object_address
    count = data.draw(st.integers(1, min(127, (245 // size))))
    wide = ELEMENTS[number]
    elements = data.draw(st.lists(st.binary(min_size=wide, max_size=wide), min_size=count, max_size=count))
    first = data.draw(st.integers(0, 256**sizes.object_address - 1 - count))
    wire = bytes((number, count | sequence << 7, 3, 0)[: 2 + sizes.cause]) + (9).to_bytes(
        sizes.common_address, "little"
    )
    for index, element in enumerate(elements):
        if index == 0 or not sequence:
            wire += (first + index).to_bytes(sizes.object_address, "little")
        wire += element
    asdu = decode(wire, sizes)
    assert [each.address for each in asdu.objects] == list(range(first, first + count))
    for each, element in zip(asdu.objects, elements, strict=True):
        check(number, each, element)


def check(number: int, found: Object, element: bytes) -> None:
    if number in (1, 2, 30):
        assert found.value is bool(element[0] & 1)
        assert found.flags == element[0] & 0xF0
    if number in (3, 4, 31):
        assert found.value == element[0] % 4
    if number in (5, 6, 32):
        assert found.value == (element[0] & 127 if element[0] & 127 < 64 else (element[0] & 127) - 128)
        assert found.extra == element[0] >> 7
    if number in (9, 10, 34, 21):
        assert found.value == struct.unpack("<h", element[:2])[0] / 32768
    if number in (11, 12, 35):
        assert found.value == struct.unpack("<h", element[:2])[0]
        assert found.flags == element[2] & 0xF1
    if number in (15, 16, 37):
        assert found.value == struct.unpack("<i", element[:4])[0]
        assert found.extra | found.flags == element[4]
    if number in (13, 14, 36) and isinstance(found.value, float) and found.value == found.value:
        assert struct.pack("<f", found.value) == element[:4]
    if number in (17, 18, 19, 38, 39, 40):
        at = 1 if number in (17, 38) else 2
        assert found.elapsed == struct.unpack("<H", element[at : at + 2])[0]
        assert found.flags == element[at - 1] & 0xF8
    tagged = {2, 4, 6, 8, 10, 12, 14, 16, 17, 18, 19, *range(30, 41), *range(58, 65), 103, 107}
    assert (found.time is not None) == (number in tagged)


@given(st.binary(max_size=260), st.sampled_from([SMALL, LARGE, Sizes(2, 1, 1)]))
def test_anything_is_an_asdu_or_an_error(data: bytes, sizes: Sizes) -> None:
    try:
        asdu = decode(data, sizes)
    except ProtocolError:
        return
    assert len(asdu.objects) <= 127
    for each in asdu.objects:
        if each.time is not None:
            each.time.instant(ZoneInfo("Europe/Bratislava"), SATURDAY)
            each.time.instant(UTC, SATURDAY)
