"""How quiet a line is, in plain numbers."""

import math

import pytest

from nportpy.line.quiet import Quiet
from nportpy.line.transaction_base import TransactionSettings, Wire
from nportpy.linesettings import LineSettings
from nportpy.protocols.modbus.rtu import silent_interval
from tests.support.bus import NoWire

SLOW, FAST = LineSettings(9600), LineSettings(115200)


def a_line(wire: Wire, settings: TransactionSettings | None = None, *, serial: bool = True) -> Quiet:
    quiet = Quiet(wire, settings or TransactionSettings(), serial=serial)
    quiet.opened(100)
    return quiet


def test_silence_begins_when_the_last_byte_has_left() -> None:
    wire = NoWire(SLOW)
    quiet = a_line(wire)
    assert quiet.ready_at(0) == 100 + silent_interval(SLOW)
    quiet.sent(101, 8)
    assert quiet.last == pytest.approx(101 + 8 * SLOW.character_time)
    quiet.sent(101, 8)
    quiet.heard(101)  # on both sides at once
    assert quiet.last == pytest.approx(101 + 16 * SLOW.character_time)
    assert quiet.ready_at(0.5) == quiet.last + 0.5
    assert quiet.ready_at(0) == quiet.last + silent_interval(SLOW)
    wire.settings = FAST
    assert quiet.ready_at(0) == quiet.last + silent_interval(FAST)


def test_a_fixed_silence_counts_at_every_speed() -> None:
    wire = NoWire(SLOW)
    quiet = a_line(wire, TransactionSettings(silence=0.02))
    assert quiet.ready_at(0) == 100.02
    wire.settings = FAST
    assert quiet.ready_at(0) == 100.02


def test_a_connection_takes_no_time_but_may_need_rest() -> None:
    quiet = a_line(NoWire(SLOW), TransactionSettings(rest=2), serial=False)
    quiet.sent(101, 1000)
    assert quiet.last == 101
    assert quiet.ready_at(0) == 102
    quiet.sent(103, 1000)
    assert quiet.ready_at(0) == 103
    assert quiet.ready_at(0.5) == 103.5  # if that is wished


def test_a_conversation_goes_on_over_a_gap() -> None:
    quiet = a_line(NoWire(FAST))
    quiet.heard(101)
    quiet.talked()
    assert quiet.ready_at(0) == pytest.approx(101.05)
    slow = a_line(NoWire(LineSettings(300)))
    slow.talked()
    assert slow.ready_at(0) >= 100 + 4 * LineSettings(300).character_time


def test_streams_have_their_turn_after_a_request_and_may_keep_it() -> None:
    quiet = a_line(NoWire(FAST))
    quiet.ready_at(0)
    quiet.request_over(101)
    assert quiet.tail == 101 + silent_interval(FAST)
    assert quiet.ready_at(0) < 101
    quiet.give_way()
    assert quiet.ready_at(0) == pytest.approx(quiet.tail + 0.05)


def test_a_break_lasts_until_it_is_over() -> None:
    quiet = a_line(NoWire(FAST))
    quiet.changed(101, breaking=True)
    assert quiet.ready_at(0) == math.inf
    quiet.changed(102, breaking=False)
    assert quiet.ready_at(0) == pytest.approx(102.05)
    quiet.closed(103)
    quiet.opened(104)
    assert quiet.ready_at(0) == 104 + silent_interval(FAST)
