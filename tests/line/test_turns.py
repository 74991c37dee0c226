"""The queue: whose turn it is, how much fits, and what leaves it."""

import math

from hypothesis import given
from hypothesis import strategies as st

from nportpy.line.turns import Priority, Request, Turns


def request(client: str, unit: int = 1, *, write: bool = False, deadline: float = math.inf, rank: int = 1) -> Request:
    return Request(client, unit, b"\x03", lambda *_: None, priority=Priority(rank), write=write, deadline=deadline)


def drained(turns: Turns, held: frozenset[tuple[int, int]] = frozenset()) -> list[Request]:
    order = []
    while (first := turns.first(held)) is not None:
        turns.take(first)
        order.append(first)
    return order


def test_each_client_has_a_turn_and_its_own_order() -> None:
    turns = Turns(32)
    asked = [request(client, number) for client, count in (("a", 3), ("b", 1), ("c", 2)) for number in range(count)]
    assert all(map(turns.add, asked))
    assert [(one.client, one.unit) for one in drained(turns)] == [
        ("a", 0), ("b", 0), ("c", 0), ("a", 1), ("c", 1), ("a", 2),
    ]  # fmt: skip
    assert len(turns) == 0


def test_who_is_held_keeps_its_place_and_its_order() -> None:
    turns = Turns(32)
    for client, unit in (("a", 1), ("a", 2), ("b", 2), ("b", 1)):
        turns.add(request(client, unit))
    assert [one.unit for one in drained(turns, frozenset({(1, 3)}))] == [2]
    assert [(one.client, one.unit) for one in drained(turns)] == [("a", 1), ("b", 1), ("a", 2)]


def test_writes_first_only_where_it_is_wished() -> None:
    for wished in (False, True):
        turns = Turns(32, wished)
        reads = [request("a", 1), request("a", 2, write=True), request("b", 3, rank=0), request("b", 4, rank=2)]
        assert all(map(turns.add, reads))
        assert [one.unit for one in drained(turns)] == ([3, 2, 1, 4] if wished else [3, 1, 2, 4])


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 2), st.booleans(), st.integers(1, 9)), max_size=60))
def test_nothing_is_lost_or_served_twice(asked: list[tuple[str, int, bool, int]]) -> None:
    turns = Turns(8, writes_first=True)
    inside, counts = [], dict.fromkeys("abcd", 0)
    for client, rank, write, deadline in asked:
        one = request(client, rank=rank, write=write, deadline=deadline)
        counts[client] += 1
        assert turns.add(one) == (counts[client] <= 8)
        if counts[client] <= 8:
            inside.append(one)
    assert turns.earliest <= min((one.deadline for one in inside), default=math.inf)
    expired = turns.expire(4)
    assert set(expired) == {one for one in inside if one.deadline <= 4}
    assert turns.earliest == min((one.deadline for one in inside if one.deadline > 4), default=math.inf)
    withdrawn = turns.withdraw(lambda one: one.write)
    assert set(withdrawn) == {one for one in inside if one.write} - set(expired)
    left = turns.leave("a")
    assert set(left) == {one for one in inside if one.client == "a"} - set(expired) - set(withdrawn)
    served = drained(turns)
    assert len(turns) == 0
    assert turns.clear() == []
    assert sorted(map(id, expired + withdrawn + left + served)) == sorted(map(id, inside))
    assert served == sorted(served, key=lambda one: (one.priority, not one.write))
    assert all(turns.add(request("a")) for _ in range(8))
