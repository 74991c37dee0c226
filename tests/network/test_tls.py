"""TLS at the door: who comes in, in which order, and what the log says of those who do not."""

import asyncio
import contextlib
import gc
import logging
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from nportpy import wallclock
from nportpy.network.addresses import Endpoint
from nportpy.network.listener import Listener
from nportpy.network.service import AccessSettings, WhenFull
from nportpy.network.tls_contexts import read_table
from nportpy.network.tls_door import AT_ONCE, HANDSHAKE_TIME
from nportpy.network.tls_settings import Clients, Expired, KeyPair
from nportpy.network.tls_transport import shake_hands
from nportpy.port.loopback import Cable
from nportpy.services.http_base import HttpSettings
from tests.support.serving import Client, Served, connect, plan, raw, serving, settings, until
from tests.support.tls import Pair, Plant, context_of, read, secured, table, write


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return Plant(tmp_path_factory.mktemp("plant"))


async def test_s1_raw_bytes_go_through_tls_both_ways(plant: Plant) -> None:
    cable = Cable()
    async with serving(plan("cable", raw(tls="plant")), cables=[cable], tls=(table(plant),)) as served:
        client = await secured(served.port(), context_of(plant))
        client.send(b"to the line")
        await until(lambda: cable.heard == b"to the line")
        cable.far.write(b"from the line")
        await client.hears(b"from the line")
        assert served.service().clients[0].identity == ""
        await client.close()
        await until(lambda: served.results().get("closed"))
        assert served.results() == {"accepted": 1, "closed": 1}


async def test_s3_a_bare_connection_throws_nobody_out(plant: Plant) -> None:
    cable = Cable()
    service = raw(tls="plant", max_clients=1, when_full=WhenFull.KICK_OLDEST, takeover=False)
    async with serving(plan("cable", service), cables=[cable], tls=(table(plant),)) as served:
        good = await secured(served.port(), context_of(plant))
        bare = await connect(Client, served.port())
        await asyncio.sleep(0.1)
        good.send(b"still here")
        await until(lambda: cable.heard == b"still here")
        bare.send(b"not TLS")
        await until(lambda: bare.lost)
        assert served.results() == {"accepted": 1, "tls_failed": 1}
        newcomer = await secured(served.port(), context_of(plant))
        await until(lambda: good.lost)
        assert served.results()["kicked"] == 1
        await newcomer.close()


async def test_s3_a_silent_connection_keeps_nobody_out(plant: Plant) -> None:
    cable = Cable()
    service = raw(tls="plant", max_clients=1, takeover=False)
    async with serving(plan("cable", service), cables=[cable], tls=(table(plant),)) as served:
        silent = await connect(Client, served.port())
        await asyncio.sleep(0.05)
        good = await secured(served.port(), context_of(plant))
        good.send(b"in")
        await until(lambda: cable.heard == b"in")
        await silent.close()
        await good.close()


async def test_s3_five_hundred_silent_connections_from_one_address(plant: Plant) -> None:
    cable = Cable()
    async with serving(plan("cable", raw(tls="plant")), cables=[cable], tls=(table(plant),)) as served:
        before = asyncio.get_running_loop().time()
        silent = [await connect(Client, served.port()) for _ in range(500)]
        good = await secured(served.port(), context_of(plant), source="127.0.0.2")
        good.send(b"in")
        await until(lambda: cable.heard == b"in")
        assert asyncio.get_running_loop().time() - before < 1
        assert served.results() == {"accepted": 1, "refused_limit": 436}
        await until(lambda: all(client.lost for client in silent), within=HANDSHAKE_TIME + 2)
        assert served.results()["tls_failed"] == 64
        await good.close()


async def test_s3_who_says_nothing_has_no_object_of_openssls(plant: Plant) -> None:
    async with serving(plan("cable", raw(tls="plant")), cables=[Cable()], tls=(table(plant),)) as served:
        before = _alive(ssl.SSLObject)
        silent = [await connect(Client, served.port()) for _ in range(100)]
        await asyncio.sleep(1)
        assert _alive(ssl.SSLObject) == before
        for client in silent:
            await client.close()


def _alive(kind: type) -> int:
    gc.collect()
    return sum(isinstance(each, kind) for each in gc.get_objects())


async def test_s3_silent_connections_from_many_addresses_hold_others_up_for_a_second_each_sixteen(plant: Plant) -> None:
    cable = Cable()
    async with serving(plan("cable", raw(tls="plant")), cables=[cable], tls=(table(plant),)) as served:
        silent = [await connect(Client, served.port(), source=f"127.0.1.{n % 20 + 1}") for n in range(80)]
        await asyncio.sleep(0.1)
        before = asyncio.get_running_loop().time()
        good = await secured(served.port(), context_of(plant), source="127.0.0.2")
        assert asyncio.get_running_loop().time() - before < 80 / AT_ONCE + 1
        await good.close()
        for client in silent:
            await client.close()


@pytest.mark.long
async def test_s3_many_at_once_from_one_address_all_come_in(plant: Plant) -> None:
    service = raw(tls="plant", max_clients=40)
    async with serving(plan("cable", service), cables=[Cable()], tls=(table(plant),)) as served:
        context = context_of(plant)
        clients = await asyncio.gather(*(secured(served.port(), context) for _ in range(30)))
        await until(lambda: len(served.service().clients) == 30)
        assert served.results() == {"accepted": 30}
        for client in clients:
            await client.close()


async def test_s3_an_address_that_is_not_allowed_gets_no_handshake(plant: Plant) -> None:
    service = raw(tls="plant", allow=((ip_network("192.0.2.0/24"),),))
    async with serving(plan("cable", service), cables=[Cable()], tls=(table(plant),)) as served:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await secured(served.port(), context_of(plant))
        assert served.results() == {"refused_allow": 1}


async def test_s3_stopping_waits_for_no_silent_connection(plant: Plant) -> None:
    async with serving(plan("cable", raw(tls="plant")), cables=[Cable()], tls=(table(plant),)) as served:
        silent = await connect(Client, served.port())
        await asyncio.sleep(0.1)
        before = asyncio.get_running_loop().time()
        served.gateway.stop()
        await served.task
        assert asyncio.get_running_loop().time() - before < 5
        await until(lambda: silent.lost)


# S4: why somebody is refused.


@contextlib.contextmanager
def _told(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """The reasons that the log gives."""
    found: list[str] = []
    with caplog.at_level(logging.WARNING):
        yield found
    found += [record.reason for record in caplog.records if hasattr(record, "reason")]


async def _refused(served: Served, context: ssl.SSLContext, **more: str) -> str:
    """What a client meets that is refused: with TLS 1.3 it believes itself let in until it reads."""
    try:
        client = await secured(served.port(), context, **more)
    except (ssl.SSLError, ConnectionError) as error:
        await until(lambda: served.results().get("tls_failed"))
        return str(error)
    await until(lambda: client.lost)
    await until(lambda: served.results().get("tls_failed"))
    return str(client.error)


def _expired(plant: Plant) -> Pair:
    return plant.client("expired", days=(-100, -1))


REFUSED: dict[str, tuple[Callable[[Plant], Pair | None], str, str]] = {
    "no certificate": (lambda plant: None, "showed no certificate", "certificate required"),
    "expired": (_expired, "certificate has expired", "certificate expired"),
    "not valid yet": (lambda plant: plant.client("early", days=(2, 100)), "not yet valid", "bad certificate"),
    "wrong purpose": (lambda plant: plant.pair("served"), "unsuitable certificate purpose", "certificate"),
    "stranger": (
        lambda plant: Plant(plant.folder / "elsewhere", "elsewhere").client("stranger"),
        "unable to get local issuer certificate",
        "unknown ca",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_s4_the_log_says_why_a_client_was_refused(
    plant: Plant, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    make, logged, heard = REFUSED[case]
    tls = (table(plant, clients=Clients.REQUIRED),)
    with _told(caplog) as reasons:
        async with serving(plan("cable", raw(tls="plant")), cables=[Cable()], tls=tls) as served:
            told = await _refused(served, context_of(plant, make(plant)))
            assert served.results() == {"tls_failed": 1}
    assert len(reasons) == 1
    assert logged in reasons[0]
    assert heard.replace(" ", "_").upper() in told.upper().replace(" ", "_"), "the alert reaches the client"


async def test_s4_a_plain_client_is_named_so(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    with _told(caplog) as reasons:
        async with serving(plan("cable", raw(tls="plant")), cables=[Cable()], tls=(table(plant),)) as served:
            client = await connect(Client, served.port())
            client.send(b"\x00\x01\x00\x00\x00\x06\x01\x03\x00\x00\x00\x01")
            await until(lambda: client.lost)
    assert reasons == ["it does not speak TLS"]


async def test_s16_a_client_of_plain_http_is_told(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    with _told(caplog) as reasons:
        async with serving(plan("cable", raw(tls="plant")), cables=[Cable()], tls=(table(plant),)) as served:
            client = await connect(Client, served.port())
            client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await until(lambda: client.lost)
            assert client.heard.startswith(b"HTTP/1.1 400 ")
            assert b"https://" in client.heard
    assert reasons == ["it speaks plain HTTP: https:// is what is spoken here"]


async def test_s4_an_old_client_is_named_so(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    old = context_of(plant)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with _told(caplog) as reasons:
        tls = (table(plant, minimum="1.3"),)
        async with serving(plan("cable", raw(tls="plant")), cables=[Cable()], tls=tls) as served:
            await _refused(served, old)
    assert reasons == ["its versions of TLS are too old"]


async def test_s4_a_client_that_does_not_believe_us_is_named_so(
    plant: Plant, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    with _told(caplog) as reasons:
        async with serving(plan("cable", raw(tls="plant")), cables=[Cable()], tls=(table(plant),)) as served:
            # asyncio's own client does not say why it goes.
            with pytest.raises(ssl.SSLCertVerificationError):
                await shake_hands(partial(_calling, served.port()), context_of(Plant(tmp_path)), "localhost")
            await until(lambda: served.results().get("tls_failed"))
    assert reasons == ["it does not believe our certificate: it does not know who signed it"]


@pytest.mark.long
async def test_s4_a_scanner_writes_few_lines(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    access = AccessSettings(max_per_address=1000)
    with _told(caplog) as reasons:
        async with serving(
            plan("cable", raw(tls="plant")), cables=[Cable()], tls=(table(plant),), access=access
        ) as served:
            for _ in range(20):
                clients = [await connect(Client, served.port()) for _ in range(50)]
                for client in clients:
                    client.send(b"scan" * 4)
                await until(lambda: all(client.lost for client in clients))  # noqa: B023 - awaited at once
            assert served.results() == {"tls_failed": 1000}
    assert len(reasons) < 3


async def _calling(port: int, make: Callable[[], asyncio.Protocol]) -> None:
    await asyncio.get_running_loop().create_connection(make, "127.0.0.1", port)


@pytest.mark.long
async def test_s4_a_hundred_thousand_attempts_write_fewer_than_a_hundred_lines(
    plant: Plant, caplog: pytest.LogCaptureFixture
) -> None:
    """A half from one address, the others each from one of its own, all within a minute."""
    with _told(caplog) as reasons:
        async with serving(plan("cable", raw(tls="plant")), cables=[Cable()], tls=(table(plant),)) as served:
            listener = served.gateway._ports["cable"].services.running[0].runs
            assert isinstance(listener, Listener)
            first, one = int(ip_address("2001:db8::")), ip_address("192.0.2.1")
            for number in range(100_000):
                address = one if number % 2 else ip_address(first + (number << 64))
                listener._say_failed(Endpoint(str(address), 1), address, ConnectionResetError())
            assert served.results() == {"tls_failed": 100_000}
    assert 1 < len(reasons) < 100


# S5: files that change.


async def _shown(served: Served, plant: Plant, clients: bool = False) -> str:
    """The subject of the certificate that a newcomer is shown."""
    client = await secured(served.port(), context_of(plant, plant.client("asking") if clients else None))
    certificate = client.transport.get_extra_info("peercert")
    await client.close()
    return str(dict(each[0] for each in certificate["subject"])["commonName"])


async def test_s5_a_reload_shows_the_new_certificate_and_drops_nobody(plant: Plant) -> None:
    cable = Cable()
    port, tls = plan("cable", raw(tls="plant")), (table(plant, plant.pair("before", file="shown")),)
    async with serving(port, cables=[cable], tls=tls) as served:
        stays = await secured(served.port(), context_of(plant))
        plant.pair("after", file="shown")
        await served.gateway.reload(settings(port, tls=tls))
        assert await _shown(served, plant) == "after"
        stays.send(b"still here")
        await until(lambda: cable.heard == b"still here")
        assert served.gateway.status().tls[0].certificates[0].name == "CN=after"
        await stays.close()


async def test_s5_bad_files_leave_the_old_in_force_and_say_so(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    pair = plant.pair("kept", file="kept")
    port, tls = plan("cable", raw(tls="plant")), (table(plant, pair),)
    with _told(caplog) as reasons:
        async with serving(port, cables=[Cable()], tls=tls) as served:
            good = read(pair.certificate)
            write(pair.certificate, b"-----BEGIN CERTIFICATE-----\nrubbish")
            await served.gateway.reload(settings(port, tls=tls))
            assert await _shown(served, plant) == "kept"
            assert served.gateway.status().tls[0].error
            write(pair.certificate, good)
            await until(lambda: not served.gateway.status().tls[0].error, within=30)
    assert reasons == [f"{pair.certificate}: holds no certificate in PEM"]


async def test_s5_files_that_come_late_are_found(plant: Plant, tmp_path: Path) -> None:
    pair = plant.pair("late")
    missing = Pair(str(tmp_path / "late.crt"), str(tmp_path / "late.key"))
    async with serving(plan("cable", raw(tls="plant")), cables=[Cable()], tls=(table(plant, missing),)) as served:
        status = served.gateway.status()
        assert not status.ready
        assert [each.reason for each in status.missing] == [f"{missing.certificate}: No such file or directory"]
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await secured(served.port(), context_of(plant))
        for there, here in ((missing.certificate, pair.certificate), (missing.key, pair.key)):
            write(there, read(here))
        await until(lambda: served.gateway.status().ready, within=30)
        assert await _shown(served, plant) == "late"


BAD: dict[str, tuple[Callable[[Pair, Pair], KeyPair], str]] = {
    "no key": (lambda pair, other: KeyPair(pair.certificate, pair.certificate), "holds no key in PEM"),
    "another's key": (lambda pair, other: KeyPair(pair.certificate, other.key), "is not the key of this certificate"),
    "locked": (lambda pair, other: KeyPair(pair.certificate, pair.key), "is locked by a password"),
}


@pytest.mark.parametrize("case", BAD)
async def test_s5_what_is_wrong_with_a_file_is_said(plant: Plant, case: str) -> None:
    make, reason = BAD[case]
    pair = plant.pair("one", password=b"canary-of-a-password" if case == "locked" else None)
    tls = (table(plant).__class__("plant", (make(pair, plant.pair("other")),)),)
    async with serving(plan("cable", raw(tls="plant")), cables=[Cable()], tls=tls) as served:
        assert reason in served.gateway.status().tls[0].error


async def test_s5_a_key_with_a_password(plant: Plant, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pair = plant.pair("locked", password=b"canary-of-a-password")
    file = tmp_path / "password"
    for password, error in (
        ("canary-of-a-password", ""),
        ("canary-of-another", "cannot be opened: its password is another, or it is damaged"),
    ):
        write(file, f"{password}\n".encode())
        tls = (table(plant).__class__("plant", (KeyPair(pair.certificate, pair.key, str(file)),)),)
        async with serving(plan("cable", raw(tls="plant")), cables=[Cable()], tls=tls) as served:
            assert served.gateway.status().tls[0].error == (f"{pair.key}: {error}" if error else "")
            assert "canary" not in str(served.gateway.status())
    assert "canary" not in caplog.text, "S29"


@pytest.mark.long
def test_s5_two_hundred_readings_shake_hands_and_leave_nothing_behind(plant: Plant) -> None:
    """In memory: each reading serves a client at once, and contexts of before are given back."""
    settings, client = table(plant), context_of(plant)
    read_again = read_table(settings)
    before = _alive(ssl.SSLContext)
    for number in range(200):
        read_again.read(settings)
        if number % 50 == 0:
            assert read_again.server is not None
            _agree(client, read_again.server)
    assert _alive(ssl.SSLContext) == before


def _agree(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    """Shake hands between memory and memory; raises if there is no agreement."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(back, there, server_hostname="localhost"), server.wrap_bio(there, back, server_side=True)]
    while ends:
        for end in tuple(ends):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
                ends.remove(end)


@pytest.mark.long
async def test_s5_a_thousand_reloads_under_load(plant: Plant) -> None:
    cable = Cable()
    port, tls = plan("cable", raw(tls="plant", max_clients=100, half_close=0.0)), (table(plant),)
    async with serving(port, cables=[cable], tls=tls) as served:
        context, done = context_of(plant), False
        stays = await secured(served.port(), context)

        async def come_and_go() -> int:
            count = 0
            while not done:
                client = await secured(served.port(), context)
                client.transport.abort()  # to close in good order it would wait for our direction's end, too
                count += 1
                await asyncio.sleep(0.03)
            return count

        async with asyncio.TaskGroup() as tasks:
            coming = [tasks.create_task(come_and_go()) for _ in range(3)]
            for _ in range(1000):
                await served.gateway.reload(settings(port, tls=tls))
                await asyncio.sleep(0.003)
            done = True
        assert sum(task.result() for task in coming) > 100
        assert "tls_failed" not in served.results()
        assert not stays.lost
        await stays.close()


# S6: who has said that it sends no more still hears the answer.


async def test_s6_a_client_that_writes_and_ends_its_direction_gets_its_answer(plant: Plant) -> None:
    cable = Cable()
    async with serving(plan("cable", raw(tls="plant")), cables=[cable], tls=(table(plant),)) as served:
        context = context_of(plant)
        sock = await asyncio.to_thread(_blocking, context, served.port())
        sock.sendall(b"ask")
        await until(lambda: cable.heard == b"ask")
        await asyncio.to_thread(_goodbye, sock)
        await until(lambda: served.service().clients[0].state == "half-closed")
        cable.far.write(b"answer")
        await until(lambda: served.service().clients[0].sent == 6)
        assert sock.recv(10) == b"answer"
        sock.close()
        await until(lambda: not served.service().clients)


def _blocking(context: ssl.SSLContext, port: int) -> ssl.SSLSocket:
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost")


def _goodbye(sock: ssl.SSLSocket) -> None:
    """Send a close_notify, and wait for none."""
    sock.setblocking(False)
    with contextlib.suppress(ssl.SSLWantReadError):
        sock._sslobj.shutdown()  # type: ignore[attr-defined]
    sock.setblocking(True)


async def test_s6_a_client_that_vanishes_without_goodbye_is_one_that_closed(plant: Plant) -> None:
    async with serving(plan("cable", raw(tls="plant")), cables=[Cable()], tls=(table(plant),)) as served:
        client = await secured(served.port(), context_of(plant))
        await client.reset()
        await until(lambda: served.results().get("closed"))
        assert served.results() == {"accepted": 1, "closed": 1}


async def test_s6_a_client_that_breaks_tls_ends_alone(plant: Plant) -> None:
    cable = Cable()
    async with serving(plan("cable", raw(tls="plant")), cables=[cable], tls=(table(plant),)) as served:
        good = await secured(served.port(), context_of(plant))
        sock = await asyncio.to_thread(_blocking, context_of(plant), served.port())
        bare = sock.detach()
        os.write(bare, b"this is no record of TLS at all")
        await until(lambda: served.results().get("error"))
        os.close(bare)
        good.send(b"still here")
        await until(lambda: cable.heard == b"still here")
        await good.close()


@pytest.mark.long
async def test_s6_nothing_is_said_of_connections_that_came_and_went(
    plant: Plant, caplog: pytest.LogCaptureFixture, times: int
) -> None:
    """As S6 wants it with --times 50: 10,000, each ended in one of four ways. Nothing is left behind."""
    service = raw(tls="plant", half_close=0.05, max_clients=64)
    context, port = context_of(plant), plan("cable", service)
    async with serving(port, cables=[Cable()], tls=(table(plant),), access=AccessSettings(1000, 1000)) as served:

        async def come_and_go(way: int) -> None:
            client = await secured(served.port(), context)
            client.send(b"x")
            match way:
                case 0:
                    await client.close()
                case 1:
                    client.transport.abort()
                case 2:
                    await client.reset()
                case 3:
                    client.transport.close()

        with caplog.at_level(logging.WARNING):
            before = _alive(ssl.SSLObject)
            for _ in range(50 * times):
                await asyncio.gather(*(come_and_go(way) for way in range(4)))
            await until(lambda: not served.service().clients)
        results = served.results()
        assert results.pop("accepted") == sum(results.values()) == 200 * times
        await until(lambda: _alive(ssl.SSLObject) <= before)
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


# S7: off costs nothing.


@pytest.mark.long
def test_s7_a_plain_service_imports_nothing_of_tls() -> None:
    program = """
import sys, asyncio
from nportpy.gateway.running import Gateway
from nportpy.config import parse
settings = parse('[http]\\nlisten = false\\n[port.a]\\ndevice = "loop://"\\n[port.a.raw]\\nlisten = "127.0.0.1:0"'
                 .replace('127.0.0.1:0', '127.0.0.1:47113'), "x")
async def main():
    gateway = Gateway(settings)
    task = asyncio.get_running_loop().create_task(gateway.run())
    await gateway.ready.wait()
    gateway.stop()
    await task
asyncio.run(main())
print(sorted(name for name in sys.modules if name.startswith("nportpy") and ("tls_" in name or "x509" in name)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['nportpy.config.tls_tables', 'nportpy.network.tls_settings']"


# S10: a clock that is not known.


async def _with_clock(plant: Plant, monkeypatch: pytest.MonkeyPatch, now: float, *, synchronised: bool) -> None:
    monkeypatch.setattr(wallclock, "disciplined", lambda: synchronised)
    monkeypatch.setattr(time, "time", lambda: now)


@pytest.mark.parametrize("year", [1970, 2099])
async def test_s10_nobody_is_locked_out_before_the_clock_is_known(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, year: int, caplog: pytest.LogCaptureFixture
) -> None:
    """OpenSSL asks the clock itself: a certificate that has expired stands for one that a wrong clock makes so."""
    tls = (table(plant, clients=Clients.REQUIRED),)
    context = context_of(plant, plant.client("expired by the clock", days=(-100, -1)))
    real = time.time()
    await _with_clock(plant, monkeypatch, (year - 1970) * 365.25 * 86400, synchronised=False)
    with caplog.at_level(logging.WARNING):
        async with serving(plan("cable", raw(tls="plant")), cables=[Cable()], tls=tls) as served:
            client = await secured(served.port(), context)
            await until(lambda: served.service().clients)
            assert served.service().clients[0].identity == "CN=expired by the clock"
            assert not served.gateway.status().tls[0].checked
            await client.close()
            await _with_clock(plant, monkeypatch, real, synchronised=True)
            await until(lambda: served.gateway.status().tls[0].checked, within=30)
            await _refused(served, context)
            assert served.results()["tls_failed"] == 1
    messages = [record.message for record in caplog.records]
    assert "the clock is not known yet: dates of certificates are not looked at" in messages
    assert "the clock is known now: dates of certificates are looked at" in messages


# S11: revocation.


async def test_s11_a_revoked_client_goes_at_once_and_does_not_come_back(plant: Plant) -> None:
    shown = plant.client("lost laptop")
    other = plant.client("other")
    crl = plant.revoke()
    port, tls = plan("cable", raw(tls="plant")), (table(plant, clients=Clients.REQUIRED, crl=crl),)
    async with serving(port, cables=[Cable()], tls=tls) as served:
        lost, stays = [await secured(served.port(), context_of(plant, each)) for each in (shown, other)]
        await until(lambda: len(served.service().clients) == 2)
        plant.revoke("lost laptop")
        await served.gateway.reload(settings(port, tls=tls))
        await until(lambda: lost.lost)
        assert "revoked" in (await _refused(served, context_of(plant, shown))).lower()
        assert not stays.lost
        assert served.results()["not_allowed"] == 1
        await stays.close()


async def test_s11_an_authority_that_is_taken_away_takes_its_clients_along(plant: Plant, tmp_path: Path) -> None:
    old, both = Plant(tmp_path, "old"), tmp_path / "both.crt"
    write(both, read(plant.ca) + read(old.ca))
    tls = (table(plant, clients=Clients.REQUIRED, ca=str(both)),)
    port = plan("cable", raw(tls="plant"))
    async with serving(port, cables=[Cable()], tls=tls) as served:
        context = context_of(plant)
        pair = old.client("of the old")
        context.load_cert_chain(pair.certificate, pair.key)
        client = await secured(served.port(), context)
        await until(lambda: served.service().clients)
        write(both, read(plant.ca))
        await served.gateway.reload(settings(port, tls=tls))
        await until(lambda: client.lost)


@pytest.mark.parametrize("policy", Expired)
async def test_s11_an_expired_list_per_policy(plant: Plant, policy: Expired) -> None:
    good, bad = plant.client("good"), plant.client("bad")
    crl = plant.revoke("bad", days=-1)
    tls = (table(plant, clients=Clients.REQUIRED, crl=crl, crl_expired=policy),)
    async with serving(plan("cable", raw(tls="plant")), cables=[Cable()], tls=tls) as served:
        assert await _is_let_in(served, context_of(plant, good)) is (policy is Expired.WARN)
        assert not await _is_let_in(served, context_of(plant, bad))


async def _is_let_in(served: Served, context: ssl.SSLContext) -> bool:
    before = served.results().get("tls_failed", 0)
    try:
        client = await secured(served.port(), context)
    except (ssl.SSLError, ConnectionError):
        return False
    await until(lambda: served.results().get("tls_failed", 0) > before or served.service().clients)
    if served.results().get("tls_failed", 0) > before:
        await until(lambda: client.lost)
        return False
    await client.close()
    await until(lambda: not served.service().clients)
    return True


# HTTP.


async def test_s1_http_by_tls(plant: Plant) -> None:
    """And who speaks plainly there is told, and a silent one keeps nobody out."""
    http = HttpSettings((("127.0.0.1", 0),), tls="plant")
    async with serving(plan("cable"), cables=[Cable()], tls=(table(plant),), http=http) as served:
        port = served.gateway._http._service.endpoints[0].port  # type: ignore[union-attr]
        silent = [await connect(Client, port) for _ in range(100)]
        client = await secured(port, context_of(plant), source="127.0.0.2")
        client.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        await until(lambda: client.lost)
        assert client.heard.startswith(b"HTTP/1.1 200 OK")
        plain = await connect(Client, port, source="127.0.0.3")
        plain.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await until(lambda: plain.lost)
        assert plain.heard.startswith(b"HTTP/1.1 400 ")
        for each in silent:
            await each.close()
