import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.errors import ProtocolError
from nportpy.protocols.modbus.functions import check_request, is_answer
from nportpy.protocols.modbus.identification import (
    MAX_REQUESTS,
    Page,
    ServerId,
    Walk,
    parse,
    parse_server_id,
    request,
    text,
)


def page(category: int, level: int, objects: dict[int, bytes], following: int | None = None) -> bytes:
    head = bytes((43, 14, category, level, 0 if following is None else 0xFF, following or 0, len(objects)))
    return head + b"".join(bytes((number, len(data))) + data for number, data in objects.items())


BASIC = {0: b"Company identification", 1: b"Product code XX", 2: b"V2.11"}


def test_the_example_of_the_standard() -> None:
    # 6.21: three objects in one answer
    pdu = bytes.fromhex("2B 0E 01 01 00 00 03 00 16") + BASIC[0] + b"\x01\x0f" + BASIC[1] + b"\x02\x05" + BASIC[2]
    assert request(1) == bytes.fromhex("2B 0E 01 00")
    check_request(request(1))
    assert is_answer(request(1), pdu)
    assert parse(pdu) == Page(1, None, BASIC)


def test_a_walk_over_several_answers() -> None:
    walk = Walk()
    assert walk.pdu == request(1)
    walk.take(page(1, 1, {0: b"a"}, following=2))
    assert walk.pdu == request(1, 2)
    walk.take(page(1, 1, {2: b"c"}))
    assert walk.pdu is None
    assert walk.objects == {0: b"a", 2: b"c"}


@pytest.mark.parametrize(("level", "category"), [(2, 2), (3, 3), (0x81, None), (0x82, 2), (0x83, 3), (7, 3)])
def test_a_device_that_has_more_is_asked_for_it(level: int, category: int | None) -> None:
    walk = Walk()
    walk.take(page(1, level, BASIC))
    assert walk.pdu == (None if category is None else request(category))
    if category is not None:
        walk.take(page(category, level, {**BASIC, 3: b"url"}, following=0x80))
        assert walk.pdu == request(category, 0x80)
        walk.take(page(category, level, {0x80: b"\x01\x02"}))
        assert walk.pdu is None
        assert walk.objects == {**BASIC, 3: b"url", 0x80: b"\x01\x02"}


def test_what_came_before_a_refusal_stays() -> None:
    walk = Walk()
    walk.take(page(1, 3, BASIC))
    walk.take(b"\xab\x02")
    assert walk.pdu is None
    assert walk.objects == BASIC


def test_a_device_that_goes_on_for_ever() -> None:
    walk = Walk()
    walk.take(page(1, 1, {0: b"a"}, following=0))
    assert walk.pdu is None  # back where it was
    walk = Walk()
    asked = 0
    while walk.pdu is not None:
        asked += 1
        walk.take(page(1, 1, {walk.pdu[3]: b"x"}, following=walk.pdu[3] + 1))
    assert asked == MAX_REQUESTS


@given(st.lists(st.binary(min_size=1, max_size=60)))
def test_nothing_that_a_device_says_breaks_a_walk(answers: list[bytes]) -> None:
    walk = Walk()
    for answer in answers:
        walk.take(answer)
        walk.take(b"\x2b\x0e" + answer)
    assert walk.pdu is None or len(walk.pdu) == 4


@pytest.mark.parametrize(
    "pdu", ["", "2B", "2B 0D 00", "2B 0E 01 01 00 00 01 00 05 41", "2B 0E 01 01 00 00 00 41", "AB 01"]
)
def test_no_answer(pdu: str) -> None:
    with pytest.raises(ProtocolError):
        parse(bytes.fromhex(pdu))


def test_texts() -> None:
    assert text(b"Pump \0\0") == "Pump"
    assert text("Zähler".encode()) == "Zähler"
    assert text("Zähler".encode("latin-1")) == "Zähler"
    assert text(b"\xff\x00") == "ÿ"


@pytest.mark.parametrize(
    ("data", "running", "shown"),
    [
        ("B4 FF 4C4D42 332E31", True, "LMB3.1"),
        ("0A 00", False, "0a 00"),
        ("4D 45 54 45 52", None, "METER"),
        ("50796D6F64627573 FF", None, "Pymodbus"),
        ("", None, ""),
        ("11 22 33", None, "11 22 33"),
    ],
)
def test_server_ids(data: str, running: bool | None, shown: str) -> None:
    raw = bytes.fromhex(data)
    found = parse_server_id(bytes((17, len(raw))) + raw)
    assert found == ServerId(raw, running)
    assert str(found) == shown


@pytest.mark.parametrize("pdu", ["", "11", "91 01", "11 02 41", "11 00 41"])
def test_no_server_id(pdu: str) -> None:
    with pytest.raises(ProtocolError):
        parse_server_id(bytes.fromhex(pdu))
