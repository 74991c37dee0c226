"""What a simulated outstation is like."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from nportpy.simulator.iec101.asdu import Sizes

STARTS = datetime.fromisoformat("2026-11-21T18:58:15.250")


class Single(StrEnum):
    """When the single character E5 stands for a short answer."""

    NEVER = "never"
    QUIET = "quiet"  # unless ACD or DFC would be set
    ALWAYS = "always"  # even then: nobody sees that there is class 1 data


class Unreset(StrEnum):
    """What an outstation says to user data and polls before its link has been reset."""

    SILENT = "silent"
    NOT_FUNCTIONING = "not-functioning"
    ANSWERS = "answers"  # as if it had been


class Times(StrEnum):
    """The time that events carry."""

    NONE = "none"
    SHORT = "cp24"
    LONG = "cp56"


@dataclass(frozen=True, slots=True)
class OutstationSettings:
    """One outstation.

    Attributes:
        link: its link address.
        common: its common address.
        sizes: of the fields; the same for all on a line.
        delay: seconds until an answer.
        single: when it says E5.
        unreset: what it says before the link is reset.
        times: of events.
        one_class: everything is class 2; class 1 is never used.
        class_1_for_2: a request for class 2 is answered with class 1 data if there is no other.
        obeys_fcb: repeats its last answer when asked again; else it takes every request for a new one.
        sequences: sends neighbours under one address.
        end_of_init: tells that it has started.
        cyclic: seconds between two reports of each measured value; 0: none.
        events: seconds between two events that happen by themselves, of one single point after the other; 0: none.
        start: what its clock shows when it starts.
        summer: its clock shows summer time.
        clock_set: its clock is right from the start; else times are invalid until it has been set.
        limit: events that it keeps; the oldest are lost.
    """

    link: int = 1
    common: int = 1
    sizes: Sizes = field(default_factory=Sizes)
    delay: float = 0.01
    single: Single = Single.NEVER
    unreset: Unreset = Unreset.SILENT
    times: Times = Times.LONG
    one_class: bool = False
    class_1_for_2: bool = False
    obeys_fcb: bool = True
    sequences: bool = False
    end_of_init: bool = True
    cyclic: float = 0.0
    events: float = 0.0
    start: datetime = STARTS
    summer: bool = False
    clock_set: bool = True
    limit: int = 1000
