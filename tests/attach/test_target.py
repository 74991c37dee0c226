"""TARGET: what is spoken, and where."""

import pytest

from nportpy.attach.target import Scheme, Target
from nportpy.network.addresses import Endpoint


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
    ("text", "data", "command"),
    [
        ("realcom://gw:950", 950, 966),
        ("realcom://gw:965", 965, 981),
        ("realcom://gw:997", 997, 1013),
        ("realcom://gw:4001,966", 4001, 966),
        ("realcom://[::1]:950,2", 950, 2),
    ],
)
def test_a_target_of_real_com_has_two_ports(text: str, data: int, command: int) -> None:
    target = Target.parse(text)
    assert target.scheme is Scheme.REALCOM
    assert target.commands == Endpoint(target.place.host, command)
    assert target.place.port == data
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
        "raw://h:1,2",
        "realcom://h:4001",
        "realcom://h:966",
        "realcom://h:950,",
        "realcom://h:950,0",
    ],
)
def test_no_target_is(text: str) -> None:
    with pytest.raises(ValueError, match=r"target|TCP port|command port"):
        Target.parse(text)
