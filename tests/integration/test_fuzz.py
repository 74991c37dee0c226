"""S31: whatever strangers send where security hangs on it: nothing crashes, nothing grows, nothing is told too much.

The inputs are the same in each run; `--times 1000` takes a thousand times as many.
"""

import asyncio
import gc
import logging
import random
import ssl
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest

from nportpy.config import fault_lines, parse
from nportpy.errors import ConfigError, ProtocolError
from nportpy.network.tls_contexts import TlsFileError, read_table
from nportpy.network.tls_settings import KeyPair, TlsSettings
from nportpy.network.tls_transport import TlsTransport, shake_hands
from nportpy.port.loopback import Cable
from nportpy.protocols import dsci, dsci_ipv6
from nportpy.protocols.x509 import certificate, revocation_list
from nportpy.services.http_base import HttpSettings
from tests.support.api import call
from tests.support.serving import Client, connect, plan, serving, until
from tests.support.tls import Plant, context_of, read, table, utf8

ROOT = Path(__file__).parents[2]
GROWTH = 20_000
"""Blocks of memory that may be held more after all inputs than after a quarter of them: caches, logs."""


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return Plant(tmp_path_factory.mktemp("plant"))


def mutated(rng: random.Random, seeds: Sequence[bytes], longest: int = 20_000) -> bytes:
    """One of the seeds, or what is left of it."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(7):
            case 0 if data:
                data[at - 1] ^= 1 << rng.randrange(8)
            case 1 if data:
                data[at - 1] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                del data[at:]
            case 3:
                del data[at : at + rng.randrange(1, 9)]
            case 4:
                data[at:at] = rng.randbytes(rng.randrange(1, 20))
            case 5:
                data[at:at] = data[at : at + rng.randrange(1, 64)] * rng.randrange(1, 4)
            case _:
                other = rng.choice(seeds)
                data[at:] = other[rng.randrange(len(other) + 1) :]
    return bytes(data[:longest])


def inputs(name: str, seeds: Sequence[bytes], count: int, longest: int = 20_000) -> Iterator[bytes]:
    """So many; after a quarter of them what is held is looked at, and at the end compared."""
    rng = random.Random(f"S31 {name}")
    before = 0
    for number in range(count):
        if number == count // 4:
            before = _held()
        yield mutated(rng, seeds, longest)
    assert _held() - before < GROWTH


def _held() -> int:
    gc.collect()
    return sys.getallocatedblocks()


# Discovery.

DEVICE = dsci.DeviceId(0x80015100, 0x511A, bytes.fromhex("0090e8010203"))
IDENTITY = dsci.Identity(DEVICE, "pi-07", dsci.firmware(1, 1, 31), 1234)
ASKED, MASK, WAY_OUT = (IPv4Address(text) for text in ("192.0.2.7", "255.255.255.0", "192.0.2.1"))
NETWORK = dsci.Network(ASKED, MASK, WAY_OUT)
OWN = [dsci.Entry(IPv4Address("192.0.2.50"), 40000 + number, ASKED, 950) for number in range(200)]
ASKED_BY_SIX = IPv6Address("2001:db8::7")
OWN_BY_SIX = [dsci.Entry(IPv6Address("2001:db8::50"), 40000 + number, ASKED_BY_SIX, 950) for number in range(200)]
NAME, KERNEL = b"pi-07".ljust(40, b"\0"), bytes.fromhex("0031010101000200d20400000000" + "0301")
ADDRESSES = [ASKED.packed, MASK.packed, WAY_OUT.packed]
ALLOWED: dict[int, Callable[[bytes], bool]] = {
    0x81: lambda body: body == ASKED.packed,
    0x90: lambda body: body == NAME,
    0x94: lambda body: _is_list(body),
    0x96: lambda body: body == KERNEL,
    0x9D: lambda body: _is_list(body),
    0xA1: lambda body: body == ASKED.packed,
    0xA2: lambda body: body == MASK.packed,
    0xA3: lambda body: body == WAY_OUT.packed,
    0xA6: lambda body: body == bytes.fromhex("0100000000000100") + b"".join(ADDRESSES),
}
"""All that an answer may hold, by its function: model, name, serial number, firmware, addresses, and connections of
whoever asks. Every other function is refused, without a body."""


def _is_list(body: bytes) -> bool:
    entries = [body[at : at + 16] for at in range(4, len(body), 16)]
    known = {each.remote.packed + each.local.packed for each in OWN}
    return (
        len(entries) <= dsci.MAX_ENTRIES
        and int.from_bytes(body[:2], "little") == len(entries)
        and all(entry[:8] in known for entry in entries)
    )


def test_s31_every_answer_of_discovery_has_allowed_fields_only(times: int) -> None:
    head = DEVICE.encode()
    whole = [
        bytes((function, 0, 0, 20 + len(body))) + b"\0\0\0\1" + head + body
        for function in range(0x80)
        for body in (b"", b"\x80\0", b"\xff\xff\0\0")
    ]
    answered = set()
    for data in inputs("dsci", [bytes.fromhex("0100000800000000"), *whole], 20_000 * times, 1500):
        try:
            answer = dsci.answer(dsci.parse_request(data), IDENTITY, NETWORK, OWN)
        except ProtocolError:
            continue
        if answer is None:
            continue
        assert answer[2:4] == len(answer).to_bytes(2, "big")
        assert answer[8:20] == head
        answered.add(answer[0])
        if answer[1]:
            assert (answer[1], len(answer)) == (dsci.UNSUPPORTED, 20)
        else:
            assert ALLOWED[answer[0]](answer[20:]), answer.hex(" ")
    assert answered > ALLOWED.keys(), "all of them were met, and refusals"


def test_s31_every_answer_of_discovery_by_ipv6_too(times: int) -> None:
    head, anybody = DEVICE.encode(), bytes(12)
    whole = [
        b"\x79\0" + (28 + len(body)).to_bytes(2, "big") + b"\0\0\0\1" + device
        + bytes((1, 0, 0, 0, 0, catalogue, 0, code)) + body
        for device in (head, anybody)
        for catalogue in range(4)
        for code in range(6)
        for body in (b"", b"\0\x40\0\0", b"\xff\xff\0\x10")
    ]  # fmt: skip
    known = {each.remote.packed + each.local.packed for each in OWN_BY_SIX}
    for data in inputs("dsci ipv6", whole, 10_000 * times, 1500):
        try:
            answer = dsci_ipv6.answer(dsci_ipv6.parse_request(data), DEVICE, ASKED_BY_SIX, OWN_BY_SIX)
        except ProtocolError:
            continue
        if answer is None:
            continue
        assert answer[:1] == b"\xf9"
        assert answer[8:20] == head
        body = answer[28:]
        assert len(answer) <= 1280 - 48
        assert (
            not body
            or body == ASKED_BY_SIX.packed
            or all(body[at : at + 32] in known for at in range(4, len(body), 40))
        )


# Certificates.


@pytest.mark.long
def test_s31_certificates_and_lists_raise_nothing_else(plant: Plant, times: int) -> None:
    plant.client("some role", role="Operator")
    plant.pair("server")
    crl = ssl.PEM_cert_to_DER_cert(read(plant.revoke("some role")).decode().replace("X509 CRL", "CERTIFICATE"))
    seeds = [plant.der("some role"), plant.der("server"), crl, utf8("Operator") * 3]
    for data in inputs("certificates", seeds, 10_000 * times, 4000):
        for reader in (certificate, revocation_list):
            try:
                found: Any = reader(data)
            except ProtocolError:
                continue
            assert str(getattr(found, "name", "")).isprintable()
            assert str(getattr(found, "role", "")).isprintable()


def test_s31_files_of_certificates_are_good_or_said_to_be_bad(plant: Plant, tmp_path: Path, times: int) -> None:
    pair = plant.pair("gateway")
    crl = plant.revoke("gateway")
    files = {"crt": read(pair.certificate), "key": read(pair.key), "ca": read(plant.ca), "crl": read(crl)}
    rng = random.Random("S31 files")
    for _ in range(100 * times):
        for name, data in files.items():
            changed = mutated(rng, [data, *files.values()]) if rng.randrange(2) else data
            (tmp_path / name).write_bytes(changed)
        shown = KeyPair(str(tmp_path / "crt"), str(tmp_path / "key"))
        settings = TlsSettings("plant", (shown,), str(tmp_path / "ca"), crl=str(tmp_path / "crl"))
        reason = _wrong_with(settings)
        assert not reason or str(tmp_path) in reason
        assert "PRIVATE" not in reason


def _wrong_with(settings: TlsSettings) -> str:
    try:
        made = read_table(settings)
    except TlsFileError as error:
        return error.reason
    assert made.server is not None
    made.status()
    return ""


# TLS.


class _Memory(asyncio.Transport):
    """What TLS goes over."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.ended = False

    def write(self, data: Any) -> None:
        assert not self.ended
        self.sent += data

    def is_closing(self) -> bool:
        return self.ended

    def close(self) -> None:
        self.ended = True

    abort = write_eof = close

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class _Far:
    """A client's OpenSSL, between memory and memory."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.there, self.back = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.back, self.there, server_hostname="localhost")

    def hello(self) -> bytes:
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.there.read()


async def _offered(server: ssl.SSLContext, data: bytes) -> TlsTransport | BaseException:
    """What becomes of a newcomer that begins like this, and goes."""
    memory, made = _Memory(), []

    async def join(make: Callable[[], asyncio.Protocol]) -> None:
        protocol = make()
        made.append(protocol)
        protocol.connection_made(memory)

    async def come_and_go() -> None:
        (protocol,) = made
        for at in range(0, len(data), 700):
            protocol.data_received(data[at : at + 700])
        protocol.eof_received()
        protocol.connection_lost(None)

    found, _ = await asyncio.gather(shake_hands(join, server), come_and_go(), return_exceptions=True)
    return found


async def test_s31_whatever_a_handshake_begins_with(plant: Plant, times: int) -> None:
    server = read_table(table(plant)).server
    assert server is not None
    context = context_of(plant)
    old = context_of(plant)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    others = [b"GET / HTTP/1.1\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x28", b"\x80\x2e\x01\x03\x01"]  # an alert, SSL 2
    seeds = [_Far(context).hello(), _Far(old).hello(), *others]
    for data in inputs("handshakes", seeds, 1000 * times):
        found = await _offered(server, data)
        assert isinstance(found, OSError), found  # ssl.SSLError is one
        await asyncio.sleep(2)  # who was refused has a second to fetch the alert


class _Heard(asyncio.Protocol):
    def __init__(self) -> None:
        self.data = bytearray()

    def data_received(self, data: bytes) -> None:
        self.data += data


def _agreed(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[_Far, TlsTransport, _Memory]:
    far, incoming, outgoing = _Far(client), ssl.MemoryBIO(), ssl.MemoryBIO()
    near = server.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(far.hello())
    for _ in range(2):
        for end in (near, far.tls):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
            far.back.write(outgoing.read())
            incoming.write(far.there.read())
    memory = _Memory()
    return far, TlsTransport(memory, near, incoming, outgoing), memory


@pytest.mark.long
async def test_s31_whatever_records_come_only_what_was_sent_is_heard(plant: Plant, times: int) -> None:
    """Of what was changed on its way nothing is heard, and the connection ends."""
    server, client = read_table(table(plant)).server, context_of(plant)
    assert server is not None
    rng = random.Random("S31 records")
    before = 0
    for number in range(250 * times):
        if number == 60 * times:
            before = _held()
        far, above, memory = _agreed(server, client)
        heard = _Heard()
        above.hand_over(heard)
        said = [rng.randbytes(rng.randrange(1, 300)) for _ in range(rng.randrange(1, 4))]
        records = []
        for each in said:
            far.tls.write(each)
            records.append(far.there.read())
        hurt = rng.randrange(len(records))
        records[hurt] = mutated(rng, records)
        wire = b"".join(records)
        while wire and not memory.ended:
            size = rng.randrange(1, 400)
            above.fed(wire[:size])
            wire = wire[size:]
        if not memory.ended:
            above.fed_eof()
        above.wire_lost(None)
        assert b"".join(said).startswith(bytes(heard.data))
        await asyncio.sleep(0)
    assert _held() - before < GROWTH


# HTTP.


def _request(line: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join((line + b" HTTP/1.1", b"Host: localhost", *headers, b"", body))


REQUESTS = [
    _request(b"GET /healthz"),
    _request(b"GET /metrics", b"Accept: text/plain;version=0.0.4", b"Accept-Encoding: gzip"),
    _request(b"GET /api/v1/status?x=%41%00", b"Cookie: __Host-nportpy=" + b"a" * 43 + b'; b="c"'),
    _request(
        b"POST /api/v1/session", b"Content-Type: application/json", b"Content-Length: 35", b"Origin: http://localhost",
        body=b'{"name":"admin","password":"12345"}',
    ),
    _request(
        b"POST /api/v1/ports/cable/actions/reopen", b"Transfer-Encoding: chunked",
        body=b'5\r\n{"a":\r\n2\r\n1}\r\n0\r\n\r\n',
    ),
    _request(b"GET /assets/../../etc/passwd", b"Authorization: Bearer np_" + b"A" * 43),
    _request(b"GET /api/v1/ports/cable/monitor?live=0&filter=hex:0103??10", b"Range: bytes=0-"),
    _request(b"OPTIONS *", b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings"),
]  # fmt: skip


@contextmanager
def _no_traceback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.ERROR)
    yield
    assert [record.message for record in caplog.records if record.exc_info] == []


@pytest.mark.long
async def test_s31_whatever_http_comes_the_next_one_is_answered(caplog: pytest.LogCaptureFixture, times: int) -> None:
    http = HttpSettings((("127.0.0.1", 0),))
    with _no_traceback(caplog):
        async with serving(plan("cable"), cables=[Cable()], http=http) as served:
            port = served.gateway._http._service.endpoints[0].port  # type: ignore[union-attr]

            async def one(data: bytes) -> None:
                client = await connect(Client, port)
                client.send(data)
                client.transport.write_eof()
                await until(lambda: client.lost or client.heard, within=60)
                assert not client.heard or client.heard.startswith(b"HTTP/"), client.heard[:80]
                client.transport.abort()

            waiting = inputs("http", REQUESTS, 400 * times)
            while batch := [data for data, _ in zip(waiting, range(8), strict=False)]:
                await asyncio.gather(*map(one, batch))
            answer = await call(port, "/healthz")
            assert (answer.status, answer.body) == (200, b"ok\n")


# Files that somebody would have the gateway take.

CANDIDATES = [path.read_bytes() for path in sorted((ROOT / "etc" / "examples").glob("*.toml"))]


@pytest.mark.long
def test_s31_candidate_files_have_faults_or_settings(times: int) -> None:
    assert len(CANDIDATES) > 3
    for data in inputs("files", CANDIDATES, 150 * times):
        text = data.decode(errors="replace")
        error = _faults(text)
        if error is not None:
            assert error.faults
            assert all(0 <= fault.line <= text.count("\n") + 2 for fault in error.faults)
            assert all(fault_lines(error))


def _faults(text: str) -> ConfigError | None:
    try:
        parse(text, "candidate")
    except ConfigError as error:
        return error
    return None
