"""What is known of one unit: whether it lives, what it answers, and how long its answers take.

A request that is not answered costs everybody on the bus the time that it is waited for. Three things look alike then,
and each wants something else (docs/design.md, "The health of a unit"):

    dead          it answers nothing: all its requests are left alone but for a try now and then
    flaky         it loses some, by bad cable for instance: it is asked on, retries and all
    particular    it says nothing to some requests (functions, addresses or lengths that it does not know), and answers
                  the others: those requests are left alone, and other unknown ones with them

Kinds of requests. One that the unit has answered is known. It is unknown again once it alone goes unanswered while the
unit answers others. Writes are told apart by what they write to, not by the values.

Dead is a unit that never gave a sign of life; or one that left two known requests in a row unanswered, and more frames
than its share of lost ones lets expect and than twice the longest run after which it came back lately; or `MANY`
unknown ones. Its first answers are too few to tell, so a young unit gets more patience. Any good frame of it is a sign
of life.

How long something is left alone, and who tries it next, is in trial.py.

The timeout that is learned follows RFC 6298: the smoothed time of its answers and four times their deviation, twice
that after each request that was not answered. Answers to requests that were sent twice teach nothing, as nobody knows
which of the two they belong to (Karn). Times are without the time on the wire, so short and long answers teach the
same.
"""

import math
from collections.abc import Hashable
from typing import Final

from nportpy.modbus.evidence import Evidence
from nportpy.modbus.settings import Timeout
from nportpy.modbus.trial import REST, Trial
from nportpy.protocols.modbus.functions import kind

FORGOTTEN: Final = 300.0
"""Seconds after its last try in which a unit that never answered is shown as silent: who looked for units that are not
there, as a scan does, is not to leave them on the status page for ever."""

STRANGE: Final = 5
"""How many unknown requests go unanswered before others are held back."""

MANY: Final = 10
"""How many unknown requests in a row, whoever asks, make a unit dead that has answered others."""

YOUNG: Final = 32
"""How many answers tell that a unit loses nothing."""

PATIENCE: Final = 6
"""Frames that a young unit may lose in a row, and live."""

MOST_PATIENCE: Final = 24
"""Frames that any unit may."""

CHANCE: Final = 0.001
"""A run of lost frames that is less likely than this, from the share that a unit loses, means that it is dead."""

SPELL: Final = 60.0
"""Seconds; a longer silence was no fault of the cable and teaches no patience."""

HALF_LIFE: Final = 300.0
"""Seconds in which half the patience that was learned is forgotten."""

MOST_KNOWN: Final = 256
"""Requests that are remembered as answered, and as unanswered, of each unit."""

_LEAST_DEVIATION: Final = 0.01  # seconds; a unit that answers very regularly may still be late once
_DOUBLINGS: Final = 10
_SMOOTH, _DEVIATE = 1 / 8, 1 / 4  # RFC 6298, 2
_READS: Final = 4  # functions up to this one are told apart by all of their bytes


class Unit:
    """One unit of a bus. Times are seconds of the bus's clock.

    Attributes:
        unit: its unit id.
        pause: seconds of silence that must be before a frame for it, if that is more than the line's.
        retries: how often a read of it is sent again.
        isolate: leave it, or requests, alone at all.
        silent: it is taken for dead.
        troubled: `may_be_asked` and `came_back` have something to say; otherwise they need not be called.
        answered: its answers.
        unanswered: requests that were sent to it and not answered.
        writes: requests for it under way that may change something.
        evidence: what its requests cost, and how long its answers take.
    """

    __slots__ = (
        "_dead",
        "_deviation",
        "_hits_from",
        "_known",
        "_known_before",
        "_lives",
        "_losses",
        "_lost",
        "_misses",
        "_run",
        "_run_at",
        "_smoothed",
        "_strange",
        "_timeout",
        "_unheard",
        "_unknown",
        "answered",
        "evidence",
        "isolate",
        "learns",
        "pause",
        "retries",
        "silent",
        "timeout",
        "troubled",
        "unanswered",
        "unit",
        "writes",
    )

    def __init__(self, unit: int, timeout: Timeout, retries: int, pause: float = 0.0, *, isolate: bool = True) -> None:
        """Nothing is known of it."""
        self.unit = unit
        self.pause = pause
        self.retries = retries
        self.isolate = isolate
        self.silent = self.troubled = False
        self.answered = 0
        self.unanswered = 0
        self.writes = 0
        self.evidence = Evidence()
        self.learns = timeout.fixed is None
        self.timeout = timeout.most if timeout.fixed is None else timeout.fixed
        self._timeout = timeout
        self._smoothed = -1.0
        self._deviation = 0.0
        self._lives = False  # it gave a sign of life, ever
        self._known: set[bytes] = set()  # what it has answered, and what before that: the half forgotten
        self._known_before: set[bytes] = set()
        self._unheard: dict[bytes, Trial] = {}  # requests that were not answered the last time
        self._unknown = Trial()  # unknown requests, all together
        # Since the last sign of life:
        self._dead = Trial()  # requests that were not answered
        self._misses = 0  # known ones
        self._lost = 0  # their frames
        self._strange = 0  # others
        # How long a run of lost frames it came back after, and when that was:
        self._run = 0.0
        self._run_at = 0.0
        self._losses = 0.0  # frames that it lost and came back after, lately
        self._hits_from = 0.0  # its answers since then: `answered` less this

    # Before a request.

    def may_be_asked(self, client: Hashable, pdu: bytes, now: float) -> bool:
        """Whether to ask it this now. Who is told so must tell what came of it."""
        if not self.isolate:
            return True
        request = kind(pdu)
        known = self.has_answered(pdu)
        before = self._unheard.get(request)
        if self.silent:
            return self._dead.may_try(client, request, before, known, now)
        if known:
            return True
        if before is not None and now < before.until:
            return False
        return not self._unknown.until or self._unknown.may_try(client, request, before, known, now)

    def is_forgotten(self, now: float) -> bool:
        """It never answered, and nobody has tried it for long: nothing is to be said of it."""
        return self.silent and not self._lives and now - self._dead.until > FORGOTTEN

    @property
    def silent_since(self) -> float:
        """When the first of the requests was given up that it has not answered since, if it is silent."""
        return self._dead.since

    def has_answered(self, pdu: bytes) -> bool:
        """Whether it is known to answer this, if perhaps not now."""
        request = kind(pdu)
        return request in self._known or request in self._known_before

    def tries(self, pdu: bytes, now: float) -> int:
        """How often a read may be sent again now."""
        if not self.troubled or not self.isolate:
            return self.retries
        if self.silent:
            return 0
        if self.answered < YOUNG or self._longest(now) >= 1:
            before = None if self.has_answered(pdu) else self._unheard.get(kind(pdu))
            return self.retries if before is None or before.lost < self._expected(now) else 0
        return 0 if self._misses or kind(pdu) in self._unheard else self.retries

    # After it.

    def heard(self, pdu: bytes) -> None:
        """It answered this; `came_back` first if it was `troubled`, or answered what was sent again."""
        self.answered += 1
        self._lives = True
        request = pdu if pdu[0] <= _READS else kind(pdu)
        if request not in self._known:
            self._learn(request)

    def _learn(self, request: bytes) -> None:
        if len(self._known) >= MOST_KNOWN // 2:
            self._known_before, self._known = self._known, set()
        self._known.add(request)

    def came_back(self, client: Hashable, pdu: bytes, lost: int, now: float) -> None:
        """It answered this after that many frames in vain; what was held against it is forgotten."""
        if self.has_answered(pdu):
            self._unknown.ended(client)
        else:
            self._unknown.answered(client, for_all=self._expected(now) >= 2)  # what it lost says little then
        self._unheard.pop(kind(pdu), None)
        self._sign_of_life(lost, now)

    def answered_unfit(self, client: Hashable, now: float) -> None:
        """It answered, but not what was asked. That cost no more than an answer, so nothing is left alone for it."""
        self.unanswered += 1
        self._unknown.leave(client)
        self._sign_of_life(0, now)

    def _sign_of_life(self, lost: int, now: float) -> None:
        lost += self._lost if self._lives else 0  # before it ever answered nobody knew what it knows
        if lost and (not self._lost or now - self._dead.since <= SPELL):
            left = self._left(now)
            self._losses = self._losses * left + lost
            self._hits_from = self.answered - (self.answered - self._hits_from) * left
            self._run = max(self._run * left, min(lost, MOST_PATIENCE / 2))
            self._run_at = now
        self._lives = True
        self._misses = self._lost = self._strange = 0
        if self.silent:  # that it was dead is no fault of its requests
            known = self._known | self._known_before
            self._unheard = {request: one for request, one in self._unheard.items() if request not in known}
        if self._dead.requests:
            self._dead = Trial()
        self.silent = False
        self.troubled = bool(self._unheard or self._unknown.requests)
        self._set_timeout()

    def took(self, seconds: float) -> None:
        """How long it took to begin its answer, where that is known."""
        if self._smoothed < 0:
            self._smoothed, self._deviation = seconds, seconds / 2
        else:
            self._deviation += _DEVIATE * (abs(self._smoothed - seconds) - self._deviation)
            self._smoothed += _SMOOTH * (seconds - self._smoothed)
        self._set_timeout()

    def unheard(
        self, client: Hashable, pdu: bytes, now: float, took: float, frames: int = 1, *, alive: bool = False
    ) -> bool:
        """It did not answer this, which kept the bus for `took` seconds; whether it is taken for dead from now on.

        Args:
            client: who asked.
            pdu: what.
            now: the time.
            took: how long the bus was kept.
            frames: how often it was sent.
            alive: a good frame of the unit was heard meanwhile.
        """
        self.unanswered += 1
        self.troubled = True
        if alive:
            self._sign_of_life(0, now)
            self.troubled = True
        known = self.has_answered(pdu)
        one = self._one_more(kind(pdu), now, frames)
        self._dead.failed(now, frames)
        self._dead.failed_for(client, now)
        if self._lives and not known:
            self._strange += not alive
            if one.lost > self._expected(now):
                one.let_rest(now, took if one.requests > 1 else took / REST)  # once may be an accident
            self._let_unknown_rest(client, now, took, frames)
        elif not alive:
            self._misses += 1
            self._lost += frames
        if known and one.lost > max(self._lost, self._patience(now)):  # the unit answers others meanwhile
            self._known.discard(kind(pdu))
            self._known_before.discard(kind(pdu))
        self._set_timeout()
        return self._judge(now, took)

    def failed_for(self, client: Hashable, pdu: bytes, now: float) -> None:
        """That will be `unheard` was asked for this client, too."""
        self._dead.failed_for(client, now)
        if self._lives and not self.has_answered(pdu):
            self._unknown.failed_for(client, now)

    def _judge(self, now: float, took: float) -> bool:
        """Whether it is dead from now on; how long a dead one is left alone."""
        lost = self._misses >= 2 and self._lost > self._patience(now)
        if self._lives and not self.silent and not lost and self._strange < MANY:
            return False
        self._dead.let_rest(now, took)
        became = not self.silent
        self.silent = True
        return became

    def _one_more(self, request: bytes, now: float, frames: int) -> Trial:
        """What is known of a request that was not answered once more."""
        one = self._unheard.pop(request, None) or Trial()
        if len(self._unheard) >= MOST_KNOWN:
            del self._unheard[next(iter(self._unheard))]
        self._unheard[request] = one
        one.failed(now, frames)
        return one

    def _let_unknown_rest(self, client: Hashable, now: float, took: float, frames: int) -> None:
        """One more unknown request was not answered."""
        unknown = self._unknown
        unknown.failed(now, frames)
        unknown.failed_for(client, now)
        unknown.ended(client)
        if unknown.requests >= STRANGE and unknown.lost > self._expected(now):
            unknown.let_rest(now, took)

    @property
    def being_tried(self) -> bool:
        """Whether what it is left alone for is being tried: something is under way then."""
        return self._dead.trying or self._unknown.trying

    def not_asked(self, client: Hashable, *, trial: bool) -> None:
        """What it was to be asked for this client was never sent; `trial`: it was silent when that was let through."""
        if trial:
            self._dead.leave(client)
        self._unknown.ended(client)

    def leave(self, client: Hashable) -> None:
        """A client has gone."""
        self._dead.leave(client)
        self._unknown.leave(client)

    def _longest(self, now: float) -> float:
        """Frames of the longest run that it came back after lately."""
        return self._run * self._left(now) if self._run else 0.0

    def _left(self, now: float) -> float:
        """How much of what was learned is not forgotten."""
        return float(0.5 ** ((now - self._run_at) / HALF_LIFE))

    def _patience(self, now: float) -> float:
        """Frames that may be lost in a row."""
        return max(self._expected(now), PATIENCE if self.answered < YOUNG else 0)

    def _expected(self, now: float) -> float:
        """Frames that may be lost in a row by what was seen of it; 0: it loses none."""
        if not self._run:
            return 0.0
        losses = self._losses * self._left(now)
        lost = losses / (losses + self.answered - self._hits_from + 2)  # as if it had answered two more
        chance = min(math.log(CHANCE) / math.log(max(lost, CHANCE)), MOST_PATIENCE)
        return max(2 * self._longest(now), chance)

    def _set_timeout(self) -> None:
        limits = self._timeout
        if limits.fixed is not None:
            return
        if self._smoothed < 0:
            self.timeout = limits.most
            return
        learned = self._smoothed + max(4 * self._deviation, _LEAST_DEVIATION)
        self.timeout = min(max(learned, limits.least) * 2 ** min(self._misses, _DOUBLINGS), limits.most)
