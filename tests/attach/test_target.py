"""TARGET: what is spoken, and where."""

import pytest

from nportpy.attach.target import Scheme, Target
from nportpy.network import Endpoint


@pytest.mark.parametrize(
    ("text", "scheme", "place"),
    [
        ("gw:4001", Scheme.RFC2217, Endpoint("gw", 4001)),
        ("rfc2217://192.0.2.7:5001", Scheme.RFC2217, Endpoint("192.0.2.7", 5001)),
        ("raw://[fe80::1%eth0]:4001", Scheme.RAW, Endpoint("fe80::1%eth0", 4001)),
        ("tcp://gw:65535/", Scheme.RAW, Endpoint("gw", 65535)),
    ],
)
def test_a_target_is(text: str, scheme: Scheme, place: Endpoint) -> None:
    target = Target.parse(text)
    assert (target.scheme, target.place) == (scheme, place)
    assert Target.parse(str(target)) == target


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gw",
        "gw:",
        "gw:0",
        "gw:65536",
        "://gw:1",
        "http://gw:1",
        "fe80::1:4001",
        "/dev/ttyS0",
        "a b:1",
        "raw://u@h:1",
    ],
)
def test_no_target_is(text: str) -> None:
    with pytest.raises(ValueError, match=r"target|TCP port"):
        Target.parse(text)
