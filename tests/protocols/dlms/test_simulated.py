"""Our services against the simulated meters, whose codec was written by other hands from the same references."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from nportpy.protocols.dlms import apdu, axdr, classes, logical, profile, short
from nportpy.protocols.dlms.blocks import Blocks
from nportpy.protocols.dlms.classes import object_list
from nportpy.protocols.dlms.clock import DateTime
from nportpy.protocols.dlms.logical import AttributeDescriptor, Got, GotBlock, GotList
from nportpy.protocols.dlms.obis import Obis
from nportpy.protocols.dlms.results import Refused, Result
from nportpy.protocols.dlms.short import ReadAnswer, ReadBlock, Variable
from nportpy.simulator.cosem.frames import Address
from nportpy.simulator.cosem.line import MeterLine
from nportpy.simulator.cosem.meter import START
from nportpy.simulator.cosem.mt880 import Mt880Settings, mt880
from nportpy.simulator.cosem.zmd import ZmdSettings, zmd
from tests.simulator.cosem.asking import LN_PASSWORD, SN_ASSOCIATE, SN_BLOCKS, Client

ENERGY, VOLTAGE, CLOCK, PROFILE = (
    Obis.parse(each) for each in ("1.0.1.8.0.255", "1.0.32.7.0.255", "0.0.1.0.0.255", "1.0.99.1.0.255")
)
ZONE = ZoneInfo("Europe/Bratislava")
TO = START
FROM = START - timedelta(hours=6)


def by_logical_names() -> Client:
    asking = Client(MeterLine([mt880(Mt880Settings())]), Address(1, 59).encode(), 1)
    asking.connect()
    assert asking.ask(LN_PASSWORD)[0] == 0x61
    return asking


def by_short_names(associate: bytes) -> Client:
    asking = Client(MeterLine([zmd(ZmdSettings())]))
    asking.connect()
    assert asking.ask(associate)[0] == 0x61
    return asking


def get(asking: Client, attribute: AttributeDescriptor) -> Result:
    answer = apdu.parse(asking.ask(logical.get(1, attribute)))
    blocks = Blocks()
    while isinstance(answer, GotBlock):
        assert isinstance(answer.raw, bytes)
        blocks.add(answer.number, answer.raw)
        if answer.last:
            return axdr.decode(blocks.joined())
        answer = apdu.parse(asking.ask(logical.get_next(1, blocks.received)))
    assert isinstance(answer, Got)
    return answer.result


def read(asking: Client, variable: Variable) -> Result:
    answer = apdu.parse(asking.ask(short.read([variable])))
    blocks = Blocks()
    while isinstance(answer, ReadBlock):
        blocks.add(answer.number, answer.raw)
        if answer.last:
            return short.joined(blocks.joined(), 1)[0]
        answer = apdu.parse(asking.ask(short.read_next(blocks.received)))
    assert isinstance(answer, ReadAnswer)
    return answer.results[0]


def value(result: Result) -> axdr.Value:
    assert not isinstance(result, Refused), str(result)
    return result


def test_values_by_logical_names() -> None:
    asking = by_logical_names()
    assert get(asking, AttributeDescriptor(3, ENERGY)) == 77_203_000
    assert classes.scaler_unit(value(get(asking, AttributeDescriptor(3, ENERGY, 3)))) == (0, 30)
    assert get(asking, AttributeDescriptor(3, Obis.parse("9.9.9"))) == Refused(4)
    answer = apdu.parse(
        asking.ask(logical.get_list(7, [AttributeDescriptor(3, VOLTAGE), AttributeDescriptor(8, ENERGY)]))
    )
    assert isinstance(answer, GotList)
    assert answer.invoke == 7
    assert [type(each) for each in answer.results] == [int, Refused]


def test_the_clock() -> None:
    stamp = value(get(by_logical_names(), AttributeDescriptor(8, CLOCK)))
    assert isinstance(stamp, bytes)
    assert DateTime.parse(stamp).moment() == int(START.timestamp() * 1e6)


def test_object_lists() -> None:
    asking = by_logical_names()
    found = object_list(value(get(asking, AttributeDescriptor(15, classes.CURRENT_ASSOCIATION))))
    assert {each.name.code for each in found} == {each.obis for each in asking.line.meters[0].objects}
    for associate in (SN_ASSOCIATE, SN_BLOCKS):
        asking = by_short_names(associate)
        found = object_list(value(read(asking, Variable(short.OBJECT_LIST))))
        assert {each.name.code for each in found} == {each.obis for each in asking.line.meters[0].objects}
        (energy,) = [each for each in found if each.name == ENERGY]
        assert energy.base_name is not None
        number = value(read(asking, Variable(short.attribute_name(energy.base_name, 2))))
        assert isinstance(number, int)
        assert classes.scaler_unit(value(read(asking, Variable(short.attribute_name(energy.base_name, 3))))) is not None


def bounds(*, deviation: bool) -> tuple[DateTime, DateTime]:
    start, end = (DateTime.of(each.astimezone(ZONE), deviation=deviation) for each in (FROM, TO))
    return start, end


@pytest.mark.parametrize("deviation", [True, False])
def test_profiles_by_range(deviation: bool) -> None:
    asking = by_logical_names()
    columns = profile.columns(value(get(asking, AttributeDescriptor(7, PROFILE, classes.PROFILE_COLUMNS))))
    period = value(get(asking, AttributeDescriptor(7, PROFILE, classes.PROFILE_PERIOD)))
    sort = profile.captured(value(get(asking, AttributeDescriptor(7, PROFILE, classes.PROFILE_SORT_OBJECT))))
    assert isinstance(period, int)
    selection = profile.by_range(sort, *bounds(deviation=deviation))
    rows = profile.rows(value(get(asking, AttributeDescriptor(7, PROFILE, 2, selection))), columns, step=period)
    assert len(rows) == 24
    times = [row.at for row in rows if row.at is not None]
    assert times == list(range(times[0], times[0] + 24 * period * 1_000_000, period * 1_000_000))
    assert FROM.timestamp() * 1e6 <= times[0]
    assert times[-1] <= TO.timestamp() * 1e6
    newest = profile.by_entry(1, 4)
    assert len(profile.rows(value(get(asking, AttributeDescriptor(7, PROFILE, 2, newest))), columns, step=period)) == 4


def test_profiles_by_short_names() -> None:
    for associate in (SN_ASSOCIATE, SN_BLOCKS):
        asking = by_short_names(associate)
        listed = object_list(value(read(asking, Variable(short.OBJECT_LIST))))
        (base,) = [each.base_name for each in listed if each.name == PROFILE]
        assert base is not None
        columns = profile.columns(value(read(asking, Variable(short.attribute_name(base, classes.PROFILE_COLUMNS)))))
        selection = profile.by_range(columns[0], *bounds(deviation=True))
        rows = profile.rows(value(read(asking, Variable(short.attribute_name(base, 2), selection))), columns, step=900)
        assert len(rows) == 24
