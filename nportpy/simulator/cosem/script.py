"""Scripts of what goes wrong with meters, as files: from TOML to `faults.Rule`s.

They look as those of a Modbus bus do (nportpy/simulator/script.py):

    seed = 7

    [[fault]]
    kind = "busy"               # one of those below
    times = 3                   # what that kind takes
    frames = "i"                # where it strikes, see `faults.Where`: meters, clients, frames, services, names,
    every = 10                  # attributes, every, share, limit

    on the link         takes, with defaults
    deaf
    busy                times = 3
    reboot
    reject-frame        reason = 1
    wrong-sequence      add = -1
    push                data = "E6E7000F00000001000206"
    wrong-length        add = 1000
    delay, missing, twice, cut, echo, junk, pause, bad-crc: as there

    in a service
    refuse-service      state = 1, error = 1
    block-jump          add = 1

    of values
    refuse-value        result = 4
    wrong-scaler        add = 1
"""

from collections.abc import Mapping

from nportpy.simulator import script
from nportpy.simulator.cosem import faults
from nportpy.simulator.cosem.faults import FRAMES, SERVICES, MeterFaults, Rule, Where
from nportpy.simulator.cosem.objects import obis
from nportpy.simulator.script import Kinds, Language, Parser, hexadecimal, integer, number_ranges

_COMMON = ("delay", "missing", "twice", "cut", "echo", "junk", "pause", "bad-crc")


def _words(allowed: frozenset[str]) -> Parser:
    def parse(value: object) -> frozenset[str]:
        words = frozenset(part.strip() for part in str(value).split(","))
        if not words <= allowed:
            raise ValueError("of " + ", ".join(sorted(allowed)))
        return words

    return parse


def _names(value: object) -> frozenset[bytes]:
    try:
        names = frozenset(obis(part.strip()) for part in str(value).split(","))
    except ValueError:
        names = frozenset()
    if not names or any(len(name) != 6 for name in names):
        raise ValueError('OBIS codes such as "1.0.1.8.0.255"')
    return names


_BYTE = integer(0, 255)
_WHERE: Mapping[str, Parser] = {
    "meters": number_ranges(0, 16383),
    "clients": number_ranges(0, 127),
    "frames": _words(FRAMES),
    "services": _words(SERVICES),
    "names": _names,
    "attributes": number_ranges(1, 127),
    **{name: script.WHERE[name] for name in ("every", "share", "limit")},
}
_KINDS: Kinds = {
    **{name: script.KINDS[name] for name in _COMMON},
    "deaf": (faults.Deaf, {}),
    "busy": (faults.Busy, {"times": integer(1, 1000)}),
    "reboot": (faults.Reboot, {}),
    "reject-frame": (faults.RejectFrame, {"reason": _BYTE}),
    "wrong-sequence": (faults.WrongSequence, {"add": integer(-7, 7)}),
    "push": (faults.Push, {"data": hexadecimal}),
    "wrong-length": (faults.WrongLength, {"add": integer(-2047, 2047)}),
    "refuse-service": (faults.RefuseService, {"state": _BYTE, "error": _BYTE}),
    "block-jump": (faults.BlockJump, {"add": integer(-255, 255)}),
    "refuse-value": (faults.RefuseValue, {"result": _BYTE}),
    "wrong-scaler": (faults.WrongScaler, {"add": integer(-10, 10)}),
}

_SCRIPTS = Language(
    _KINDS, _WHERE, lambda rules, seed: MeterFaults([Rule(fault, Where(**at)) for fault, at in rules], seed)
)
load, parse = _SCRIPTS.load, _SCRIPTS.parse
