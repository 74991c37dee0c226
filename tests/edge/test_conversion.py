"""From raw values to what a tag is worth."""

import math
from dataclasses import replace

import pytest

from nportpy.edge.conversion import Converted, convert, strange
from nportpy.edge.sample import Quality
from nportpy.edge.settings import Beyond, Limits, ModbusPlace, TagSettings
from nportpy.protocols.modbus.functions import Span, Table
from nportpy.protocols.modbus.values import Kind, Order, Value, ValueType, decode

TAG = TagSettings("power", "41009", ModbusPlace(Span(Table.HOLDING_REGISTERS, 1008, 2), ValueType(Kind.FLOAT32)))


def worth(raw: Value, **keys: object) -> Converted:
    return convert(replace(TAG, **keys), raw)  # type: ignore[arg-type]  # names are checked by use


def test_a_value_stays_as_it_is() -> None:
    assert worth(231.4) == (231.4, Quality.GOOD, "")
    assert worth("MT880") == ("MT880", Quality.GOOD, "")
    assert worth(True) == (True, Quality.GOOD, "")


def test_whole_numbers_stay_whole_beyond_a_doubles_53_bits() -> None:
    counter = (1 << 63) + 1
    assert worth(counter).value == counter
    assert worth(counter, precision=2).value == counter


def test_scale_offset_and_precision() -> None:
    assert worth(2314, scale=0.1, precision=1).value == 231.4
    assert worth(100, scale=0.1, offset=-40.0).value == -30.0
    assert worth(-0.12345, precision=3).value == -0.123


@pytest.mark.parametrize("raw", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_bad(raw: float) -> None:
    found = worth(raw)
    assert (found.value, found.quality) == (None, Quality.BAD)
    assert "no number" in found.reason


@pytest.mark.parametrize("raw", [0x8000, 0xFFFFFFFF])
def test_a_devices_own_word_for_no_value_is_bad(raw: int) -> None:
    found = worth(raw, invalid=(0x8000, 0xFFFFFFFF), scale=0.1)
    assert (found.value, found.quality) == (None, Quality.BAD)
    assert repr(raw) in found.reason


def test_a_scale_that_leads_beyond_all_numbers_is_bad() -> None:
    assert worth(1e300, scale=1e300).quality is Quality.BAD


def test_limits_clamp_or_discard() -> None:
    clamp = Limits(0.0, 300.0, Beyond.CLAMP)
    assert worth(301.0, limits=clamp)[:2] == (300.0, Quality.UNCERTAIN)
    assert worth(-1.0, limits=clamp)[:2] == (0.0, Quality.UNCERTAIN)
    assert worth(300.0, limits=clamp)[:2] == (300.0, Quality.GOOD)
    assert worth(301.0, limits=Limits(high=300.0))[:2] == (None, Quality.BAD)
    assert "above the limit 300.0" in worth(301.0, limits=Limits(high=300.0)).reason


def test_words_and_bits() -> None:
    words = ((0, "off"), (1, "on"))
    assert worth(1, words=words) == ("on", Quality.GOOD, "")
    assert worth(7, words=words)[:2] == (7, Quality.UNCERTAIN)
    assert worth(True, words=words).value == "on"
    assert worth(0b1011_0000, bits=(4, 6)).value == 0b011
    assert worth(0b1011_0000, bits=(7, 7), words=words).value == "on"


def test_a_wrong_order_looks_strange() -> None:
    registers = bytes.fromhex("43676666")  # 231.4 in ABCD
    looks = {order: strange(decode(registers, ValueType(Kind.FLOAT32), order)) for order in Order}
    assert looks[Order.ABCD] is False
    assert looks[Order.CDAB] is True
    assert not strange(0.0)
    assert not strange(4096)
    assert strange(1e-40)
