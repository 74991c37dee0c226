"""What decoding meters costs: an answer of 128 bytes from the wire to its values, and a load profile of 1,000 rows.

No gateway takes part: these are codecs, timed where they run. Goals are times of the machine that the others' are of.
"""

import time
from collections.abc import Callable, Sequence

from nportpy.protocols.dlms import apdu, axdr, profile
from nportpy.protocols.dlms.hdlc import Address, Frame, FrameFinder
from nportpy.protocols.dlms.logical import Got
from nportpy.protocols.dlms.obis import Obis
from nportpy.protocols.dlms.profile import Captured
from tests.bench.gateways import Running
from tests.bench.processes import BrokenError, FarEnd
from tests.bench.report import Bench, Figure, Goal, Rounds, Scale

_CLOCK, _STATUS, _IMPORT, _EXPORT = (
    Obis.parse(each) for each in ("0.0.1.0.0.255", "0.0.96.10.1.255", "1.0.1.29.0.255", "1.0.2.29.0.255")
)
_COLUMNS = (Captured(8, _CLOCK), Captured(1, _STATUS), Captured(3, _IMPORT), Captured(3, _EXPORT))
_STAMP = bytes.fromhex("090C07EA0B1506000000FFFFC400")
_ROWS = 1000
_BUFFER = axdr.array(*[axdr.structure(_STAMP, b"\x11\x00", b"\x06\0\0\x03\xe8", b"\x06\0\0\x03\xe9")] * _ROWS)

# Eight rows' worth in one answer: 128 bytes with its header, as a meter sends that is asked for a structure.
_BODY = axdr.structure(*[_STAMP] * 7, *[b"\x06\0\0\x03\xe8"] * 4, b"\x11\x00", b"\x11\x01")
_ANSWER = b"\xc4\x01\xc1\x00" + _BODY
_WIRE = Frame(Address(16).encode(1), Address(1, 17).encode(2), 0x30, b"\xe6\xe7\x00" + _ANSWER).encode()


def _answer() -> None:
    (frame,) = FrameFinder().feed(_WIRE)
    got = apdu.parse(frame.information[3:])
    if not isinstance(got, Got) or not isinstance(got.result, tuple) or len(got.result) != 13:
        raise BrokenError("the answer is not what was sent")


def _profile() -> None:
    rows = profile.rows(axdr.decode(_BUFFER), _COLUMNS, step=900)
    if len(rows) != _ROWS or rows[-1].values[3] != 1001:
        raise BrokenError("the rows are not what was sent")


def _seconds(what: Callable[[], None], times: int) -> float:
    """The best of some, of one: others on the machine only make it slower."""
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(times):
            what()
        best = min(best, (time.perf_counter() - start) / times)
    return best


def _measure(_: Running, __: Sequence[FarEnd], scale: Scale, ___: float) -> Rounds:
    while True:
        yield {
            "dlms_answer": _seconds(_answer, scale.exchanges) * 1e6,
            "dlms_profile": _seconds(_profile, max(scale.exchanges // 100, 1)) * 1e3,
        }


DLMS = Bench(
    name="dlms",
    figures=(
        Figure("dlms_answer", f"DLMS: an answer of {len(_ANSWER)} bytes from frame to values", "us"),
        Figure("dlms_profile", f"DLMS: a profile of {_ROWS:,} rows from data to rows", "ms"),
    ),
    goals=(Goal("dlms_answer", 60.0), Goal("dlms_profile", 30.0)),
    far_ends=lambda _: [["echo"]],
    measure=_measure,
    ours_only=True,
)
