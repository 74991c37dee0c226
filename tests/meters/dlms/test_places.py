import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.meters.dlms.objects import Attribute
from nportpy.meters.dlms.places import Place, name_of, parse

ENERGY = bytes((1, 0, 1, 8, 0, 255))


@pytest.mark.parametrize(
    ("text", "attribute"),
    [
        ("1.0.1.8.0.255", Attribute(ENERGY)),
        ("1-0:1.8.0*255", Attribute(ENERGY)),
        (" 1.8.0 ", Attribute(ENERGY)),
        ("1.8.0/3", Attribute(ENERGY, 3)),
        ("1-0:1.8.0/-1", Attribute(ENERGY, -1)),
        ("3:1.8.0/3", Attribute(ENERGY, 3, 3)),
        ("3:1-0:1.8.0", Attribute(ENERGY, 2, 3)),
        ("0x00B8", Attribute(b"", short_name=0xB8)),
        ("0xb8", Attribute(b"", short_name=0xB8)),
    ],
)
def test_what_people_write(text: str, attribute: Attribute) -> None:
    assert parse(text) == attribute
    assert Place.parse(text) == Place(attribute)


@pytest.mark.parametrize(
    "text", ["", "x", "1.8.0/", "1.8.0/0", "1.8.0/200", "70000:1.8.0", "0x12345", "0x", "1.8.0 2.8.0"]
)
def test_what_names_nothing(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Place.parse(text)


def test_places_in_profiles() -> None:
    profile = bytes((1, 0, 99, 1, 0, 255))
    assert Place.parse("1.8.0 in P.01") == Place(Attribute(ENERGY), profile)
    for text in ("0x00B8 in P.01", "1.8.0 in x", "1.8.0 in P.01 in P.02", "in P.01"):
        with pytest.raises(ValueError, match=r"."):
            Place.parse(text)


@given(st.binary(min_size=6, max_size=6), st.integers(1, 127))
def test_names_are_what_is_parsed(obis: bytes, number: int) -> None:
    assert parse(name_of(Attribute(obis, number))) == Attribute(obis, number)
    assert parse(name_of(Attribute(b"", short_name=0x1388))).short_name == 0x1388


@given(st.text(alphabet="0123456789.-:*&/xinCF ", max_size=30))
def test_texts_raise_nothing_but_value_errors(text: str) -> None:
    try:
        Place.parse(text)
    except ValueError:
        return
