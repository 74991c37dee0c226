"""What a scan has found, in words."""

from nportpy.client.found import ranges


def test_ranges() -> None:
    assert ranges([5, 1, 2, 3, 9, 8]) == "1-3,5,8-9"
    assert ranges([]) == ""
