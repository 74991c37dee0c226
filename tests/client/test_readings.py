"""Wanted values: in how few requests they are fetched, and what becomes of them when a unit refuses."""

import pytest

from nportpy.client.connection import Client, Overheard
from nportpy.client.readings import Wanted, take, wanted_values
from nportpy.protocols.modbus.addresses import parse_range
from nportpy.protocols.modbus.values import Order, ValueType
from tests.support.modbus_server import counting


class Counting(Client):
    """A unit 1 whose registers hold their addresses, up to 1999.

    Attributes:
        asked: first address and quantity of each read.
    """

    def __init__(self) -> None:
        super().__init__("counting", 1.0)
        self.asked: list[tuple[int, int]] = []

    async def ask(self, unit: int, pdu: bytes) -> bytes:
        self.asked.append((int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")))
        return counting(unit, pdu)

    def overheard(self) -> Overheard:
        return Overheard(set(), 0, 0)


def wanted(*texts: str, kind: str = "") -> list[Wanted]:
    return wanted_values(map(parse_range, texts), ValueType.parse(kind) if kind else None)


async def values(client: Client, *texts: str, kind: str = "", gap: int = 0) -> list[object]:
    return [
        reading.fault or reading.value
        for reading in await take(client, 1, wanted(*texts, kind=kind), Order("ABCD"), gap)
    ]


async def test_neighbours_share_a_request_and_come_in_the_order_wanted() -> None:
    client = Counting()
    assert await values(client, "holding:7", "holding:5-6") == [7, 5, 6]
    assert client.asked == [(5, 3)]


@pytest.mark.parametrize(("gap", "asked"), [(0, [(5, 1), (8, 1)]), (2, [(5, 4)])])
async def test_a_gap_that_is_allowed_is_read_over(gap: int, asked: list[tuple[int, int]]) -> None:
    client = Counting()
    assert await values(client, "holding:5", "holding:8", gap=gap) == [5, 8]
    assert client.asked == asked


async def test_no_read_is_longer_than_an_answer() -> None:
    client = Counting()
    assert await values(client, "holding:0-199") == list(range(200))
    assert client.asked == [(0, 125), (125, 75)]


async def test_what_is_refused_together_is_asked_one_by_one() -> None:
    client = Counting()
    there, refused = await values(client, "holding:1999", "holding:2000")
    assert there == 1999
    assert str(refused).startswith("unit 1 refuses: exception 2, illegal data address")
    assert client.asked == [(1999, 2), (1999, 1), (2000, 1)]


async def test_wide_values() -> None:
    assert await values(Counting(), "holding:1-4", kind="uint32") == [0x0001_0002, 0x0003_0004]


def test_a_type_that_does_not_fit_its_table() -> None:
    with pytest.raises(ValueError, match="this table has bits, not registers"):
        wanted("coil:7", kind="uint16")
    with pytest.raises(ValueError, match="this table has registers, not bits"):
        wanted("holding:7", kind="bit")
