"""Reading load profiles: the rows of a time, however a meter wants to be asked for them.

By range: the bounds are the meter's local time without deviation, or with it; who refuses one form takes the other. By
entry: the numbers of rows, from the newest back. All of it: where the meter agreed to no selection.

What a meter answers is sorted, and cut to what was asked for: some include a bound, some do not, some give everything.
"""

import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final

from nportpy.errors import ProtocolError
from nportpy.meters.dlms.catalogue import UNDEFINED, Catalogue, Scaler
from nportpy.meters.dlms.errors import ServiceRefused
from nportpy.meters.dlms.objects import Attribute, Column, Profile, Row
from nportpy.meters.dlms.services import Services, Wanted
from nportpy.meters.dlms.settings import Bounds, Deviation, DlmsSettings, Referencing
from nportpy.meters.dlms.values import moment_of
from nportpy.protocols.dlms import profile as codec
from nportpy.protocols.dlms.acse import Conformance
from nportpy.protocols.dlms.classes import (
    CLOCK,
    PROFILE_BUFFER,
    PROFILE_COLUMNS,
    PROFILE_GENERIC,
    PROFILE_IN_USE,
    PROFILE_PERIOD,
    PROFILE_SORT,
    PROFILE_SORT_OBJECT,
)
from nportpy.protocols.dlms.clock import DATE_TIME_SIZE, DateTime
from nportpy.protocols.dlms.obis import Obis
from nportpy.protocols.dlms.profile import LIFO, Captured, ProfileRow
from nportpy.protocols.dlms.results import Refused, Result

log = logging.getLogger(__name__)

ENTRIES_AT_ONCE: Final = 96
"""Rows in one answer, where they are asked for by their numbers: a day of quarters of an hour."""

_CLOCK: Final = Captured(CLOCK, Obis.parse("0.0.1.0.0.255"))
_FOR_GOOD: Final = frozenset((3, 4, 13))  # results that no other form of the question changes
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FARTHEST: Final = 14 * 60  # minutes that any clock is from UTC
_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class _About:
    """What is known of a profile.

    Attributes:
        buffer: how its rows are asked for.
        in_use: how the number of its rows is.
        columns: what is captured.
        shown: the same with scalers.
        period: seconds between rows; 0: by event.
        newest_first: how it is sorted.
        restricting: the column that bounds are for.
        zone: of the meter's clock, for bounds without a deviation.
        vague: what is known of that is its present offset, so an hour more or less counts.
    """

    buffer: Wanted
    in_use: Wanted
    columns: Sequence[Captured]
    shown: Sequence[Column]
    period: int
    newest_first: bool
    restricting: Captured
    zone: tzinfo
    vague: bool


class Profiles:
    """Reads profiles of one meter."""

    def __init__(self, settings: DlmsSettings, services: Services, catalogue: Catalogue) -> None:
        """Nothing is known of any."""
        self._settings = settings
        self._services = services
        self._catalogue = catalogue
        self._known: dict[bytes, tuple[int, _About]] = {}
        self._bounds: dict[bytes, Bounds] = {}  # that a profile's meter takes

    async def read(self, obis: bytes, start: datetime, end: datetime) -> Profile:
        """The rows from `start` to `end`, both within.

        Raises:
            ServiceRefused: the meter has no such profile, or does not give it.
            as `Services.get`.
        """
        about = await self._about(obis)
        found: dict[int, ProfileRow] = {}
        first, last = _microseconds(start), _microseconds(end)
        for row in await self._rows(obis, about, start, end):
            if row.at is not None and first <= row.at <= last:
                found[row.at] = row
        rows = [Row(_EPOCH + timedelta(microseconds=at), found[at].uncertain, found[at].values) for at in sorted(found)]
        return Profile(about.shown, rows, about.period)

    # What a profile is.

    async def _about(self, obis: bytes) -> _About:
        generation, known = self._known.get(obis, (-1, None))
        if known is None or generation != self._catalogue.generation:
            known = await self._learn(obis)
            self._known[obis] = self._catalogue.generation, known
        return known

    async def _learn(self, obis: bytes) -> _About:
        wanted = [await self._attribute(obis, number) for number in (
            PROFILE_COLUMNS, PROFILE_PERIOD, PROFILE_SORT, PROFILE_SORT_OBJECT, PROFILE_BUFFER, PROFILE_IN_USE
        )]  # fmt: skip
        found: dict[Wanted, Result | ProtocolError] = {}
        await self._services.fetch(wanted[:4], found)
        captured, period, sort, sort_object = (found[each] for each in wanted[:4])
        if isinstance(captured, ProtocolError):
            raise captured
        if isinstance(captured, Refused):
            raise ServiceRefused(f"profile {Obis(obis)}: {captured}")
        columns = codec.columns(captured)
        zone, vague = await self._clock()
        return _About(
            wanted[4],
            wanted[5],
            columns,
            await self._shown(columns),
            period if isinstance(period, int) and period > 0 else 0,
            sort == LIFO,
            _restricting(columns, sort_object),
            zone,
            vague,
        )

    async def _clock(self) -> tuple[tzinfo, bool]:
        """The zone of the meter's clock: the one that is configured, unless the clock itself says otherwise."""
        configured, way = self._settings.zone, self._settings.deviation
        located = await self._catalogue.locate(Attribute(_CLOCK.name.code, _CLOCK.attribute, CLOCK))
        found: dict[Wanted, Result | ProtocolError] = {}
        if located is not None and way is not Deviation.IGNORED:
            await self._services.fetch([located.wanted], found)
            value = found[located.wanted]
            stamp = DateTime.parse(value) if isinstance(value, bytes) and len(value) == DATE_TIME_SIZE else value
            if isinstance(stamp, DateTime) and (moment := moment_of(stamp, self._settings)) is not None:
                ahead = stamp.deviation if way is Deviation.INVERTED else -stamp.deviation
                there = (_EPOCH + timedelta(microseconds=moment)).astimezone(configured)
                if abs(ahead) <= _FARTHEST and there.utcoffset() != timedelta(minutes=ahead):
                    return timezone(timedelta(minutes=ahead)), True
        return configured, False

    async def _attribute(self, obis: bytes, number: int) -> Wanted:
        located = await self._catalogue.locate(Attribute(obis, number, PROFILE_GENERIC))
        if located is None:
            raise ServiceRefused(f"profile {Obis(obis)}: {Refused(UNDEFINED)}")
        return located.wanted

    async def _shown(self, columns: Sequence[Captured]) -> list[Column]:
        """The columns with scalers and units."""
        places = [
            await self._catalogue.locate(Attribute(each.name.code, each.attribute, each.class_id)) for each in columns
        ]
        wanted = [None if place is None else place.scaler for place in places]
        unknown = [each for each in wanted if each is not None and not self._catalogue.knows_scaler(each)]
        found: dict[Wanted, Result | ProtocolError] = {}
        await self._services.fetch(unknown, found)
        self._catalogue.learn_scalers(unknown, found)
        scalers: list[Scaler] = [None if each is None else self._catalogue.scaler(each) for each in wanted]
        return [
            Column(each.class_id, each.name.code, each.attribute, each.index, *(scaler or (None, None)))
            for each, scaler in zip(columns, scalers, strict=True)
        ]

    # Its rows.

    async def _rows(self, obis: bytes, about: _About, start: datetime, end: datetime) -> list[ProfileRow]:
        by_names = self._settings.referencing is Referencing.SHORT
        selection = Conformance.PARAMETERISED_ACCESS if by_names else Conformance.SELECTIVE_ACCESS
        if not self._services.may(selection):
            return self._understood(about, await self._value(about.buffer, b""))
        configured = self._bounds.get(obis, self._settings.bounds)
        refusal: ServiceRefused | None = None
        for bounds in (configured, *(each for each in Bounds if each is not configured)):
            try:
                if bounds is Bounds.ENTRIES:
                    found = [row async for row in self._by_entry(about, start)]
                else:
                    found = await self._by_range(about, start, end, bounds)
            except _RefusedSelectionError as error:
                refusal = refusal or ServiceRefused(f"profile {Obis(obis)}: {error}")
                continue
            if bounds is not configured:
                log.debug(
                    "the meter takes other bounds of a profile", extra={"profile": str(Obis(obis)), "bounds": bounds}
                )
            self._bounds[obis] = bounds
            return found
        assert refusal is not None  # each has been refused
        raise refusal

    async def _by_range(self, about: _About, start: datetime, end: datetime, bounds: Bounds) -> list[ProfileRow]:
        # A row may carry the end of its period or its beginning, and meters include a bound or do not.
        start -= timedelta(seconds=about.period)
        deviation = bounds is Bounds.DEVIATION
        zone = self._settings.zone if deviation else about.zone
        first, last = start.astimezone(zone), end.astimezone(zone)
        if not deviation:
            first -= _HOUR * (about.vague or _comes_twice(first))
            last += _HOUR * (about.vague or _comes_twice(last))
        selection = codec.by_range(
            about.restricting, DateTime.of(first, deviation=deviation), DateTime.of(last, deviation=deviation)
        )
        return self._understood(about, await self._value(about.buffer, selection))

    async def _by_entry(self, about: _About, start: datetime) -> AsyncIterator[ProfileRow]:
        """From the newest row back to `start`, in portions; the oldest first in each."""
        in_use = await self._value(about.in_use, b"")
        if not isinstance(in_use, int):
            raise ProtocolError(f"the number of a profile's rows is none: {in_use!r}")
        done = 0
        while done < in_use:
            size = min(ENTRIES_AT_ONCE, in_use - done)
            first = done + 1 if about.newest_first else in_use - done - size + 1
            rows = self._understood(about, await self._value(about.buffer, codec.by_entry(first, first + size - 1)))
            for row in rows:
                yield row
            oldest = min((row.at for row in rows if row.at is not None), default=None)
            if oldest is None or oldest < _microseconds(start):
                return
            done += size

    async def _value(self, wanted: Wanted, selection: bytes) -> Result:
        asked = Wanted(wanted.class_id, wanted.obis, wanted.number, wanted.name, selection)
        try:
            value = await self._services.get(asked, self._settings.long_response)
        except ServiceRefused as error:
            if selection:
                raise _RefusedSelectionError(str(error)) from None
            raise
        if isinstance(value, Refused):
            if selection and value.code not in _FOR_GOOD:
                raise _RefusedSelectionError(str(value))
            raise ServiceRefused(str(value))
        return value

    def _understood(self, about: _About, buffer: Result) -> list[ProfileRow]:
        assert not isinstance(buffer, Refused)  # `_value` sees to that
        step = -about.period if about.newest_first else about.period
        return codec.rows(buffer, about.columns, lambda stamp: moment_of(stamp, self._settings), step)


class _RefusedSelectionError(ServiceRefused):
    """Rows were refused as they were asked for."""


def _restricting(columns: Sequence[Captured], sort_object: Result | ProtocolError) -> Captured:
    """The column that bounds are for: the sort object, if it is a clock."""
    try:
        if not isinstance(sort_object, Refused | ProtocolError):
            given = codec.captured(sort_object)
            if given.class_id == CLOCK:
                return given
    except ProtocolError:
        pass  # many meters have none there
    return next((each for each in columns if each.is_clock), _CLOCK)


def _comes_twice(moment: datetime) -> bool:
    """Whether a local time means two moments, as clocks are put back."""
    return moment.replace(fold=0).utcoffset() != moment.replace(fold=1).utcoffset()


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
