"""An outstation's end of the unbalanced link. Source: IEC 60870-5-2, 6 and IEC 60870-5-101:2003, 6."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from nportpy.simulator.iec101.application import POWER_ON, Application
from nportpy.simulator.iec101.frames import ACD, DFC, FCB, FCV, PRIMARY, SINGLE, Asks, Frame, Says
from nportpy.simulator.iec101.points import Kind, Point, Quality
from nportpy.simulator.iec101.settings import OutstationSettings, Single, Unreset

_ANSWERED = frozenset((Asks.DATA, Asks.CLASS_1, Asks.CLASS_2))


def example_points() -> tuple[Point, ...]:
    """A few of every kind."""
    return (
        *(Point(10 + number, Kind.SINGLE, number % 2, group=1) for number in range(3)),
        Point(13, Kind.SINGLE, 0, Quality.INVALID, group=1),
        Point(30, Kind.DOUBLE, 2, group=1),
        Point(31, Kind.STEP, -2, transient=True, group=2),
        Point(32, Kind.BITS, 0x04030201, group=2),
        Point(40, Kind.NORMALISED, 0.5, group=3),
        Point(41, Kind.SCALED, -1000, Quality.OVERFLOW, group=3),
        Point(42, Kind.FLOAT, 231.4, group=3),
        Point(43, Kind.FLOAT, 49.98, group=3),
        Point(50, Kind.COUNTER, 77160, 5, group=1),
        Point(51, Kind.COUNTER, 1200, 5, group=2),
        Point(60, Kind.PACKED, 0x00010003, group=4),
        Point(61, Kind.BARE, 0.25, group=4),
    )


class Outstation:
    """One, that answers when it is asked and never else.

    Attributes:
        settings: what it is like.
        application: what it has to say.
        is_reset: the link has been reset since it started.
        stuck_acd: it says that there is class 1 data, whatever there is.
        busy: it takes no user data.
        refuses: what it says to requests instead of obeying them (NACK and the like); None: it obeys.
    """

    def __init__(
        self, settings: OutstationSettings | None = None, points: Sequence[Point] | None = None, *, started: float = 0.0
    ) -> None:
        """One that starts at `started`; with `example_points` if no others are given."""
        self.settings = settings or OutstationSettings()
        self.application = Application(self.settings, example_points() if points is None else points, started)
        self.is_reset = False
        self.stuck_acd = False
        self.busy = False
        self.refuses: Says | None = None
        self._last_fcb = 0
        self._last_answer: bytes | None = None
        self._counted: Counter[str] = Counter()

    def change(self, address: int, value: float, now: float, *, quality: int = 0) -> None:
        """A point changes: an event."""
        self.application.change(address, value, now, quality=quality)

    def restart(self, now: float, *, warns: bool = False) -> None:
        """It loses power for a moment: all that was to be said, and the state of the link."""
        self._counted["restarts"] += 1
        self.is_reset = False
        self._last_fcb, self._last_answer = 0, None
        self.application.start(now, POWER_ON if warns else None)

    def counts(self) -> Mapping[str, int]:
        """What it has counted."""
        return {**self._counted, **self.application.counted}

    def hear(self, frame: Frame, now: float, *, broadcast: bool = False) -> bytes | None:
        """What it says to a frame that is for it."""
        if not frame.control & PRIMARY:
            return None
        if broadcast:
            if frame.function == Asks.DATA_UNANSWERED:
                self.application.obey(frame.data, now, broadcast=True)
            return None
        self._counted["requests"] += 1
        self.application.happen(now)
        if frame.function in _ANSWERED and not self.is_reset and self.settings.unreset is not Unreset.ANSWERS:
            return self._short(Says.NOT_FUNCTIONING) if self.settings.unreset is Unreset.NOT_FUNCTIONING else None
        if frame.control & FCV and self.settings.obeys_fcb:
            fcb = frame.control & FCB
            if fcb == self._last_fcb and self._last_answer is not None:
                self._counted["repeats"] += 1
                return self._last_answer
            self._last_fcb = fcb
        answer = self._act(frame, now)
        if frame.control & FCV:
            self._last_answer = answer
        return answer

    def say(self, function: int, data: bytes = b"") -> bytes:
        """An answer of this outstation, with ACD and DFC as they are."""
        acd = self.stuck_acd or bool(self.application.class_1)
        control = function | ACD * acd | DFC * self.busy
        return Frame(control, self.settings.link, data).encode(self.settings.sizes.link)

    def _act(self, frame: Frame, now: float) -> bytes | None:
        if self.refuses is not None:
            return self.say(self.refuses)
        match frame.function:
            case Asks.RESET:
                self.is_reset = True
                self._last_fcb, self._last_answer = 0, None
                return self._short(Says.ACK)
            case Asks.RESET_PROCESS:
                return self._short(Says.ACK)
            case Asks.DATA:
                return self._take(frame, now)
            case Asks.DATA_UNANSWERED:
                self.application.obey(frame.data, now)
                return None
            case Asks.ACCESS | Asks.STATUS:
                return self.say(Says.STATUS)
            case Asks.CLASS_1:
                return self._give(1)
            case Asks.CLASS_2:
                self.application.cycle(now)
                return self._give(2)
        return self.say(Says.NOT_IMPLEMENTED)

    def _take(self, frame: Frame, now: float) -> bytes:
        if self.busy:
            return self.say(Says.NACK)
        self.application.obey(frame.data, now)
        return self._short(Says.ACK)

    def _give(self, wanted: int) -> bytes:
        application = self.application
        queue = application.class_1 if wanted == 1 else application.class_2
        if wanted == 2 and not queue and self.settings.class_1_for_2:
            queue = application.class_1
        if not queue:
            return self._short(Says.NO_DATA)
        data = queue.popleft()
        self._counted["told"] += 1
        return self.say(Says.DATA, data)

    def _short(self, function: int) -> bytes:
        """An answer without data, for which E5 may stand."""
        answer = self.say(function)
        if function not in (Says.ACK, Says.NO_DATA):
            return answer
        quiet = not (self.stuck_acd or self.application.class_1 or self.busy)
        if self.settings.single is Single.ALWAYS or (self.settings.single is Single.QUIET and quiet):
            return SINGLE
        return answer


def alike(first: OutstationSettings, count: int) -> list[OutstationSettings]:
    """So many outstations, whose addresses follow each other."""
    return [replace(first, link=first.link + number, common=first.common + number) for number in range(count)]
