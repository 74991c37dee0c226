import pytest

from nportpy.protocols.iec101.addresses import ObjectAddress


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100", ObjectAddress(100)),
        ("1/100", ObjectAddress(100, 1)),
        (" 65534/16777215 ", ObjectAddress(16777215, 65534)),
    ],
)
def test_addresses_as_people_write_them(text: str, expected: ObjectAddress) -> None:
    assert ObjectAddress.parse(text) == expected
    assert str(expected) == text.strip()


@pytest.mark.parametrize("text", ["", "0", "1/0", "0/1", "65535/1", "16777216", "1/2/3", "x", "-1", "1.5", "1 / 2"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        ObjectAddress.parse(text)
