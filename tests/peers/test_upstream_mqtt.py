"""Upstreams and Debian's mosquitto, subscribed by paho: killed brokers, rights, TLS, last wills, holes on the way."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nportpy.edge.messages import StationState, decode_state
from nportpy.edge.wire import decode_meta
from nportpy.network.tls_settings import KeyPair, TlsSettings
from tests.support.brokers import Server, found, mosquitto
from tests.support.certificates import Authority
from tests.support.free_ports import free_port
from tests.support.holes import Hole
from tests.support.serving import until
from tests.support.stations import station_of, tag
from tests.support.subscribers import paho
from tests.support.upstreams import Sending, sending_to

pytestmark = [pytest.mark.peer, pytest.mark.real, pytest.mark.slow]

STATE = "nportpy/v1/here/pi/state"


async def says(at: Sending, *words: str) -> None:
    await until(lambda: all(word in at.upstream.status().reason for word in words), 30.0)


async def test_e9_a_broker_that_is_killed_and_comes_back(tmp_path: Path) -> None:
    async with (
        mosquitto(tmp_path / "broker") as broker,
        Hole(broker.port).running() as way,
        sending_to(tmp_path, f"mqtt://127.0.0.1:{way.port}") as at,
    ):
        before = await _heard_until_killed(at, broker, way)
        await at.feed(1.0, 100.0)
        await until(lambda: not at.upstream.status().up)
        assert at.upstream.status().reason
        await broker.start()
        async with paho(broker.port) as heard:
            way.refuses = False
            await at.feed(0.5, 100.0)
            await until(lambda: at.upstream.status().up)
            await at.feed(0.5, 100.0)
            await at.settle()
            await until(lambda: set(heard.received()) | before == at.all)
            assert heard.received(late=True) == sorted(heard.received(late=True))
            assert decode_meta(heard.retained["nportpy/v1/here/pi/meta"]).tags == (at.tag,)
            newest = 0
            for batch in heard.batches:  # E8
                if not batch.late:
                    assert batch.rows[0].at >= newest
                    newest = batch.rows[-1].at


async def _heard_until_killed(at: Sending, broker: Server, way: Hole) -> set[tuple[str, int]]:
    async with paho(broker.port) as heard:
        await at.feed(1.0, 100.0)
        await at.settle()
        await until(lambda: set(heard.received()) == at.all)
        way.refuses = True  # until somebody listens again
        await broker.kill()
    return set(heard.received())


async def test_e4_the_broker_comes_later(tmp_path: Path) -> None:
    port = free_port()
    async with sending_to(tmp_path, f"mqtt://127.0.0.1:{port}") as at:
        await at.feed(1.0, 100.0)
        await says(at, "Connection refused")
        assert at.archive.newest > 0
        async with mosquitto(tmp_path / "broker", port=port):
            await at.settle()
            assert at.upstream.status().sent_late >= at.archive.newest - 1


async def test_the_second_url_is_tried(tmp_path: Path) -> None:
    async with (
        mosquitto(tmp_path / "broker") as broker,
        sending_to(tmp_path, f"mqtt://127.0.0.1:{free_port()}", broker.url) as at,
    ):
        await at.feed(0.5, 100.0)
        await at.settle()
        assert str(broker.port) in at.upstream.status().url


def with_users(folder: Path, acl: str) -> str:
    folder.mkdir(exist_ok=True)
    users, rights = folder / "users", folder / "acl"
    for name in ("pi", "reader"):
        done = [found("mosquitto_passwd", "mosquitto"), *(() if users.exists() else ("-c",)), "-b"]
        subprocess.run([*done, str(users), name, f"{name}'s word"], check=True, capture_output=True)
    rights.write_text(f"user reader\ntopic readwrite #\n{acl}\n")
    return f"allow_anonymous false\npassword_file {users}\nacl_file {rights}"


async def test_a_user_whose_password_is_wrong_and_is_put_right(tmp_path: Path) -> None:
    word = tmp_path / "password"
    word.write_text("wrong\n")
    config = with_users(tmp_path / "broker", "user pi\ntopic readwrite nportpy/#")
    async with (
        mosquitto(tmp_path / "broker", config) as broker,
        sending_to(tmp_path, broker.url, user="pi", password_file=str(word)) as at,
    ):
        await at.feed(0.5, 100.0)
        await says(at, "Not authorized")
        assert not at.upstream.status().up
        word.write_text("pi's word\nsecond line\n")
        async with paho(broker.port, "reader", "reader's word") as heard:
            await at.settle()
            await until(lambda: set(heard.received()) == at.all)


async def test_rights_that_are_given_later_0x87(tmp_path: Path) -> None:
    word = tmp_path / "password"
    word.write_text("pi's word")
    config = with_users(tmp_path / "broker", "user pi\ntopic write nportpy/v1/here/pi/state")
    async with (
        mosquitto(tmp_path / "broker", config) as broker,
        sending_to(tmp_path, broker.url, user="pi", password_file=str(word)) as at,
    ):
        await at.feed(1.0, 100.0)
        await says(at, "Not authorized")
        assert at.upstream.status().up
        assert at.upstream.status().backlog == at.archive.newest
        assert at.upstream.status().refused == 0
        rights = tmp_path / "broker" / "acl"
        rights.write_text(rights.read_text() + "topic readwrite nportpy/#\n")
        os.kill(broker.pid, signal.SIGHUP)
        async with paho(broker.port, "reader", "reader's word") as heard:
            await at.settle()
            await until(lambda: set(heard.received()) == at.all)


class _Secured:
    """A mosquitto with a listener of TLS beside the plain one."""

    def __init__(self, folder: Path, server: str, subject: str, days: int = 30, *, clients: bool = False) -> None:
        self.authority = Authority(folder)
        mine = self.authority.certify(server, subject, days)
        self.port = free_port()
        self.config = (
            f"listener {self.port} 127.0.0.1\ncafile {self.authority.certificate}\n"
            f"certfile {mine.certificate}\nkeyfile {mine.key}\nrequire_certificate {str(clients).lower()}\n"
        )

    @property
    def url(self) -> str:
        return f"mqtts://127.0.0.1:{self.port}"


async def test_tls_whose_authority_is_known(tmp_path: Path) -> None:
    secured = _Secured(tmp_path / "tls", "broker", "IP:127.0.0.1")
    async with (
        mosquitto(tmp_path / "broker", secured.config) as broker,
        paho(broker.port) as heard,
        sending_to(tmp_path, secured.url, tls=TlsSettings("", ca=secured.authority.certificate)) as at,
    ):
        for _ in range(5):
            await at.feed(0.2, 2000.0)
        await at.settle()
        await until(lambda: set(heard.received()) == at.all)


@pytest.mark.parametrize(
    ("subject", "days", "known", "words"),
    [
        ("DNS:elsewhere.example", 30, True, "IP address mismatch"),
        ("IP:127.0.0.1", -1, True, "certificate has expired"),
        ("IP:127.0.0.1", 30, False, "certificate is not accepted"),
    ],
)
async def test_tls_that_is_not_what_it_should_be(
    tmp_path: Path, subject: str, days: int, known: bool, words: str
) -> None:
    secured = _Secured(tmp_path / "tls", "broker", subject, days)
    trusted = secured.authority if known else Authority(tmp_path / "tls", "somebody-else")
    async with (
        mosquitto(tmp_path / "broker", secured.config),
        sending_to(tmp_path, secured.url, tls=TlsSettings("", ca=trusted.certificate)) as at,
    ):
        await at.feed(0.3, 100.0)
        await says(at, "its certificate is not accepted", words)
        assert at.upstream.status().connects == 0


async def test_tls_to_a_port_without(tmp_path: Path) -> None:
    async with mosquitto(tmp_path / "broker") as broker:
        async with sending_to(tmp_path, broker.url.replace("mqtt:", "mqtts:")) as at:
            await until(lambda: at.upstream.status().reason not in ("", "not connected yet"))
        async with sending_to(tmp_path, broker.url) as at:
            await until(lambda: at.upstream.status().up)


async def test_a_client_certificate_that_the_broker_wants(tmp_path: Path) -> None:
    secured = _Secured(tmp_path / "tls", "broker", "IP:127.0.0.1", clients=True)
    ca, ours = secured.authority.certificate, secured.authority.certify("pi", "DNS:pi")
    async with mosquitto(tmp_path / "broker", secured.config):
        async with sending_to(tmp_path, secured.url, tls=TlsSettings("", ca=ca)) as at:
            await until(lambda: at.upstream.status().reason not in ("", "not connected yet"), 20.0)
            assert at.upstream.status().connects == 0
        async with sending_to(
            tmp_path, secured.url, tls=TlsSettings("", (KeyPair(ours.certificate, ours.key),), ca)
        ) as at:
            await at.feed(0.3, 100.0)
            await at.settle()


_NODE = """
import asyncio, sys
from pathlib import Path
from tests.support.upstreams import sending_to

async def main():
    async with sending_to(Path(sys.argv[1]), sys.argv[2], keepalive=float(sys.argv[3])) as at:
        print("up", flush=True)
        await at.feed(600.0, 20.0)

asyncio.run(main())
"""


async def test_e13_a_node_that_is_killed_is_known_to_be_away(tmp_path: Path) -> None:
    async with mosquitto(tmp_path / "broker") as broker, paho(broker.port) as heard:
        node = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _NODE, str(tmp_path), broker.url, "4", stdout=asyncio.subprocess.PIPE
        )
        try:
            await until(lambda: STATE in heard.retained and decode_state(heard.retained[STATE]).online, 20.0)
            node.kill()
            await until(lambda: not decode_state(heard.retained[STATE]).online, 1.5 * 4 + 1)
        finally:
            if node.returncode is None:
                node.kill()
            await node.communicate()


async def test_e13_a_node_whose_packets_vanish_is_known_to_be_away(tmp_path: Path) -> None:
    keepalive = 2
    async with (
        mosquitto(tmp_path / "broker") as broker,
        paho(broker.port) as heard,
        Hole(broker.port).running() as way,
        sending_to(tmp_path, f"mqtt://127.0.0.1:{way.port}", keepalive=float(keepalive)) as at,
    ):
        await at.feed(1.0, 50.0)
        await until(lambda: STATE in heard.retained and decode_state(heard.retained[STATE]).online)
        way.open = True
        began = asyncio.get_running_loop().time()
        await until(lambda: not decode_state(heard.retained[STATE]).online, 30.0)
        # mosquitto looks for such clients every now and then, not at once
        assert asyncio.get_running_loop().time() - began < 1.5 * keepalive + 6


async def test_e9_packets_that_vanish_silently(tmp_path: Path) -> None:
    async with (
        mosquitto(tmp_path / "broker") as broker,
        paho(broker.port) as heard,
        Hole(broker.port).running() as way,
        sending_to(tmp_path, f"mqtt://127.0.0.1:{way.port}", keepalive=2.0, overlap=4.0) as at,
    ):
        await at.feed(2.0, 100.0)
        assert at.upstream.status().up
        way.open = True
        await at.feed(8.0, 100.0)
        assert not at.upstream.status().up
        way.open = False
        await at.feed(1.0, 100.0)
        await at.settle()
        await until(lambda: set(heard.received()) == at.all)
        assert len(heard.received()) > len(at.all)  # duplicates, which (node, boot, seq) tells
        assert at.upstream.status().lost == 0


async def test_e3_a_long_way_does_not_hold_up_what_is_live(tmp_path: Path) -> None:
    async with mosquitto(tmp_path / "broker") as broker, paho(broker.port) as heard, Hole(broker.port).running() as way:
        way.delay = 0.3
        async with sending_to(tmp_path, f"mqtt://127.0.0.1:{way.port}") as at:
            await until(lambda: at.upstream.status().up, 20.0)
            await asyncio.sleep(2.0)  # its tag table is there, and live begins
            await at.feed(5.0, 100.0)
            await at.settle()
            await until(lambda: set(heard.received()) == at.all)
            assert heard.received(late=True) == []
            assert at.upstream.status().connects == 1


async def test_homeassistant_hears_of_stations_and_their_present_values(tmp_path: Path) -> None:
    stations = [station_of(tag("power", "30001", "float32", unit="kW"))]
    async with mosquitto(tmp_path / "broker") as broker, paho(broker.port) as heard:
        keys: dict[str, Any] = {
            "homeassistant": "homeassistant",
            "configured": lambda: tuple(stations),
            "stations": lambda: tuple(StationState(each.name, True, 1) for each in stations),
        }
        async with sending_to(tmp_path, broker.url, **keys) as at:
            announced, values = "homeassistant/device/nportpy-here-pi-emon/config", "nportpy/v1/here/pi/values/emon"
            await until(lambda: announced in heard.retained)
            assert json.loads(heard.retained[announced])["state_topic"] == values
            await at.feed(1.0, 50.0)
            await at.settle()
            await until(lambda: json.loads(heard.retained.get(values, b"{}")).get("power") == at.produced - 1)
            stations.clear()
            at.upstream.changed()
            await until(lambda: heard.retained[announced] == heard.retained[values] == b"")
    assert set(heard.received()) == at.all
