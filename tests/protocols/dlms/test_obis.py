import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.errors import ProtocolError
from nportpy.protocols.dlms.obis import Obis


@pytest.mark.parametrize(
    ("text", "dotted"),
    [
        ("1-0:1.8.0*255", "1.0.1.8.0.255"),
        ("1-0:1.8.0", "1.0.1.8.0.255"),
        ("1-0:1.8.0.255", "1.0.1.8.0.255"),
        ("1-0:1.8.0&03", "1.0.1.8.0.3"),
        ("1.0.1.8.0.255", "1.0.1.8.0.255"),
        ("1.0.1.8.0", "1.0.1.8.0.255"),
        ("1.8.0", "1.0.1.8.0.255"),
        ("1.8.0*03", "1.0.1.8.0.3"),
        ("1.8.0&03", "1.0.1.8.0.3"),
        (" 1.8.1 ", "1.0.1.8.1.255"),
        ("C.1.0", "1.0.96.1.0.255"),
        ("c.1.0", "1.0.96.1.0.255"),
        ("F.F", "1.0.97.97.0.255"),
        ("L.01", "1.0.98.1.0.255"),
        ("P.01", "1.0.99.1.0.255"),
        ("0-0:C.1.0", "0.0.96.1.0.255"),
        ("0.0.1.0.0.255", "0.0.1.0.0.255"),
        ("1-1:32.7.0", "1.1.32.7.0.255"),
    ],
)
def test_what_people_write(text: str, dotted: str) -> None:
    assert str(Obis.parse(text)) == dotted


@pytest.mark.parametrize(
    "text",
    ["", "1", "x.y.z", "1.0.1.8.0.256", "1.8.999", "1.8.0.0", "1-0:", "1.0.1.8.0.255.1", "1-0:1.8.0**1", "-1.8.0",
     "1.8.0 1", "1..0", "①.8.0", "0x10", "1.0.1.8.0.255\n2"],
)  # fmt: skip
def test_what_is_none(text: str) -> None:
    with pytest.raises(ProtocolError):
        Obis.parse(text)


@given(st.binary(min_size=6, max_size=6))
def test_names_survive_their_text(code: bytes) -> None:
    assert Obis.parse(str(Obis(code))) == Obis(code)


@given(st.text(alphabet="0123456789.-:*&CFLP", max_size=24))
def test_texts_raise_nothing_but_our_error(text: str) -> None:
    try:
        name = Obis.parse(text)
    except ProtocolError:
        return
    assert len(name.code) == 6


def test_a_name_has_six_bytes() -> None:
    with pytest.raises(ProtocolError):
        Obis(b"12345")
    assert Obis.parse("0.0.1.0.0.255").medium == 0
