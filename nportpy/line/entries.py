"""The entries of a tap's ring, and the records that they become for those who read.

An entry has bare fields, as making named tuples takes longer than all the rest; `Kind` says what a record is about.

    time, kind, data                        bytes as they were heard or written
    time, kind, data, about                 something that happened
    time, TX, data, number, unit, ...       a request's frame; see `Tap`
    took, ANSWER, data, frame               its answer, with the entry of the frame
"""

from typing import Final

from nportpy.line.ring import Raw
from nportpy.line.turns import Outcome
from nportpy.protocols.capture.passwords import has_password
from nportpy.protocols.capture.records import RX, TX, Asked, Ended, Hidden, Kind, Record

ECHO: Final = 60_000_000_000
"""Nanoseconds within which what was written comes back if the line has an echo, however slow it is."""

NUMBER, WHO = 3, 6
"""Places of a request's number and of who asks in the entry of a frame."""

ANSWERED: Final = Outcome.ANSWERED
_BARE, _FIRST = 3, 10  # fields of bytes that belong to no request, and of a frame that is sent the first time


def records_of(entries: list[Raw], number: int, until: int) -> list[Record]:
    """The records of entries that follow each other, passwords and their echoes hidden.

    Args:
        entries: they.
        number: of the first.
        until: when what is heard may no longer be the echo of a password that was written before; see `echo_until`.
    """
    found = []
    for each, entry in enumerate(entries, number):
        kind, data = entry[1], entry[2]
        if kind is TX:
            until = _after(entry)
        hides = until and (kind is TX or (kind is RX and entry[0] < until)) and data
        found.append(Record(each, *((entry[0], kind, b"", Hidden(len(data))) if hides else _whole(entry))))
    return found


def echo_until(entries: list[Raw], before: int, until: int) -> int:
    """Until when what is heard may be the echo of a password, after the entries `before` that place; 0: it is none.

    `until` is what that is before the first of them.
    """
    oldest = 0  # of what could matter: a line that only talks may have filled a large ring
    for place in range(before - 1, -1, -1):
        entry = entries[place]
        if entry[1] is TX:
            return _after(entry)
        if entry[1] is RX:
            oldest = oldest or entry[0] - ECHO
            if entry[0] < oldest:
                return 0
    return until


def _after(written: Raw) -> int:
    return written[0] + ECHO if len(written) == _BARE and has_password(written[2]) else 0


def attempt_of(frame: Raw) -> int:
    """Which attempt an entry of a frame tells of."""
    return frame[-2] if len(frame) > _FIRST else 1


def _whole(entry: Raw) -> tuple[int, Kind, bytes, object]:
    """A record with what it is about, as `Kind` says."""
    match entry:
        case time, kind, data:
            return time, kind, data, None
        case took, kind, data, asked if type(asked) is tuple:
            _, _, _, number, unit, pdu, client, sent_at, queued_at, *_ = asked
            about = Ended(number, unit, pdu, ANSWERED, (client,), sent_at - queued_at, took, attempt_of(asked))
            return round((sent_at + took) * 1e9), kind, data, about
        case time, kind, data, about:
            return time, kind, data, about
    time, kind, data, number, unit, pdu, client, sent_at, queued_at, timeout, *again = entry
    attempt, probe = again or (1, False)
    return time, kind, data, Asked(number, unit, pdu, client, sent_at - queued_at, max(attempt, 1), probe, timeout)
