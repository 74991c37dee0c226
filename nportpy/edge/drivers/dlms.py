"""DLMS/COSEM meters as stations: attributes of objects, and the rows of load profiles with the meter's own time.

A tag's `at` is an OBIS code, as meters/dlms/places.py has them. A number comes with the meter's scaler and, where the
tag names a unit of the same kind (kWh for Wh), in that unit, exactly. A tag that has a `scale` converts by itself: its
number is the meter's, in the meter's unit.

What was not read, because the gateway or the line was away, is filled from the station's `history`, a profile, when
edge/history.py asks for it.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Final, Protocol

from nportpy.edge.clock import Clock
from nportpy.edge.driver import RawReading, Record, StationRefused, StationSilent
from nportpy.edge.drivers.dlms_rows import Known, Span, column_of, moment_of
from nportpy.edge.drivers.units import power as power_to
from nportpy.edge.settings import StationSettings, TagSettings
from nportpy.errors import LineError, ProtocolError
from nportpy.meters.dlms.errors import AuthenticationRefused, ServiceRefused
from nportpy.meters.dlms.objects import Attribute, Profile, Result, Row
from nportpy.meters.dlms.places import Place, name_of
from nportpy.meters.dlms.settings import DlmsSettings
from nportpy.meters.dlms.values import Meant, is_time_of, meaning, plain
from nportpy.protocols.dlms.obis import Obis
from nportpy.protocols.dlms.results import Refused

REFUSED_PAUSE: Final = 3600 * 1_000_000
"""Microseconds for which is not asked again what the meter refuses for good."""

_DOUBT: Final = "the meter's clock doubts it"

log = logging.getLogger(__name__)


class Meter(Protocol):
    """What the driver wants of a client (`DlmsClient`)."""

    async def read(self, attributes: Sequence[Attribute], *, scaled: bool = True) -> list[Result]:
        """See `DlmsClient`."""

    async def profile(self, obis: bytes, start: datetime, end: datetime) -> Profile:
        """See `DlmsClient`."""

    async def close(self) -> None:
        """See `DlmsClient`."""


class DlmsDriver:
    """Reads a meter: see `Driver`."""

    def __init__(
        self,
        station: StationSettings,
        settings: DlmsSettings,
        meter: Meter,
        clock: Clock,
        newest: Callable[[TagSettings], int | None] = lambda _: None,
    ) -> None:
        """Nothing is asked yet.

        Args:
            station: its tags.
            settings: how the meter is reached; its zone.
            meter: asks it; closed with the driver.
            clock: stamps what comes.
            newest: when the newest sample of a tag was that the archive has, in microseconds UTC.
        """
        self._station = station.name
        self._places = {tag.name: Place.parse(tag.at) for tag in station.tags}
        self._history = station.history.profile if station.history is not None else b""
        columns = {tag.name: self._column_that_fills(tag) for tag in station.tags}
        self._filled = {name: column for name, column in columns.items() if column is not None}
        self._settings = settings
        self._meter = meter
        self._clock = clock
        self._newest = newest
        self._profiles: dict[bytes, Known] = {}
        self._refused: dict[str, tuple[int, str]] = {}  # until when a tag is not asked, and why

    async def read(self, tags: Sequence[TagSettings]) -> list[RawReading]:
        """See `Driver`. A tag in a profile has as many readings as there are new rows, and none if there are none."""
        now = self._clock.now()
        held = [tag for tag in tags if self._refused.get(tag.name, (0, ""))[0] > now]
        readings = [RawReading(tag, now, reason=self._refused[tag.name][1]) for tag in held]
        live = [tag for tag in tags if not self._places[tag.name].profile and tag not in held]
        kept: dict[bytes, list[TagSettings]] = {}
        for tag in tags:
            if (profile := self._places[tag.name].profile) and tag not in held:
                kept.setdefault(profile, []).append(tag)
        try:
            if live:
                await self._present(live, readings)
            for profile, inside in kept.items():
                await self._kept(profile, inside, readings)
        except AuthenticationRefused as error:
            raise StationRefused(str(error)) from None
        except (LineError, ProtocolError) as error:
            if len(readings) == len(held):
                raise StationSilent(str(error)) from None
            done = {reading.tag.name for reading in readings}
            readings += [RawReading(tag, self._clock.now(), reason=str(error)) for tag in tags if tag.name not in done]
        return readings

    async def close(self) -> None:
        """See `Driver`."""
        await self._meter.close()

    # Both add to `readings`, so that what was read before an error counts.

    async def _present(self, tags: Sequence[TagSettings], readings: list[RawReading]) -> None:
        """Read tags as they are now."""
        try:
            readings += await self._attributes(tags)
        except ServiceRefused as error:  # it has answered
            readings += [RawReading(tag, self._clock.now(), reason=str(error)) for tag in tags]

    async def _kept(self, profile: bytes, tags: Sequence[TagSettings], readings: list[RawReading]) -> None:
        """Read what new rows a profile has for the tags in it."""
        if not self._clock.state().trusted:
            return  # from when on rows are new, nobody knows
        try:
            found, missing = await self._rows(profile, tags)
        except ServiceRefused as error:
            found, missing = [], [(tag, str(error)) for tag in tags]
        readings += [reading for rows in found for reading in rows]
        readings += [self._hold(tag, reason, self._clock.now()) for tag, reason in missing]

    async def _attributes(self, tags: Sequence[TagSettings]) -> list[RawReading]:
        wanted = list(dict.fromkeys(self._places[tag.name].attribute for tag in tags))
        results = dict(zip(wanted, await self._meter.read(wanted), strict=True))
        now = self._clock.now()
        readings = []
        for tag in tags:
            result = results[self._places[tag.name].attribute]
            if result.reason or result.code:
                readings.append(self._refusal(tag, result, now))
                continue
            self._refused.pop(tag.name, None)
            asked = result.asked
            time = is_time_of(result.class_id or asked.class_id, asked.attribute, asked.obis)
            meant = meaning(result.value, self._settings, scaler=result.scaler, unit=result.unit, time=time)
            readings.append(_reading(tag, now, meant))
        return readings

    async def _rows(
        self, profile: bytes, tags: Sequence[TagSettings]
    ) -> tuple[list[list[RawReading]], list[tuple[TagSettings, str]]]:
        """The new rows of a profile for each tag, the newest marked as the present; and tags that have no column."""
        known = self._known(profile)
        span = known.span(tags, self._clock.wall())
        if span is None:
            return [], []
        answer = await self._meter.profile(profile, *span.bounds)
        known.learn(answer)
        found: list[list[RawReading]] = []
        missing: list[tuple[TagSettings, str]] = []
        for tag in tags:
            attribute = self._places[tag.name].attribute
            number = column_of(answer.columns, attribute)
            if number is None:
                missing.append((tag, self._no_column(profile, attribute, answer)))
                continue
            column = self._column(tag, number, answer, known.fresh(tag, answer.rows, span))
            if column and span.last:
                column[-1] = replace(column[-1], present=True, event=True)
            found.append(column)
        return found, missing

    @staticmethod
    def _no_column(profile: bytes, wanted: Attribute, answer: Profile) -> str:
        names = ", ".join(name_of(Attribute(each.obis, each.attribute)) for each in answer.columns) or "none"
        return f"profile {Obis(profile)} has no column {name_of(wanted)}; it has {names}"

    def _column(self, tag: TagSettings, number: int, answer: Profile, rows: Sequence[Row]) -> list[RawReading]:
        column, now = answer.columns[number], self._clock.now()
        time = is_time_of(column.class_id, column.attribute, column.obis)
        readings = []
        for row in rows:
            meant = meaning(row.values[number], self._settings, scaler=column.scaler, unit=column.unit, time=time)
            if row.doubtful and not meant.doubt:
                meant = replace(meant, doubt=_DOUBT)
            assert row.at is not None
            readings.append(replace(_reading(tag, now, meant), at=moment_of(row.at)))
        return readings

    # Filling gaps.

    def _column_that_fills(self, tag: TagSettings) -> Attribute | None:
        """The column of the station's history that a tag's gaps are filled from; None: they are not."""
        place = self._places[tag.name]
        if not self._history or place.profile or tag.history == "":
            return None
        return place.attribute if tag.history is None else Place.parse(tag.history).attribute

    async def history(self, tags: Sequence[TagSettings], start: int, end: int) -> Record:
        """See `Historian`: the rows of the station's profile, as far as it has columns for `tags`."""
        wanted = [tag for tag in tags if tag.name in self._filled]
        if not wanted:
            return Record(())
        try:
            answer = await self._meter.profile(self._history, *Span(start, end, last=False).bounds)
        except AuthenticationRefused as error:
            raise StationRefused(str(error)) from None
        except ServiceRefused:
            raise  # the meter has no such profile, or does not give it
        except (LineError, ProtocolError) as error:
            raise StationSilent(str(error)) from None
        rows = [row for row in answer.rows if row.at is not None and start <= moment_of(row.at) <= end]
        readings: list[RawReading] = []
        for tag in wanted:
            number = column_of(answer.columns, self._filled[tag.name])
            if number is not None:
                readings += self._column(tag, number, answer, rows)
            elif self._filled.pop(tag.name) and tag.history is not None:
                reason = self._no_column(self._history, self._places[tag.name].attribute, answer)
                extra = {"station": self._station, "tag": tag.name, "reason": reason}
                log.warning("gaps of a tag cannot be filled", extra=extra)
        return Record(readings, answer.period * 1_000_000)

    def _known(self, profile: bytes) -> Known:
        return self._profiles.setdefault(profile, Known(self._newest))

    # What the meter refuses.

    def _refusal(self, tag: TagSettings, result: Result, now: int) -> RawReading:
        refused = Refused(result.code)
        reason = result.reason or str(refused)
        return self._hold(tag, reason, now) if refused.permanent else RawReading(tag, now, reason=reason)

    def _hold(self, tag: TagSettings, reason: str, now: int) -> RawReading:
        """What will be the same tomorrow is not asked each minute."""
        if self._refused.get(tag.name, (0, ""))[1] != reason:
            extra = {"station": self._station, "tag": tag.name, "at": tag.at, "reason": reason}
            log.warning("the meter refuses a tag; it is asked again in an hour", extra=extra)
        self._refused[tag.name] = now + REFUSED_PAUSE, reason
        return RawReading(tag, now, reason=reason)


def _reading(tag: TagSettings, now: int, meant: Meant) -> RawReading:
    if meant.value is None:
        return RawReading(tag, now, reason=meant.reason)
    power, doubt = 0, meant.doubt
    if isinstance(meant.value, int | float | Decimal) and not isinstance(meant.value, bool):
        power, odd = power_to(tag, meant.unit)
        doubt = doubt or odd
    return RawReading(tag, now, plain(meant.value, power), uncertain=doubt)
