"""What is known of one unit: whether it answers, and how long its answers take.

A unit that does not answer costs everybody on the bus the time that it is waited for. So it is silent from its second
request in a row that is not answered, or from its first if it never answered any. A silent unit is tried by one
request at a time, and after each try it is left alone for longer: twice as long as before, and `REST` times what the
try cost, between 0.5 and 10 s. Any answer of it, an exception too, makes it a unit like the others.

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

_LEAST_DEVIATION: Final = 0.01  # seconds; a unit that answers very regularly may still be late once
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
        "_rest",
        "_smoothed",
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
        self._failures = 0  # in a row
        self._rest = 0.0
        self._again_at = 0.0
        self._trying = False

    def may_try(self, now: float) -> bool:
        """Whether a silent unit may be asked now; the one who is told so must ask, and tell what came of it."""
        if self._trying or now < self._again_at:
            return False
        self._trying = True
        return True

    @property
    def tries(self) -> int:
        """How often a read may be sent again now: a unit that did not answer the last one gets no second chance."""
        return 0 if self._failures else self.retries

    def heard(self) -> None:
        """It answered."""
        self.answered += 1
        if self._failures:
            self._failures = 0
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

    def unheard(self, now: float, took: float) -> bool:
        """It did not answer a request that kept the bus for `took` seconds; whether it is silent from now on."""
        self.unanswered += 1
        self._failures += 1
        self._set_timeout()
        if self.answered and self._failures < 2:
            return False
        became = not self.silent
        self.silent = True
        self._trying = False
        self._rest = min(max(2 * self._rest, REST * took, FIRST_REST), LONGEST_REST)
        self._again_at = now + self._rest
        return became

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
        self.timeout = min(max(learned, limits.least) * 2**self._failures, limits.most)
