from hypothesis import given
from hypothesis import strategies as st

from nportpy.protocols.modbus.overheard import answering
from nportpy.protocols.modbus.rtu import encode

READ = b"\x03\x02\x12\x34"
REFUSAL = b"\x83\x02"


def test_answers_anywhere() -> None:
    assert answering(encode(7, READ)) == {7}
    assert answering(b"\x00\xff" + encode(7, READ) + b"\x00" + encode(9, REFUSAL) + encode(7, READ)) == {7, 9}
    assert answering(b"") == set()


def test_what_is_none() -> None:
    assert answering(encode(7, READ)[:-1]) == set()
    assert answering(encode(7, b"\x03\x00\x00\x00\x01")) == set()  # a request
    assert answering(encode(0, READ) + encode(248, READ)) == set()
    assert answering(encode(7, b"\x83\x0a") + encode(8, b"\x83\x0b")) == set()  # a gateway's
    spoilt = bytearray(encode(7, READ))
    spoilt[4] ^= 1
    assert answering(bytes(spoilt)) == set()


@given(st.binary(max_size=600))
def test_any_bytes(data: bytes) -> None:
    assert all(1 <= unit <= 247 for unit in answering(data))
