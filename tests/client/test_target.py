"""Whom to ask, and how a client behaves whom nobody answers, or who is hung up on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress

import pytest

from nportpy.client.connection import Client, connect
from nportpy.client.target import Target
from nportpy.errors import ProtocolError
from nportpy.linesettings import LineSettings
from nportpy.network.addresses import Endpoint
from nportpy.protocols.modbus import mbap

QUESTION = bytes.fromhex("03 0000 0001")
ANSWER = bytes.fromhex("03 02 abcd")


def test_targets() -> None:
    assert Target.parse("10.0.0.7") == Target(Endpoint("10.0.0.7", 502), rtu=False)
    assert Target.parse("[fd00::7]:5020") == Target(Endpoint("fd00::7", 5020), rtu=False)
    assert Target.parse("tcp://10.0.0.7") == Target(Endpoint("10.0.0.7", 502), rtu=False)
    assert Target.parse("rtu+tcp://10.0.0.7:4001") == Target(Endpoint("10.0.0.7", 4001), rtu=True)
    assert Target.parse("rfc2217://10.0.0.7:5001") == Target("rfc2217://10.0.0.7:5001", rtu=True)
    assert Target.parse("/dev/ttyUSB0") == Target("/dev/ttyUSB0", rtu=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ftp://10.0.0.7", "is no target; a target is HOST:PORT"),
        ("10.0.0.7:", "is no target"),
        ("rtu+tcp://10.0.0.7", "names no TCP port"),
        ("rfc2217://10.0.0.7", "names no TCP port"),
        ("10.0.0.7:0", "a TCP port is 1 to 65535"),
        ("10.0.0.7:65536", "a TCP port is 1 to 65535"),
    ],
)
def test_what_is_no_target(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Target.parse(text)


@asynccontextmanager
async def client_of(*answers: bytes) -> AsyncIterator[Client]:
    """A client of a server that gives these answers, an empty one being none, and hangs up after 5 s."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(asyncio.IncompleteReadError, TimeoutError):
            async with asyncio.timeout(5):
                for answer in answers:
                    await reader.readexactly(12)
                    writer.write(answer)
                await reader.readexactly(1)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = await connect(Target.parse(f"127.0.0.1:{port}"), LineSettings(9600), 1.0)
    try:
        yield client
    finally:
        await client.close()
        await asyncio.sleep(10)
        server.close()
        await server.wait_closed()


def reply(transaction: int) -> bytes:
    return transaction.to_bytes(2, "big") + bytes.fromhex("0000 0005 07") + ANSWER


def number_of_first() -> int:
    """The transaction id of a client's first request."""
    return mbap.Client().request(7, QUESTION)[0]


async def test_an_answer() -> None:
    async with client_of(reply(number_of_first())) as client:
        assert await client.ask(7, QUESTION) == ANSWER
        assert not client.lost


async def test_no_answer_is_told_and_the_next_question_is_asked() -> None:
    first = number_of_first()
    async with client_of(b"", reply(first) + reply(first + 1)) as client:
        with pytest.raises(TimeoutError, match="unit 7 does not answer within 1 s"):
            await client.ask(7, QUESTION)
        assert await client.ask(7, QUESTION) == ANSWER
        assert client.overheard().late == 1
        assert client.overheard().late == 0


async def test_a_client_that_was_hung_up_on_stays_lost() -> None:
    async with client_of(b"") as client:
        await asyncio.sleep(10)
        for _ in range(2):
            with pytest.raises(ConnectionError, match="closed the connection"):
                await client.ask(7, QUESTION)
        assert client.lost


async def test_who_does_not_speak_modbus_tcp_is_given_up() -> None:
    async with client_of(b"HTTP/1.1 400 Bad Request\r\n\r\n") as client:
        with pytest.raises(ProtocolError, match="does not speak Modbus TCP"):
            await client.ask(7, QUESTION)
        assert client.lost


async def test_nobody_is_there() -> None:
    with pytest.raises(ConnectionError, match=r"cannot connect to 127\.0\.0\.1:1: Connection refused"):
        await connect(Target.parse("127.0.0.1:1"), LineSettings(9600), 1.0)
