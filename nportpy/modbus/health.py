"""What is known of one unit: whether it answers, and how long its answers take.

A request that is not answered costs everybody on the bus the time that it is waited for. So what was not answered is
left alone for a while: twice as long as before, and `REST` times what trying it cost, between 0.5 and 10 s; those who
ask it meanwhile are told so at once. Whether that holds for the unit or for the one request depends:

    the unit never answered anything                         the unit is silent
    two requests in a row that it has answered before        the unit is silent
    `STRANGE` requests in a row that it never answered       the unit is silent
    fewer of those, between others that it answers           that request rests: many devices say nothing to functions
                                                             or addresses that they do not know

So nobody makes a unit silent for others by asking it nonsense. A silent unit is tried by one request at a time. Any
answer of it, an exception too, makes it a unit like the others.

The timeout that is learned follows RFC 6298: the smoothed time of its answers and four times their deviation, twice
that after each request that was not answered. Answers to requests that were sent twice teach nothing, as nobody knows
which of the two they belong to (Karn). Times are without the time on the wire, so short and long answers teach the
same.
"""

from typing import Final

from nportpy.modbus.settings import Timeout

FIRST_REST: Final = 0.5
LONGEST_REST: Final = 10.0
"""Seconds for which a silent unit is left alone, at first and at most."""

REST: Final = 5.0
"""For how many times the time of a try it is: so that trying takes a sixth of the bus at most."""

FORGOTTEN: Final = 300.0
"""Seconds after its last try in which a unit that never answered is shown as silent: who looked for units that are not
there, as a scan does, is not to leave them on the status page for ever."""

STRANGE: Final = 5
"""How many requests in a row that it never answered make a unit silent that has answered others."""

MOST_KNOWN: Final = 256
"""Requests that are remembered as answered, and as resting, of each unit."""

_LEAST_DEVIATION: Final = 0.01  # seconds; a unit that answers very regularly may still be late once
_DOUBLINGS: Final = 10
_SMOOTH, _DEVIATE = 1 / 8, 1 / 4  # RFC 6298, 2


class Unit:
    """One unit of a bus. Times are seconds of the bus's clock.

    Attributes:
        unit: its unit id.
        pause: seconds of silence that must be before a frame for it, if that is more than the line's.
        retries: how often a read of it is sent again.
        silent: it does not answer.
        answered: its answers.
        unanswered: requests that were sent to it and not answered.
        writes: requests for it under way that may change something.
    """

    __slots__ = (
        "_again_at",
        "_deviation",
        "_failures",
        "_known",
        "_rest",
        "_resting",
        "_smoothed",
        "_strange",
        "_timeout",
        "_trying",
        "answered",
        "learns",
        "pause",
        "retries",
        "silent",
        "timeout",
        "unanswered",
        "unit",
        "writes",
    )

    def __init__(self, unit: int, timeout: Timeout, retries: int, pause: float = 0.0) -> None:
        """Nothing is known of it."""
        self.unit = unit
        self.pause = pause
        self.retries = retries
        self.silent = False
        self.answered = 0
        self.unanswered = 0
        self.writes = 0
        self.learns = timeout.fixed is None
        self.timeout = timeout.most if timeout.fixed is None else timeout.fixed
        self._timeout = timeout
        self._smoothed = -1.0
        self._deviation = 0.0
        self._failures = 0  # in a row, of requests that it has answered before
        self._strange = 0  # in a row, of others
        self._known: set[bytes] = set()  # requests that it has answered
        self._resting: dict[bytes, tuple[float, float]] = {}  # requests to be left alone: until when, for how long
        self._rest = 0.0
        self._again_at = 0.0
        self._trying = False

    def may_be_asked(self, pdu: bytes, now: float) -> bool:
        """Whether to ask it this now. Of a silent unit, the one who is told so must tell what came of it."""
        if self._resting and pdu in self._resting and now < self._resting[pdu][0]:
            return False
        if not self.silent:
            return True
        if self._trying or now < self._again_at:
            return False
        self._trying = True
        return True

    def is_forgotten(self, now: float) -> bool:
        """It never answered, and nobody has tried it for long: nothing is to be said of it."""
        return self.silent and not self.answered and now - self._again_at > FORGOTTEN

    def has_answered(self, pdu: bytes) -> bool:
        """Whether it is known to answer this, if perhaps not now."""
        return pdu in self._known

    def tries(self, pdu: bytes) -> int:
        """How often a read may be sent again now: what was not answered the last time gets no second chance."""
        return 0 if self._failures or pdu in self._resting else self.retries

    def heard(self, pdu: bytes) -> None:
        """It answered this."""
        self.answered += 1
        if pdu not in self._known:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known.add(pdu)
            self._resting.pop(pdu, None)
        elif self._resting:
            self._resting.pop(pdu, None)
        if self._failures or self._strange or self.silent:
            self._failures = self._strange = 0
            self._rest = 0.0
            self.silent = self._trying = False
            self._set_timeout()

    def took(self, seconds: float) -> None:
        """How long it took to begin its answer, where that is known."""
        if self._smoothed < 0:
            self._smoothed, self._deviation = seconds, seconds / 2
        else:
            self._deviation += _DEVIATE * (abs(self._smoothed - seconds) - self._deviation)
            self._smoothed += _SMOOTH * (seconds - self._smoothed)
        self._set_timeout()

    def unheard(self, pdu: bytes, now: float, took: float) -> bool:
        """It did not answer this, which kept the bus for `took` seconds; whether it is silent from now on."""
        self.unanswered += 1
        if pdu in self._known or not self.answered:
            self._failures += 1
        else:
            self._strange += 1
            self._let_rest(pdu, now, took)
        self._set_timeout()
        self._trying = False
        if not self.silent and self.answered and self._failures < 2 and self._strange < STRANGE:
            return False
        became = not self.silent
        self.silent = True
        self._rest = _longer(self._rest, took)
        self._again_at = now + self._rest
        return became

    def _let_rest(self, pdu: bytes, now: float, took: float) -> None:
        before = self._resting.pop(pdu, (0.0, 0.0))[1]
        if len(self._resting) >= MOST_KNOWN:
            del self._resting[next(iter(self._resting))]
        rest = _longer(before, took)
        self._resting[pdu] = now + rest, rest

    def not_asked(self) -> None:
        """What was to try it was never sent."""
        self._trying = False

    def _set_timeout(self) -> None:
        limits = self._timeout
        if limits.fixed is not None:
            return
        if self._smoothed < 0:
            self.timeout = limits.most
            return
        learned = self._smoothed + max(4 * self._deviation, _LEAST_DEVIATION)
        self.timeout = min(max(learned, limits.least) * 2 ** min(self._failures, _DOUBLINGS), limits.most)


def _longer(rest: float, took: float) -> float:
    return min(max(2 * rest, REST * took, FIRST_REST), LONGEST_REST)
