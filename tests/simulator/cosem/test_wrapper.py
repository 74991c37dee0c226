"""Meters behind the TCP wrapper."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from nportpy.simulator.cosem.mt880 import mt880
from nportpy.simulator.cosem.wrapper import Reader, Wrapped, listening
from tests.simulator.cosem.asking import LN_PASSWORD
from tests.simulator.cosem.test_meters import LIST, get


async def ask(streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], apdu: bytes, client: int = 1) -> bytes:
    reader, writer = streams
    writer.write(Wrapped(client, 1, apdu).encode())
    head = await reader.readexactly(8)
    assert head[:6] == bytes((0, 1, 0, 1, 0, client))
    return await reader.readexactly(int.from_bytes(head[6:], "big"))


async def test_a_meter_is_read() -> None:
    async with listening(mt880()) as address:
        streams = await asyncio.open_connection(*address)
        assert (await ask(streams, LN_PASSWORD))[0] == 0x61
        assert (await ask(streams, get(3, "1.0.1.8.0", 2)))[:4] == bytes.fromhex("C401C100")
        assert (await ask(streams, LIST))[:4] == bytes.fromhex("C402C100")
        streams[1].close()
        await streams[1].wait_closed()


async def test_a_connection_that_ends_ends_the_association_and_one_is_enough() -> None:
    async with listening(mt880()) as address:
        first = await asyncio.open_connection(*address)
        await ask(first, LN_PASSWORD)
        second = await asyncio.open_connection(*address)
        assert await second[0].read() == b""
        second[1].close()
        first[1].close()
        await asyncio.sleep(0.1)
        third = await asyncio.open_connection(*address)
        assert await ask(third, get(3, "1.0.1.8.0", 2)) == bytes.fromhex("D80101")
        third[1].close()


async def test_another_protocol_is_hung_up_on_and_another_address_not_answered() -> None:
    async with listening(mt880()) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
        await asyncio.sleep(0.1)
        reader, writer = await asyncio.open_connection(*address)
        writer.write(Wrapped(1, 2, LN_PASSWORD).encode() + Wrapped(99, 1, LN_PASSWORD).encode())
        assert (await ask((reader, writer), LN_PASSWORD))[0] == 0x61
        writer.close()


@given(st.lists(st.binary(max_size=30), max_size=5), st.integers(1, 40))
def test_apdus_come_whole_however_they_are_cut(apdus: list[bytes], size: int) -> None:
    sent = [Wrapped(16, number, apdu) for number, apdu in enumerate(apdus)]
    wire = b"".join(wrapped.encode() for wrapped in sent)
    reader, found = Reader(), []
    for at in range(0, len(wire), size):
        part = reader.feed(wire[at : at + size])
        assert part is not None
        found += part
    assert found == sent
