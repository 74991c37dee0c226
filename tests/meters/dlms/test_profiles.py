"""Load profiles of simulated meters, by range, by entry, and whole; what the client makes of odd ones."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from nportpy.meters.dlms.errors import ServiceRefused
from nportpy.meters.dlms.objects import Profile
from nportpy.meters.dlms.settings import Bounds, DlmsSettings
from nportpy.simulator.cosem.acse import Conformance
from nportpy.simulator.cosem.frames import Address
from nportpy.simulator.cosem.meter import START, Meter, MeterSettings
from nportpy.simulator.cosem.mt880 import CONFORMANCE
from nportpy.simulator.cosem.profile import ProfileSettings
from tests.meters.dlms.support import LN, PUBLIC, SN, Mt880Settings, ZmdSettings, conversing, mt880, wired, zmd

LOAD = bytes((1, 0, 99, 1, 0, 255))
QUARTER = timedelta(minutes=15)
END = START.replace(minute=45, second=0)
"""The newest row of a meter that starts at START."""


def profiled(**keys: object) -> ProfileSettings:
    return ProfileSettings(**keys)  # type: ignore[arg-type]


def rows(meter: Meter, settings: DlmsSettings, start: datetime, end: datetime) -> Profile:
    return conversing(wired(meter), lambda client: client.profile(LOAD, start, end), settings)


def check(found: Profile, start: datetime, end: datetime) -> None:
    """Each quarter of an hour once, the oldest first, with values that grow."""
    count = int((end - start) / QUARTER) + 1
    assert [row.at for row in found.rows] == [start + number * QUARTER for number in range(count)]
    energies = [row.values[2] for row in found.rows]
    assert all(isinstance(each, int) for each in energies)
    assert energies == sorted(energies)  # type: ignore[type-var]
    assert found.period == 900
    assert (found.columns[2].scaler, found.columns[2].unit) == (0, 30)


@pytest.mark.parametrize("bounds", Bounds)
@pytest.mark.parametrize("hours", [0, 1, 30])
@pytest.mark.long
def test_rows_of_a_time_however_they_are_asked_for(bounds: Bounds, hours: int) -> None:
    start = END - timedelta(hours=hours)
    for meter, settings in ((mt880(), LN), (zmd(), SN), (zmd(ZmdSettings(blocks=True)), SN)):
        check(rows(meter, replace(settings, bounds=bounds), start, END), start, END)


def test_bounds_that_lie_between_rows() -> None:
    found = rows(mt880(), LN, END - timedelta(minutes=20), END + timedelta(minutes=5))
    assert [row.at for row in found.rows] == [END - QUARTER, END]


def test_a_time_without_rows_has_none() -> None:
    found = rows(mt880(), LN, END + timedelta(hours=1), END + timedelta(hours=2))
    assert (list(found.rows), len(found.columns)) == ([], 5)


@pytest.mark.parametrize("number", range(len(ProfileSettings.__dataclass_fields__)))
def test_field_11_and_12_every_way_of_a_simulated_profile(number: int) -> None:
    """What the simulated meters can do oddly: bounds refused, entries only, nulls, newest first, everything given."""
    name = list(ProfileSettings.__dataclass_fields__)[number]
    default = getattr(ProfileSettings(), name)
    odd: list[object] = [not default] if isinstance(default, bool) else []
    if not odd and hasattr(type(default), "__members__"):
        odd = [each for each in type(default) if each is not default]
    start = END - timedelta(hours=3)
    for value in odd:
        profile = profiled(**{name: value})
        common = MeterSettings(Address(1, 0), profile=profile)
        for meter, settings in (
            (mt880(Mt880Settings(meter=common)), LN),
            (zmd(ZmdSettings(meter=common)), SN),
        ):
            check(rows(meter, settings, start, END), start, END)


def test_without_selection_everything_is_read_and_cut() -> None:
    small = MeterSettings(Address(1, 0), profile=profiled(entries=50))
    meter = mt880(Mt880Settings(meter=small, conformance=CONFORMANCE & ~Conformance.SELECTIVE))
    start = END - timedelta(hours=2)
    check(rows(meter, LN, start, END), start, END)


def test_a_profile_that_is_none_and_one_without_rights() -> None:
    for meter, settings in ((mt880(), LN), (zmd(), SN)):
        with pytest.raises(ServiceRefused, match=r"profile 1\.0\.99\.77\.0\.255: result 4, object undefined"):
            conversing(
                wired(meter),
                lambda client: client.profile(bytes((1, 0, 99, 77, 0, 255)), END - QUARTER, END),
                settings,
            )
    with pytest.raises(ServiceRefused, match="no right"):
        rows(mt880(), PUBLIC, END - QUARTER, END)


def test_where_clocks_are_put_back_no_row_is_lost() -> None:
    """Local times without deviation come twice on 2026-10-25; by UTC each row is there once."""
    end = datetime(2026, 10, 25, 6, 0, tzinfo=UTC)
    common = MeterSettings(Address(1, 0), start=end + timedelta(minutes=5))
    for start in (end - timedelta(hours=hours) for hours in (4, 5, 6, 7, 8)):
        check(rows(mt880(Mt880Settings(meter=common)), LN, start, end), start, end)
        later = start + timedelta(hours=1)
        check(rows(mt880(Mt880Settings(meter=common)), LN, start, later), start, later)


def test_a_clock_in_another_zone_than_is_configured() -> None:
    """Bounds are the meter's local time, which its clock tells better than a configuration that nobody has set."""
    start = END - timedelta(hours=3)
    for meter, settings in ((mt880(), LN), (zmd(), SN)):
        check(rows(meter, replace(settings, zone=ZoneInfo("America/New_York")), start, END), start, END)


def test_columns_are_learnt_once() -> None:
    line = wired()

    async def twice(client: object) -> int:
        await client.profile(LOAD, END - QUARTER, END)  # type: ignore[attr-defined]
        before = len(line.sent_frames)
        await client.profile(LOAD, END - QUARTER, END)  # type: ignore[attr-defined]
        return len(line.sent_frames) - before

    assert conversing(line, twice) <= 3
