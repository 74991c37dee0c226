"""Every vector of an xDLMS APDU: whole, cut at every byte, with rubbish behind, and put together by us where we ask."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from nportpy.errors import ProtocolError
from nportpy.protocols.dlms import apdu, axdr, classes, logical, profile, short
from nportpy.protocols.dlms.apdu import Apdu
from nportpy.protocols.dlms.blocks import Blocks, GeneralBlock, GeneralTransfer
from nportpy.protocols.dlms.classes import ListedObject, object_list
from nportpy.protocols.dlms.clock import NO_DEVIATION, DateTime
from nportpy.protocols.dlms.logical import Acted, AttributeDescriptor, Got, GotBlock, GotList
from nportpy.protocols.dlms.obis import Obis
from nportpy.protocols.dlms.profile import Captured, ProfileRow
from nportpy.protocols.dlms.results import ExceptionResponse, Refused, ServiceError
from nportpy.protocols.dlms.short import ReadAnswer, ReadBlock, Variable
from tests.protocols.dlms.vectors import APDUS

ENERGY, CLOCK, PROFILE = (Obis.parse(each) for each in ("1.0.1.8.0.255", "0.0.1.0.0.255", "1.0.99.1.0.255"))
VOLTAGES = tuple(AttributeDescriptor(3, Obis.parse(each)) for each in ("1.0.32.7.0.255", "1.0.52.7.0.255"))
THE_CLOCK = Captured(8, CLOCK)
FROM, TO = (DateTime(2026, 11, 21, 255, hour, 0, 0, 255, NO_DEVIATION, 0) for hour in (0, 1))
_PART = APDUS["L12"][10:]

ANSWERS: dict[str, Apdu] = {
    "L2": Got(1, 77160),
    "L4": Got(1, (0, 30)),
    "L6": Got(1, bytes.fromhex("07EA0B1506123A0FFFFFC400")),
    "L7": Got(1, Refused(4)),
    "L9": GotList(1, (2306, Refused(3))),
    "L12": GotBlock(1, last=False, number=1, raw=_PART),
    "L14": GotBlock(1, last=True, number=2, raw=APDUS["L14"][10:]),
    "L15": ExceptionResponse(1, 2),
    "L16": ServiceError(1, 6, 1),
    "L18": Acted(1, 0, bytes.fromhex("870F56D7F2BA75482CA41BE31A21630B")),
    "S2": ReadAnswer((77160,)),
    "S4": ReadAnswer((77160, (0, 30))),
    "S5": ReadAnswer((Refused(4),)),
    "S8": ReadBlock(last=False, number=1, raw=_PART),
    "S10": ReadBlock(last=True, number=2, raw=APDUS["L14"][10:]),
    "S13": ServiceError(5, 3, 0),
    "B1": GeneralBlock(last=True, streaming=False, window=1, number=1, acknowledged=0, data=APDUS["L2"]),
}

QUESTIONS = {
    "L1": logical.get(1, AttributeDescriptor(3, ENERGY)),
    "L3": logical.get(1, AttributeDescriptor(3, ENERGY, 3)),
    "L5": logical.get(1, AttributeDescriptor(8, CLOCK)),
    "L8": logical.get_list(1, VOLTAGES),
    "L10": logical.get(1, AttributeDescriptor(7, PROFILE, 2, profile.by_range(THE_CLOCK, FROM, TO))),
    "L11": logical.get(1, AttributeDescriptor(7, PROFILE, 2, profile.by_entry(1, 2))),
    "L13": logical.get_next(1, 1),
    "L17": logical.action(1, 15, classes.CURRENT_ASSOCIATION, classes.REPLY_TO_HLS,
                          axdr.encode(axdr.Tag.OCTET_STRING, bytes.fromhex("53D4537E37DAB4FF089629E25557AF9F"))),
    "S1": short.read([Variable(short.attribute_name(0xB0, 2))]),
    "S3": short.read([Variable(0xB8), Variable(short.attribute_name(0xB0, 3))]),
    "S6": short.read([Variable(0x1388, profile.by_range(THE_CLOCK, FROM, TO))]),
    "S7": short.read([Variable(0x1388, profile.by_entry(1, 2))]),
    "S9": short.read_next(1),
    "S11": short.read([Variable(short.OBJECT_LIST)]),
    "S14": short.write(short.method_name(short.ASSOCIATION, 12, 8),
                       axdr.encode(axdr.Tag.OCTET_STRING, bytes.fromhex("53D4537E37DAB4FF089629E25557AF9F"))),
}  # fmt: skip


def test_every_vector_is_here() -> None:
    assert {*ANSWERS, *QUESTIONS, "S12"} == set(APDUS)


@pytest.mark.parametrize("name", ANSWERS)
def test_answers(name: str) -> None:
    assert apdu.parse(APDUS[name]) == ANSWERS[name]


@pytest.mark.parametrize("name", QUESTIONS)
def test_questions(name: str) -> None:
    assert QUESTIONS[name].hex() == APDUS[name].hex()


@pytest.mark.parametrize("name", [*ANSWERS, "S12"])
def test_answers_cut_at_every_byte(name: str) -> None:
    for size in range(len(APDUS[name])):
        if (name, size) == ("L18", 4):
            continue  # a whole one, of a stack that leaves the flag behind the result out
        with pytest.raises(ProtocolError):
            apdu.parse(APDUS[name][:size])


@pytest.mark.parametrize("name", [*ANSWERS, "S12"])
@pytest.mark.parametrize("rubbish", [b"\0", b"\x7e", b"\xff" * 20])
def test_answers_with_rubbish_around(name: str, rubbish: bytes) -> None:
    for wire in (APDUS[name] + rubbish, rubbish + APDUS[name]):
        with pytest.raises(ProtocolError):
            apdu.parse(wire)


def test_s12_is_the_list_of_three_objects() -> None:
    answer = apdu.parse(APDUS["S12"])
    assert isinstance(answer, ReadAnswer)
    (value,) = answer.results
    assert not isinstance(value, Refused)
    assert object_list(value) == [
        ListedObject(12, 3, Obis.parse("0.0.40.0.0.255"), 0xFA00),
        ListedObject(3, 0, ENERGY, 0xB0),
        ListedObject(7, 1, PROFILE, 0x1380),
    ]


@pytest.mark.parametrize("names", [("L12", "L14"), ("S8", "S10")])
def test_blocks_put_together_are_the_rows(names: tuple[str, str]) -> None:
    blocks = Blocks()
    for name in names:
        part = apdu.parse(APDUS[name])
        assert isinstance(part, GotBlock | ReadBlock)
        assert isinstance(part.raw, bytes)
        blocks.add(part.number, part.raw)
    (value,) = short.joined(blocks.joined(), 1)
    assert not isinstance(value, Refused)
    assert value == axdr.decode(blocks.joined())
    hour = datetime(2026, 11, 21, tzinfo=timezone(timedelta(hours=1))).astimezone(UTC).timestamp() * 1e6
    found = profile.rows(value, [THE_CLOCK, Captured(3, ENERGY)])
    assert [(row.at, row.values[1]) for row in found] == [(hour, 1000), (hour + 900e6, 1012)]
    assert isinstance(found[0], ProfileRow)
    assert not any(row.uncertain for row in found)


def test_b1_is_l2_in_a_general_block() -> None:
    block = apdu.parse(APDUS["B1"])
    assert isinstance(block, GeneralBlock)
    assert block.encode() == APDUS["B1"]
    whole = GeneralTransfer().add(block)
    assert whole == APDUS["L2"]
