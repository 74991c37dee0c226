"""The seam between stations and what they speak: a driver turns a station's tags into exchanges and values.

A driver knows nothing of schedules, samples or archives: to add a protocol is to write one file in `drivers/`, with a
`Driver`, and to name it in settings.py (`Protocol`, and its kind of `Place`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from nportpy.edge.settings import TagSettings
from nportpy.errors import LineError
from nportpy.protocols.modbus.values import Value


class StationSilent(LineError):
    """The station did not answer, or there is no way to it: it costs its neighbours no more than that one try."""


class StationRefused(LineError):
    """The station answers, and refuses the password or the keys: it is not asked again as it is configured now.

    Meters lock their port after a few wrong passwords, some of them for a day.
    """


@dataclass(frozen=True, slots=True)
class RawReading:
    """What a device said of one tag.

    Attributes:
        tag: which.
        monotonic: when the answer had arrived (`Clock.now`).
        raw: the value as it was; None: there is none, and `reason` says why.
        reason: of that.
        at: the device's own time of it, in microseconds UTC, where it was kept there and read later.
        uncertain: why the value is not to be trusted; empty: it is.
        present: `at` is when it happened, and it is how things are: not one of those that were kept and come late.
        event: the device tells that something has happened: a sample, however little it differs from the last one.
    """

    tag: TagSettings
    monotonic: int
    raw: Value | None = None
    reason: str = ""
    at: int | None = None
    uncertain: str = ""
    present: bool = False
    event: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """What a device had kept by itself.

    Attributes:
        readings: with `at`, those of each tag in the order of their times.
        period: microseconds between two of a tag; 0: it keeps by event, or does not say.
    """

    readings: Sequence[RawReading]
    period: int = 0


class Driver(Protocol):
    """Reads one station. One call at a time."""

    async def read(self, tags: Sequence[TagSettings]) -> list[RawReading]:
        """The values of `tags`, in any order, one reading each. What the device refuses is a reading with a reason.

        Beside them come events, and what the device has kept, several of a tag if there are, in the order of their
        times. A reading of which the device says nothing new (a row of a profile) may be missing.

        Cancelled, it leaves nothing under way that a later call could take for its own.

        Raises:
            StationSilent: nothing could be read at all.
            StationRefused: nothing will be read until the configuration changes.
        """

    async def close(self) -> None:
        """Give back what it holds: there will be no more calls."""


@runtime_checkable
class Telling(Protocol):
    """A driver whose calls may take minutes, and that says why."""

    @property
    def trying(self) -> str:
        """What has gone wrong in the call that runs, and what is tried now; empty: nothing has, or no call runs."""


@runtime_checkable
class Historian(Protocol):
    """A driver whose device keeps a record of its own."""

    async def history(self, tags: Sequence[TagSettings], start: int, end: int) -> Record:
        """What the device kept of `tags` from `start` to `end`, both within, in microseconds UTC.

        Raises:
            StationSilent: nothing could be read at all.
            StationRefused: nothing will be read until the configuration changes.
            ProtocolError: the device has no such record, or does not give it.
        """
