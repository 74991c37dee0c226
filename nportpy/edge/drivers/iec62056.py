"""IEC 62056-21 meters as stations: one readout gives all tags, load profiles give rows with the meter's own time.

A tag's `at` is a code as meters print it, in any form (protocols/iec62056/codes.py), or `1.5.0 in P.01`: a column of a
load profile. A number comes in the tag's unit where that is of the meter's kind (kWh for Wh), exactly. A tag that has a
`scale` converts by itself: its number is the meter's, in the meter's unit. Where the meter prints no unit, energy is in
kWh and power in kW.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from nportpy.edge.clock import Clock
from nportpy.edge.driver import RawReading, StationRefused, StationSilent
from nportpy.edge.drivers.units import power as power_to
from nportpy.edge.settings import ReadoutPlace, StationSettings, TagSettings
from nportpy.errors import LineError, ProtocolError
from nportpy.line.lease_base import Leased
from nportpy.meters.iec62056.client import Iec62056Client
from nportpy.meters.iec62056.errors import PasswordRefused
from nportpy.meters.iec62056.settings import Iec62056Settings, Reading
from nportpy.protocols.iec62056.codes import find, is_text, unit_of
from nportpy.protocols.iec62056.datasets import DataSet
from nportpy.protocols.iec62056.profile import Row
from nportpy.protocols.iec62056.values import number
from nportpy.protocols.modbus.values import Value

DEPTH: Final = timedelta(days=31)
"""How far a profile is looked back at most."""

CHUNK: Final = timedelta(days=1)
"""What is asked for at once: a meter sends 96 rows of it in a minute or so."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

log = logging.getLogger(__name__)


class Iec62056Driver:
    """Reads a meter: see `Driver`.

    Attributes:
        client: asks it.
        trying: what has gone wrong in the call that runs, and what is tried now.
    """

    def __init__(
        self,
        station: StationSettings,
        settings: Iec62056Settings,
        lend: Callable[[float], AbstractAsyncContextManager[Leased]],
        clock: Clock,
        newest: Callable[[TagSettings], int | None] = lambda _: None,
    ) -> None:
        """Nothing is asked yet.

        Args:
            station: its tags.
            settings: how the meter is reached.
            lend: takes the line for no more than so many seconds.
            clock: stamps what comes.
            newest: when the newest sample of a tag was that the archive has, in microseconds UTC.
        """
        self.client = Iec62056Client(settings, self._tell)
        self.trying = ""
        self._name = station.name
        self._settings = settings
        self._lend = lend
        self._clock = clock
        self._newest = newest
        self._places = {tag.name: ReadoutPlace(tag.at).parts for tag in station.tags}
        self._known: dict[str, datetime] = {}  # the newest row of a tag
        self._periods: dict[str, timedelta] = {}  # of a profile's rows

    async def read(self, tags: Sequence[TagSettings]) -> list[RawReading]:
        """See `Driver`. A tag in a profile has as many readings as there are new rows, and none if there are none."""
        plain = [tag for tag in tags if not self._places[tag.name][1]]
        profiles: dict[str, list[TagSettings]] = {}
        for tag in tags:
            if tag not in plain and self._clock.state().trusted:
                profiles.setdefault(self._places[tag.name][1], []).append(tag)
        readings: list[RawReading] = []
        heard = False
        try:
            if plain:
                readings += await self._present(plain)
                heard = True
            for address, wanted in profiles.items():
                readings += await self._rows(address, wanted)
                heard = True
        except PasswordRefused as error:
            raise StationRefused(str(error)) from None
        except (LineError, ProtocolError) as error:
            if not heard:
                raise StationSilent(str(error)) from None
            done = {reading.tag.name for reading in readings}
            left = [tag for wanted in profiles.values() for tag in wanted if tag.name not in done]
            readings += [RawReading(tag, self._clock.now(), reason=str(error)) for tag in left]
        finally:
            self.trying = ""
        return readings

    def _tell(self, what: str) -> None:
        if not self.trying:
            log.warning("meter cannot be read at once", extra={"station": self._name, "reason": what})
        self.trying = what

    async def close(self) -> None:
        """See `Driver`: between two rounds it holds nothing."""

    async def _present(self, tags: Sequence[TagSettings]) -> list[RawReading]:
        codes = list(dict.fromkeys(self._places[tag.name][0] for tag in tags))
        reasons: dict[str, str] = {}
        async with self._lend(self._settings.hold) as leased:
            if self._settings.reading is Reading.PROGRAMMING:
                registers = await self.client.registers(leased, codes)
                found = {each.address: each.sets[0] for each in registers if each.sets}
                reasons = {each.address: each.reason for each in registers}
            else:
                sets = (await self.client.readout(leased)).sets
                addresses = [each.address for each in sets]
                indices = {code: find(code, addresses) for code in codes}
                found = {code: sets[index] for code, index in indices.items() if index is not None}
        now = self._clock.now()
        readings = []
        for tag in tags:
            code = self._places[tag.name][0]
            if code in found:
                readings.append(reading(tag, now, found[code]))
            else:
                reason = reasons.get(code) or f"the meter's readout has no {code}"
                readings.append(RawReading(tag, now, reason=reason))
        return readings

    async def _rows(self, address: str, tags: Sequence[TagSettings]) -> list[RawReading]:
        wall = _EPOCH + self._clock.wall() * _MICROSECOND
        start = min(self._since(tag, wall) for tag in tags)
        if wall < start + self._periods.get(address, timedelta()):
            return []
        end = min(start + CHUNK, wall)
        async with self._lend(self._settings.hold) as leased:
            rows = await self.client.profile(leased, start, end, address)
        self._learn(address, rows)
        readings: list[RawReading] = []
        for tag in tags:
            fresh = self._fresh(tag, rows)
            column = self._column(tag, fresh)
            if column and end == wall and column[-1].at is not None:  # the newest of all is how things are
                column[-1] = replace(column[-1], present=True, event=True)
            readings += column
            newest = max((self._at(row) for row in fresh), default=self._known[tag.name])
            # A part of the past that had no rows is done with; at the present they may only be late.
            self._known[tag.name] = newest if end == wall else max(end, newest)
        return readings

    def _since(self, tag: TagSettings, wall: datetime) -> datetime:
        if tag.name not in self._known:
            self._known[tag.name] = _EPOCH + (self._newest(tag) or 0) * _MICROSECOND
        self._known[tag.name] = known = max(self._known[tag.name], wall - DEPTH)
        return min(known, wall)

    def _learn(self, address: str, rows: Sequence[Row]) -> None:
        if len(rows) > 1 and (period := rows[-1].stamp.local - rows[-2].stamp.local) > timedelta():
            self._periods[address] = period

    def _at(self, row: Row) -> datetime:
        return row.stamp.utc(self._settings.zone).replace(tzinfo=UTC)

    def _fresh(self, tag: TagSettings, rows: Sequence[Row]) -> list[Row]:
        """Rows that are new to a tag, the oldest first, each time once."""
        known = self._known[tag.name]
        found = {at: row for row in rows if (at := self._at(row)) > known}
        return [found[at] for at in sorted(found)]

    def _column(self, tag: TagSettings, rows: Sequence[Row]) -> list[RawReading]:
        now, (code, address) = self._clock.now(), self._places[tag.name]
        readings: list[RawReading] = []
        for row in rows:
            index = find(code, [column.code for column in row.columns])
            if index is None:
                has = ", ".join(column.code for column in row.columns)
                return [RawReading(tag, now, reason=f"profile {address} has no column {code}; it has {has}")]
            at = (self._at(row) - _EPOCH) // _MICROSECOND
            value, unit = row.values[index], row.columns[index].unit or unit_of(code)
            if value is None:
                readings.append(RawReading(tag, now, reason="the profile has no value there", at=at))
            else:
                readings.append(replace(_counted(tag, now, value, unit), at=at))
        return readings


def reading(tag: TagSettings, now: int, found: DataSet) -> RawReading:
    """What a data set is to a tag: a number in its unit, or a text."""
    if not found.value:
        return RawReading(tag, now, reason="the meter prints no value there")
    value = number(found.value)
    wants_number = bool(found.unit or tag.unit)
    if value is not None and (wants_number or not is_text(found.address)):
        return _counted(tag, now, value, found.unit or unit_of(found.address))
    if wants_number:
        return RawReading(tag, now, reason=f"the meter says {found.value!r}, which is no number")
    return RawReading(tag, now, found.value)


def _counted(tag: TagSettings, now: int, value: Decimal, unit: str) -> RawReading:
    power, doubt = power_to(tag, unit)
    return RawReading(tag, now, _plain(value.scaleb(power)), uncertain=doubt)


def _plain(value: Decimal) -> Value:
    """As archives have it: whole where nothing can stand behind its point."""
    exponent = value.as_tuple().exponent
    return int(value) if isinstance(exponent, int) and exponent >= 0 else float(value)
