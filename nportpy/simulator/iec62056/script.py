"""Scripts of what goes wrong with a meter of IEC 62056-21, as files: from TOML to `MeterFaults`.

They look as those of a Modbus bus do (nportpy/simulator/script.py):

    seed = 7

    [[fault]]
    kind = "bad-bcc"            # one of those below
    messages = "readout"        # where it strikes: identification, readout, operand, answer; every, share, limit
    limit = 1

    kind                takes, with defaults
    bad-bcc
    no-stx              (nor ETX and check)
    lost-start          (STX alone)
    bare-end
    comma
    flipped-bit
    wrong-parity
    overstates          offered = "6"
    stays               (at 300, though it has acknowledged a speed)
    deaf                (hears nothing of a message; `messages` means nothing)
    delay, missing, twice, cut, junk, pause: as there
"""

from collections.abc import Mapping

from nportpy.simulator import script
from nportpy.simulator.iec62056 import faults
from nportpy.simulator.iec62056.faults import MeterFaults, Rule, Where
from nportpy.simulator.iec62056.messages import SPEEDS
from nportpy.simulator.iec62056.meter import Kind
from nportpy.simulator.script import Kinds, Language, Parser

_COMMON = ("delay", "missing", "twice", "cut", "junk", "pause")
_MESSAGES = frozenset(kind.value for kind in Kind)


def _messages(value: object) -> frozenset[str]:
    words = frozenset(part.strip() for part in str(value).split(","))
    if not words <= _MESSAGES:
        raise ValueError("of " + ", ".join(sorted(_MESSAGES)))
    return words


def _speed(value: object) -> str:
    if value not in SPEEDS:
        raise ValueError("of " + ", ".join(f'"{speed}"' for speed in SPEEDS))
    return str(value)


_WHERE: Mapping[str, Parser] = {
    "messages": _messages,
    **{name: script.WHERE[name] for name in ("every", "share", "limit")},
}
_KINDS: Kinds = {
    **{name: script.KINDS[name] for name in _COMMON},
    "bad-bcc": script.KINDS["bad-crc"],
    "no-stx": (faults.NoStx, {}),
    "lost-start": (faults.LostStart, {}),
    "bare-end": (faults.BareEnd, {}),
    "comma": (faults.Comma, {}),
    "flipped-bit": (faults.FlippedBit, {}),
    "wrong-parity": (faults.WrongParity, {}),
    "overstates": (faults.Overstates, {"offered": _speed}),
    "stays": (faults.Stays, {}),
    "deaf": (faults.Deaf, {}),
}

_SCRIPTS = Language(
    _KINDS, _WHERE, lambda rules, seed: MeterFaults([Rule(fault, Where(**at)) for fault, at in rules], seed)
)
load, parse = _SCRIPTS.load, _SCRIPTS.parse
