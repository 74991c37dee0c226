"""What takes several exchanges: interrogations, freezing of counters, clock synchronisation (IEC 60870-5-5, 6).

    activation -> confirmation -> [data -> termination]

Values count as they come, not when the termination has; a device that never sends it costs no more than waiting.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from nportpy.meters.iec101.settings import CounterRequest, Iec101Settings
from nportpy.protocols.iec101 import asdu as asdus
from nportpy.protocols.iec101.asdu import ALL_COUNTERS, FREEZE, REFUSALS, STATION, Asdu, Cause

_INTERROGATION: Final = 100
_COUNTERS: Final = 101
_CLOCK: Final = 103


class Stage(Enum):
    """How far a procedure has come."""

    WAITING = "waiting"
    ASKED = "asked"
    CONFIRMED = "confirmed"
    DONE = "done"
    REFUSED = "refused"


@dataclass(slots=True)
class Procedure:
    """One of them.

    Attributes:
        name: for people.
        type: of the ASDU that asks, and of those that confirm and terminate.
        common_address: who is asked.
        make: makes the ASDU.
        qualifier: which of several of one type; None: there is one.
        cause: of the data that it brings; None: it brings none, and ends with its confirmation.
        stage: how far it has come.
        reason: why it was refused.
        brought: whether data came.
        waited: seconds of asking since it brought something.
        confirmation: the ASDU that confirmed it.
    """

    name: str
    type: int
    common_address: int
    make: Callable[[], bytes]
    qualifier: int | None = None
    cause: int | None = None
    stage: Stage = Stage.WAITING
    reason: str = ""
    brought: bool = False
    waited: float = 0.0
    confirmation: Asdu | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more is to be expected."""
        return self.stage in (Stage.DONE, Stage.REFUSED)

    def hear(self, asdu: Asdu) -> bool:
        """Let it see what came; True if that belongs to it."""
        if asdu.cause == self.cause and asdu.kind.monitors:
            self.waited, self.brought = 0.0, True
            return True
        if asdu.type != self.type or not self._is_mine(asdu):
            return False
        self.waited = 0.0
        if asdu.negative or asdu.cause in REFUSALS:
            self.stage = Stage.REFUSED
            self.reason = REFUSALS.get(asdu.cause, "it says no")
        elif asdu.cause == Cause.ACTIVATION_CONFIRMATION:
            self.confirmation = asdu
            self.stage = Stage.CONFIRMED if self.cause is not None else Stage.DONE
        elif asdu.cause == Cause.ACTIVATION_TERMINATION:
            self.stage = Stage.DONE
        return True

    def _is_mine(self, asdu: Asdu) -> bool:
        if asdu.cause in REFUSALS or not asdu.objects:
            return True
        mine = self.qualifier is None or asdu.objects[0].value == self.qualifier
        return mine and asdu.common_address == self.common_address


def interrogations(settings: Iec101Settings, common_addresses: tuple[int, ...]) -> Iterator[Procedure]:
    """Those that tell all values, and all counters if they are wanted."""
    for address in common_addresses:
        for group in settings.groups or (0,):
            name = f"interrogation of group {group}" if group else "station interrogation"
            yield _interrogation(settings, address, STATION + group, name)
        if settings.counters is CounterRequest.OFF:
            continue
        for group in settings.counter_groups or (ALL_COUNTERS,):
            name = "of all counters" if group == ALL_COUNTERS else f"of counter group {group}"
            if settings.counters is CounterRequest.FREEZE:
                yield _counters(settings, address, group | FREEZE, f"freezing {name}", None)
            cause = Cause.COUNTERS_REQUESTED + (0 if group == ALL_COUNTERS else group)
            yield _counters(settings, address, group, f"interrogation {name}", cause)


def clock_synchronisation(common_address: int, make: Callable[[], bytes]) -> Procedure:
    """Setting the clock; `make` makes an ASDU of the time that it is when it is called."""
    return Procedure("clock synchronisation", _CLOCK, common_address, make)


def _interrogation(settings: Iec101Settings, address: int, qualifier: int, name: str) -> Procedure:
    def make() -> bytes:
        return asdus.interrogation(settings.sizes, address, qualifier)

    return Procedure(name, _INTERROGATION, address, make, qualifier, qualifier)


def _counters(settings: Iec101Settings, address: int, qualifier: int, name: str, cause: int | None) -> Procedure:
    def make() -> bytes:
        return asdus.counter_interrogation(settings.sizes, address, qualifier)

    return Procedure(name, _COUNTERS, address, make, qualifier, cause)
