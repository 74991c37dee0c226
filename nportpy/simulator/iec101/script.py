"""Scripts of what goes wrong with outstations, as files: from TOML to `LineFaults`.

They look as those of a Modbus bus do (nportpy/simulator/script.py):

    seed = 7

    [[fault]]
    kind = "missing"            # one of those below
    stations = "1-3"            # where it strikes: link addresses,
    requests = "class-1"        # reset, data, access, status, class-1, class-2; every, share, limit
    every = 10

    kind                takes, with defaults
    wrong-address       add = 1
    stuck-acd
    busy                (DFC; user data is refused)
    nack
    not-functioning     implemented = true
    deaf
    restart             warns = false (no end of initialisation)
    delay, missing, twice, cut, echo, junk, pause, bad-crc: as there
"""

from collections.abc import Mapping

from nportpy.simulator import script
from nportpy.simulator.iec101 import faults
from nportpy.simulator.iec101.faults import REQUESTS, LineFaults, Rule, Where
from nportpy.simulator.script import Kinds, Language, Parser, boolean, integer, number_ranges

_COMMON = ("delay", "missing", "twice", "cut", "echo", "junk", "pause", "bad-crc")


def _requests(value: object) -> frozenset[str]:
    words = frozenset(part.strip() for part in str(value).split(","))
    if not words <= REQUESTS.keys():
        raise ValueError("of " + ", ".join(REQUESTS))
    return words


_WHERE: Mapping[str, Parser] = {
    "stations": number_ranges(0, 65534),
    "requests": _requests,
    **{name: script.WHERE[name] for name in ("every", "share", "limit")},
}
_KINDS: Kinds = {
    **{name: script.KINDS[name] for name in _COMMON},
    "wrong-address": (faults.WrongAddress, {"add": integer(1, 65535)}),
    "stuck-acd": (faults.StuckAcd, {}),
    "busy": (faults.Busy, {}),
    "nack": (faults.Nack, {}),
    "not-functioning": (faults.NotFunctioning, {"implemented": boolean}),
    "deaf": (faults.Deaf, {}),
    "restart": (faults.Restart, {"warns": boolean}),
}

_SCRIPTS = Language(
    _KINDS, _WHERE, lambda rules, seed: LineFaults([Rule(fault, Where(**at)) for fault, at in rules], seed)
)
load, parse = _SCRIPTS.load, _SCRIPTS.parse
