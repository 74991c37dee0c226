"""Which reads join which, what is cut out, what is kept."""

from hypothesis import given
from hypothesis import strategies as st

from nportpy.line.turns import Priority, Request, Result
from nportpy.modbus.question import Question
from nportpy.modbus.sharing import MOST_KEPT, MOST_REFUSED, Flight, Joinable, Kept, part
from tests.support.asking import read, registers


def ignore(asked: Question | Request, answer: bytes | Result) -> None: ...


def question(pdu: bytes, unit: int = 1, priority: Priority = Priority.NORMAL) -> Question:
    return Question("client", unit, pdu, ignore, priority)


def flight(pdu: bytes, unit: int = 1, priority: Priority = Priority.NORMAL, *, sent: bool = False) -> Flight:
    made = Flight("client", unit, pdu, ignore, priority)
    made.asks = [question(pdu, unit, priority)]
    made.sent_at = 1.0 if sent else -1.0
    return made


def bits(start: int, count: int, function: int = 1) -> bytes:
    """The answer of a unit whose bit n is set if n has an odd number of ones."""
    packed = bytearray((count + 7) // 8)
    for index in range(count):
        packed[index // 8] |= ((start + index).bit_count() & 1) << index % 8
    return bytes((function, len(packed))) + packed


@given(st.data())
def test_registers_are_cut_out_of_a_wider_answer(data: st.DataObject) -> None:
    start, count = data.draw(st.integers(0, 1000)), data.draw(st.integers(1, 125))
    first = data.draw(st.integers(start, start + count - 1))
    wanted = data.draw(st.integers(1, start + count - first))
    cut = part(read(start, count), start, registers(start, count), read(first, wanted))
    assert cut == registers(first, wanted)


@given(st.data())
def test_bits_are_cut_out_of_a_wider_answer(data: st.DataObject) -> None:
    start, count = data.draw(st.integers(0, 1000)), data.draw(st.integers(1, 2000))
    first = data.draw(st.integers(start, start + count - 1))
    wanted = data.draw(st.integers(1, start + count - first))
    assert part(read(start, count, 1), start, bits(start, count), read(first, wanted, 1)) == bits(first, wanted)


def test_the_same_read_and_a_part_of_it_join() -> None:
    joinable = Joinable(None)
    under_way = flight(read(100, 10))
    joinable.add(under_way)
    assert joinable.find(question(read(100, 10))) is under_way
    assert joinable.find(question(read(109, 1))) is under_way
    assert joinable.find(question(read(109, 2))) is None
    assert joinable.find(question(read(99, 2))) is None
    assert joinable.find(question(read(100, 10), unit=2)) is None
    assert joinable.find(question(read(100, 10, 4))) is None
    joinable.remove(under_way)
    joinable.remove(under_way)
    assert joinable.find(question(read(100, 10))) is None


def test_what_reads_no_table_joins_only_its_like() -> None:
    joinable = Joinable(16)
    under_way = flight(b"\x11")
    joinable.add(under_way)
    assert joinable.find(question(b"\x11")) is under_way
    assert joinable.find(question(b"\x07")) is None
    assert joinable.widen(question(b"\x07")) is None


def test_the_urgent_do_not_join_the_less_urgent_unless_it_is_on_the_line() -> None:
    joinable = Joinable(None)
    joinable.add(flight(read(1), priority=Priority.LOW))
    assert joinable.find(question(read(1), priority=Priority.HIGH)) is None
    joinable = Joinable(None)
    under_way = flight(read(1), priority=Priority.LOW, sent=True)
    joinable.add(under_way)
    assert joinable.find(question(read(1), priority=Priority.HIGH)) is under_way


def test_closing_a_unit_leaves_the_others() -> None:
    joinable = Joinable(None)
    one, two = flight(read(1), 1), flight(read(1), 2)
    joinable.add(one)
    joinable.add(two)
    joinable.close(1)
    assert joinable.find(question(read(1), 1)) is None
    assert joinable.find(question(read(1), 2)) is two
    joinable.close(None)
    assert joinable.find(question(read(1), 2)) is None


def test_neighbours_become_one_if_the_gap_allows_it() -> None:
    joinable = Joinable(4)
    waiting = flight(read(100, 10))
    joinable.add(waiting)
    assert joinable.widen(question(read(115, 1))) is None
    assert joinable.widen(question(read(114, 2))) is waiting
    assert waiting.pdu == read(100, 16)
    assert waiting.merged
    assert joinable.widen(question(read(90, 6))) is waiting
    assert waiting.pdu == read(90, 26)
    assert joinable.find(question(read(98, 3))) is waiting


def test_nothing_becomes_wider_than_an_answer_can_be() -> None:
    joinable = Joinable(1000)
    joinable.add(flight(read(0, 100)))
    assert joinable.widen(question(read(120, 6))) is None
    assert joinable.widen(question(read(120, 5))) is not None
    joinable.add(flight(read(0, 1000, 1)))
    assert joinable.widen(question(read(1500, 501, 1))) is None
    assert joinable.widen(question(read(1500, 500, 1))) is not None


def test_what_is_on_the_line_is_not_widened() -> None:
    joinable = Joinable(4)
    joinable.add(flight(read(100, 10), sent=True))
    assert joinable.widen(question(read(110, 1))) is None


def test_what_was_refused_once_is_not_merged_again() -> None:
    joinable = Joinable(4)
    waiting = flight(read(100, 2))
    joinable.add(waiting)
    joinable.widen(question(read(104, 2)))
    joinable.remove(waiting)
    joinable.refused(waiting)
    again = flight(read(100, 2))
    joinable.add(again)
    assert joinable.widen(question(read(104, 2))) is None
    assert joinable.widen(question(read(102, 2))) is again  # another, smaller one may do


def test_where_much_was_refused_nothing_is_merged() -> None:
    joinable = Joinable(4)
    for start in range(0, 10 * MOST_REFUSED, 10):
        refused = flight(read(start, 1))
        joinable.add(refused)
        assert joinable.find(question(read(start, 1))) is refused
        joinable.remove(refused)
        joinable.refused(refused)
    joinable.add(flight(read(5000, 1)))
    assert joinable.widen(question(read(5001, 1))) is None


def test_an_answer_is_kept_for_its_time() -> None:
    kept = Kept(0.5)
    kept.put(1, read(10, 4), registers(10, 4), 100.0)
    assert kept.get(1, read(10, 4), 100.4) == registers(10, 4)
    assert kept.get(1, read(11, 2), 100.4) == registers(11, 2)
    assert kept.get(2, read(10, 4), 100.4) is None
    assert kept.get(1, read(11, 2), 100.5) is None
    assert kept.get(1, read(10, 4), 100.5) is None


def test_what_may_have_changed_is_forgotten() -> None:
    kept = Kept(10)
    for unit in (1, 2):
        kept.put(unit, read(1), registers(1), 0)
    kept.forget(1)
    assert kept.get(1, read(1), 1) is None
    assert kept.get(2, read(1), 1) == registers(1)
    kept.forget(None)
    assert kept.get(2, read(1), 1) is None


def test_a_bounded_number_of_answers_is_kept() -> None:
    kept = Kept(10)
    for address in range(MOST_KEPT + 10):
        kept.put(1, read(address), registers(address), 0)
    assert kept.get(1, read(9), 1) is None
    assert kept.get(1, read(10), 1) == registers(10)
