"""What an outstation has to say: interrogations, events, the clock. Source: IEC 60870-5-5 and -5-101:2003, 7.4."""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from nportpy.simulator.iec101 import asdu as wire
from nportpy.simulator.iec101.asdu import NEGATIVE, Asdu, Cause, Type
from nportpy.simulator.iec101.clock import Stamp, parse_cp56
from nportpy.simulator.iec101.points import CYCLIC, Kind, Point, reports
from nportpy.simulator.iec101.settings import OutstationSettings, Times

STATION = 20
GROUPS = range(21, 37)
GENERAL_COUNTERS = 5
READS, FREEZES, FREEZES_AND_RESETS, RESETS = range(4)
SEQUENCE_NUMBER = 0x1F
POWER_ON, REMOTE_RESET = 0, 2
GENERAL_RESET, EVENT_RESET = 1, 2


class Application:
    """Points, events, and what is asked of them.

    Attributes:
        points: by address.
        class_1: what waits for a class 1 poll.
        class_2: the same for class 2.
        counted: interrogations, events and the like.
        restarted: a reset by remote command is due.
    """

    def __init__(self, settings: OutstationSettings, points: Sequence[Point], started: float) -> None:
        """An outstation that starts at `started`, with these points."""
        self.points = {point.address: point for point in points}
        self.class_1: deque[bytes] = deque()
        self.class_2: deque[bytes] = deque()
        self.counted: Counter[str] = Counter()
        self._settings = settings
        self._sizes = settings.sizes
        self._frozen: dict[int, Point] = {}
        self._started = started
        self._shown = settings.start
        self._clock_set = settings.clock_set
        self._next_cycle = started + settings.cyclic
        self._next_event = started + settings.events
        self.start(started, POWER_ON)

    def start(self, now: float, why: int | None) -> None:
        """Begin anew: nothing is left of what was to be said. `why` is told as the end of initialisation."""
        self.class_1.clear()
        self.class_2.clear()
        self._frozen.clear()
        self._next_cycle = now + self._settings.cyclic
        if why is not None and self._settings.end_of_init:
            self.queue(
                Asdu(Type.END_OF_INIT, Cause.INITIALISED, self._settings.common, self._address(0) + bytes((why,)))
            )

    def clock(self, now: float) -> Stamp:
        """What its clock shows."""
        time = self._shown + timedelta(seconds=now - self._started)
        return Stamp(time, not self._clock_set, self._settings.summer)

    def change(self, address: int, value: float, now: float, *, quality: int = 0, at: Stamp | None = None) -> None:
        """A point changes, and that is an event.

        Args:
            address: of the point.
            value: what it is now.
            now: the time.
            quality: its quality now.
            at: what the clock showed then; None: it is now.
        """
        point = self.points[address] = replace(self.points[address], value=value, quality=quality)
        if self._settings.times is Times.NONE:
            kind, element = point.kind.value[0], point.element()
        else:
            kind, element = point.timed(at or self.clock(now), short=self._settings.times is Times.SHORT)
        self.counted["events"] += 1
        self.queue(Asdu(kind, Cause.SPONTANEOUS, self._settings.common, self._address(address) + element))

    def queue(self, said: Asdu, *, second: bool = False) -> None:
        """Something is to be said, with class 1 or, if `second`, with class 2."""
        queue = self.class_2 if second or self._settings.one_class else self.class_1
        queue.append(said.encode(self._sizes))
        if len(queue) > self._settings.limit:
            queue.popleft()
            self.counted["lost"] += 1

    def happen(self, now: float) -> None:
        """What has happened by itself until now, each at its own time."""
        singles = [point for point in self._sorted() if point.kind is Kind.SINGLE]
        while self._settings.events and singles and self._next_event <= now:
            point = self.points[singles[self.counted["events"] % len(singles)].address]
            self.change(point.address, 1 - point.value, now, at=self.clock(self._next_event))
            self._next_event += self._settings.events

    def cycle(self, now: float) -> None:
        """Report measured values, if it is time."""
        if not self._settings.cyclic or now < self._next_cycle:
            return
        self._next_cycle = now + self._settings.cyclic
        measured = [point for point in self._sorted() if point.kind in CYCLIC]
        self._report(measured, Cause.CYCLIC, second=True)

    def obey(self, data: bytes, now: float, *, broadcast: bool = False) -> None:
        """An ASDU has come; to one by broadcast nothing is said."""
        try:
            asked = wire.parse(data, self._sizes)
        except ValueError:
            self.counted["malformed"] += 1
            return
        before = len(self.class_1), len(self.class_2)
        self._act(asked, now)
        if broadcast:
            for queue, length in zip((self.class_1, self.class_2), before, strict=True):
                while len(queue) > length:
                    queue.pop()

    # What it is told.

    def _act(self, asked: Asdu, now: float) -> None:
        acts: dict[int, Callable[[Asdu, float], None]] = {
            Type.INTERROGATION: self._interrogate,
            Type.COUNTERS: self._count,
            Type.READ: self._read,
            Type.CLOCK: self._set_clock,
            Type.TEST: self._confirm,
            Type.RESET: self._reset,
            Type.DELAY: self._confirm,
        }
        mine = (self._settings.common, self._sizes.everybody)
        expected = Cause.REQUEST if asked.type == Type.READ else Cause.ACTIVATION
        allowed = (expected, Cause.SPONTANEOUS) if asked.type == Type.DELAY else (expected,)
        if asked.type not in acts:
            self._refuse(asked, Cause.UNKNOWN_TYPE)
        elif asked.common not in mine:
            self._refuse(asked, Cause.UNKNOWN_COMMON)
        elif asked.cause & 0x3F not in allowed:
            self._refuse(asked, Cause.UNKNOWN_CAUSE)
        else:
            acts[asked.type](asked, now)

    def _interrogate(self, asked: Asdu, now: float) -> None:  # noqa: ARG002
        qualifier = self._element(asked)[0]
        if qualifier != STATION and qualifier not in GROUPS:
            self._answer(asked, Cause.CONFIRMATION | NEGATIVE)
            return
        self.counted["interrogations"] += 1
        self._answer(asked, Cause.CONFIRMATION)
        wanted = [point for point in self._sorted() if point.kind is not Kind.COUNTER]
        if qualifier != STATION:
            wanted = [point for point in wanted if point.group == qualifier - STATION]
        self._report(wanted, qualifier)
        self._answer(asked, Cause.TERMINATION)

    def _count(self, asked: Asdu, now: float) -> None:  # noqa: ARG002
        qualifier = self._element(asked)[0]
        request, freeze = qualifier & 0x3F, qualifier >> 6
        if not 1 <= request <= GENERAL_COUNTERS:
            self._answer(asked, Cause.CONFIRMATION | NEGATIVE)
            return
        self.counted["counter_interrogations"] += 1
        self._answer(asked, Cause.CONFIRMATION)
        wanted = [point for point in self._sorted() if point.kind is Kind.COUNTER]
        if request != GENERAL_COUNTERS:
            wanted = [point for point in wanted if point.group == request]
        if freeze == READS:
            counters = [self._frozen.get(point.address, point) for point in wanted]
            self._report(counters, Cause.COUNTERS + (request if request != GENERAL_COUNTERS else 0))
        else:
            self._freeze(wanted, freeze)
        self._answer(asked, Cause.TERMINATION)

    def _freeze(self, counters: Sequence[Point], how: int) -> None:
        for point in counters:
            number = point.quality + 1 & SEQUENCE_NUMBER | point.quality & ~SEQUENCE_NUMBER
            if how in (FREEZES, FREEZES_AND_RESETS):
                self._frozen[point.address] = replace(point, quality=number)
            value = 0 if how in (FREEZES_AND_RESETS, RESETS) else point.value
            self.points[point.address] = replace(point, value=value, quality=number)

    def _read(self, asked: Asdu, now: float) -> None:  # noqa: ARG002
        address = int.from_bytes(asked.objects[: self._sizes.ioa], "little")
        if address not in self.points:
            self._refuse(asked, Cause.UNKNOWN_OBJECT)
            return
        self._report([self.points[address]], Cause.REQUEST)

    def _set_clock(self, asked: Asdu, now: float) -> None:
        try:
            wanted = parse_cp56(self._element(asked))
        except (ValueError, IndexError):
            self._answer(asked, Cause.CONFIRMATION | NEGATIVE)
            return
        before = self.clock(now).cp56()
        self._shown, self._started, self._clock_set = wanted.time, now, True
        self.counted["clock_set"] += 1
        self._answer(replace(asked, objects=self._address(0) + before), Cause.CONFIRMATION)

    def _confirm(self, asked: Asdu, now: float) -> None:  # noqa: ARG002
        self._answer(asked, Cause.CONFIRMATION)

    def _reset(self, asked: Asdu, now: float) -> None:
        qualifier = self._element(asked)[0]
        if qualifier not in (GENERAL_RESET, EVENT_RESET):
            self._answer(asked, Cause.CONFIRMATION | NEGATIVE)
            return
        self.start(now, None)
        self._answer(asked, Cause.CONFIRMATION)
        if qualifier == GENERAL_RESET and self._settings.end_of_init:
            end = self._address(0) + bytes((REMOTE_RESET,))
            self.queue(Asdu(Type.END_OF_INIT, Cause.INITIALISED, self._settings.common, end))

    # What it says.

    def _report(self, points: Sequence[Point], cause: int, *, second: bool = False) -> None:
        mine = self._settings
        for said in reports(points, cause, mine.common, mine.sizes, sequences=mine.sequences):
            self.queue(said, second=second)

    def _answer(self, asked: Asdu, cause: int) -> None:
        """What was asked, with another cause; the test bit stays."""
        self.queue(replace(asked, cause=cause | asked.cause & wire.TEST))

    def _refuse(self, asked: Asdu, cause: int) -> None:
        self.counted["refused"] += 1
        self._answer(asked, cause | NEGATIVE)

    def _element(self, asked: Asdu) -> bytes:
        return asked.objects[self._sizes.ioa :] or b"\0"

    def _address(self, address: int) -> bytes:
        return address.to_bytes(self._sizes.ioa, "little")

    def _sorted(self) -> list[Point]:
        """The points by kind, then by address."""
        return sorted(self.points.values(), key=lambda point: (point.kind.value, point.address))
