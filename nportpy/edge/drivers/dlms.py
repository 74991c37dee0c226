"""DLMS/COSEM meters as stations: attributes of objects, and the rows of load profiles with the meter's own time.

A tag's `at` is an OBIS code, as meters/dlms/places.py has them. A number comes with the meter's scaler and, where the
tag names a unit of the same kind (kWh for Wh), in that unit, exactly. A tag that has a `scale` converts by itself: its
number is the meter's, in the meter's unit.
"""

import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Final, Protocol

from nportpy.edge.clock import Clock
from nportpy.edge.driver import RawReading, StationRefused, StationSilent
from nportpy.edge.drivers.dlms_rows import Known, Span, column_of, moment_of
from nportpy.edge.settings import StationSettings, TagSettings
from nportpy.errors import LineError, ProtocolError
from nportpy.meters.dlms.errors import AuthenticationRefused, ServiceRefused
from nportpy.meters.dlms.objects import Attribute, Profile, Result
from nportpy.meters.dlms.places import Place, name_of
from nportpy.meters.dlms.settings import DlmsSettings
from nportpy.meters.dlms.values import Meant, is_time_of, meaning, plain
from nportpy.protocols.dlms.obis import Obis
from nportpy.protocols.dlms.results import Refused
from nportpy.protocols.dlms.units import power_between

REFUSED_PAUSE: Final = 3600 * 1_000_000
"""Microseconds for which a tag is not asked again that the meter refuses for good."""

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
        asked = [tag for tag in tags if tag not in held]
        profiles: dict[bytes, list[TagSettings]] = {}
        for tag in asked:
            if (profile := self._places[tag.name].profile) and self._clock.state().trusted:
                profiles.setdefault(profile, []).append(tag)
        heard = False
        try:
            if plain_tags := [tag for tag in asked if not self._places[tag.name].profile]:
                readings += await self._answered(self._attributes(plain_tags), plain_tags)
                heard = True
            for profile, wanted in profiles.items():
                readings += await self._answered(self._rows(profile, wanted), wanted)
                heard = True
        except AuthenticationRefused as error:
            raise StationRefused(str(error)) from None
        except (LineError, ProtocolError) as error:
            if not heard:
                raise StationSilent(str(error)) from None
            done = {reading.tag.name for reading in readings}
            left = [tag for wanted in profiles.values() for tag in wanted if tag.name not in done]
            readings += [RawReading(tag, self._clock.now(), reason=str(error)) for tag in left]
        return readings

    async def close(self) -> None:
        """See `Driver`."""
        await self._meter.close()

    async def _answered(
        self, asking: Coroutine[None, None, list[RawReading]], tags: Sequence[TagSettings]
    ) -> list[RawReading]:
        """What came of asking; a meter that refuses the whole question has answered, too."""
        try:
            return await asking
        except ServiceRefused as error:
            return [RawReading(tag, self._clock.now(), reason=str(error)) for tag in tags]

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

    async def _rows(self, profile: bytes, tags: Sequence[TagSettings]) -> list[RawReading]:
        known = self._profiles.setdefault(profile, Known(self._newest))
        span = known.span(tags, self._clock.wall())
        if span is None:
            return []
        answer = await self._meter.profile(profile, *span.bounds)
        known.learn(answer)
        readings: list[RawReading] = []
        for tag in tags:
            number = column_of(answer.columns, self._places[tag.name].attribute)
            if number is None:
                readings.append(self._no_column(tag, profile, answer))
            else:
                readings += self._column(tag, number, answer, known, span)
        return readings

    def _column(self, tag: TagSettings, number: int, answer: Profile, known: Known, span: Span) -> list[RawReading]:
        """The new rows as readings. The newest of all is how things are; the others are what they were."""
        column, now = answer.columns[number], self._clock.now()
        time = is_time_of(column.class_id, column.attribute, column.obis)
        readings = []
        for row in known.fresh(tag, answer.rows, span):
            meant = meaning(row.values[number], self._settings, scaler=column.scaler, unit=column.unit, time=time)
            if row.doubtful and not meant.doubt:
                meant = replace(meant, doubt=_DOUBT)
            assert row.at is not None
            readings.append(replace(_reading(tag, now, meant), at=moment_of(row.at)))
        if readings and span.last:
            readings[-1] = replace(readings[-1], present=True, event=True)
        return readings

    def _no_column(self, tag: TagSettings, profile: bytes, answer: Profile) -> RawReading:
        names = ", ".join(name_of(Attribute(each.obis, each.attribute)) for each in answer.columns) or "none"
        place = name_of(self._places[tag.name].attribute)
        return self._hold(tag, f"profile {Obis(profile)} has no column {place}; it has {names}", self._clock.now())

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
        power, odd = _power(tag, meant.unit)
        doubt = doubt or odd
    return RawReading(tag, now, plain(meant.value, power), uncertain=doubt)


def _power(tag: TagSettings, unit: str) -> tuple[int, str]:
    """The power of ten from the meter's unit to the tag's, and why the number is doubtful."""
    if not tag.unit or not unit or tag.scale != 1.0:
        return 0, ""
    power = power_between(unit, tag.unit)
    return (0, f"the meter counts in {unit}, the tag says {tag.unit}") if power is None else (power, "")
