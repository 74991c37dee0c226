"""Brokers that refuse, stall, close and talk nonsense: nothing is lost, the status says why, and nothing stays open."""

import asyncio
import threading
from pathlib import Path

import pytest

from nportpy.edge.messages import decode_state
from nportpy.network.tls_settings import TlsSettings
from tests.support.mqtt_broker import OddBroker
from tests.support.serving import until
from tests.support.upstreams import Sending, sending_to

pytestmark = [pytest.mark.real, pytest.mark.slow]  # they wait long, and beside all others


def samples(topic: str) -> bool:
    return topic.endswith(("live", "late"))


async def says(at: Sending, *words: str) -> None:
    await until(lambda: all(word in at.upstream.status().reason for word in words), 30.0)


@pytest.mark.parametrize(("code", "words"), [(0x97, "Quota exceeded"), (0x87, "Not authorized")])
async def test_e9_a_refusal_that_passes_loses_nothing(tmp_path: Path, code: int, words: str) -> None:
    async with OddBroker().running() as broker, sending_to(tmp_path, broker.url) as at:
        broker.puback = lambda topic, _: code if samples(topic) else 0
        await at.feed(1.0, 100.0)
        await says(at, words)
        assert at.upstream.status().up
        assert at.upstream.status().refused == 0
        broker.puback = lambda _topic, _payload: 0
        await at.settle()
        assert broker.received() == at.all
        assert at.upstream.status().reason == ""
        assert at.upstream.status().connects == 1


async def test_what_a_sample_is_refused_for_does_not_hold_up_the_others(tmp_path: Path) -> None:
    async with OddBroker().running() as broker, sending_to(tmp_path, broker.url) as at:
        broker.puback = lambda topic, payload: 0x99 if samples(topic) and b",7.0,192]" in payload else 0
        await at.feed(0.5, 100.0)
        await at.settle()
        assert at.upstream.status().refused == 1
        assert len(at.all - broker.received()) == 1


async def test_a_broker_that_refuses_everything_does_not_cost_the_archive(tmp_path: Path) -> None:
    async with OddBroker().running() as broker, sending_to(tmp_path, broker.url) as at:
        broker.puback = lambda topic, _: 0x80 if samples(topic) else 0
        await at.feed(2.0, 200.0)
        await says(at, "Unspecified error")
        await asyncio.sleep(1.0)
        assert at.upstream.status().refused <= 100
        broker.puback = lambda _topic, _payload: 0
        await at.settle()
        assert len(at.all - broker.received()) == at.upstream.status().refused


async def test_a_broker_that_closes_after_connect_is_tried_again(tmp_path: Path) -> None:
    async with OddBroker().running() as broker, sending_to(tmp_path, broker.url) as at:
        broker.closes = True
        await at.feed(0.5, 100.0)
        await says(at, "lost")
        broker.closes = False
        await at.settle()
        assert broker.received() == at.all


NONSENSE = (
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"\x20\xff\xff\xff\xff\xff",
    b"\x00" * 64,
    b"\x20\x03\x00\x00\x05",
    b"\x20\x02\x00\x01",
    b"\x20\x03\x00\x00\x00\x40\x00",
    b"\x20\x03\x00\x00\x00\xe0\x01\x8b",
)


@pytest.mark.parametrize("nonsense", NONSENSE)
async def test_nonsense_is_a_lost_connection_and_nothing_else(tmp_path: Path, nonsense: bytes) -> None:
    async with OddBroker().running() as broker, sending_to(tmp_path, broker.url, keepalive=1.0) as at:
        good, broker.connack = broker.connack, nonsense
        await at.feed(1.0, 50.0)
        assert at.upstream.status().reason
        broker.connack = good
        await at.settle()
        assert broker.received() == at.all


async def test_a_broker_that_never_welcomes_is_left(tmp_path: Path) -> None:
    async with OddBroker().running() as broker, sending_to(tmp_path, broker.url, keepalive=1.0) as at:
        good, broker.connack = broker.connack, None
        await at.feed(1.0, 50.0)
        await until(lambda: broker.connects > 1, 40.0)
        assert at.upstream.status().reason
        broker.connack = good
        await at.settle()
        assert broker.received() == at.all


async def test_a_broker_that_stops_reading_is_noticed_by_the_keepalive(tmp_path: Path) -> None:
    async with OddBroker().running() as broker, sending_to(tmp_path, broker.url, keepalive=2.0) as at:
        await at.feed(0.5, 100.0)
        await at.settle()
        broker.reads = False
        await at.feed(1.0, 2000.0)
        await until(lambda: at.upstream.status().connects > 1 or not at.upstream.status().up, 15.0)
        broker.reads = True
        await at.settle()
        assert broker.received() == at.all


async def test_an_upstream_ends_in_time_beside_a_broker_that_does_not_read(tmp_path: Path) -> None:
    before = threading.active_count()
    async with OddBroker().running() as broker, sending_to(tmp_path, broker.url, keepalive=3600.0) as at:
        await at.feed(0.5, 100.0)
        await at.settle()
        broker.reads = False
        await at.feed(1.0, 1000.0)
    assert threading.active_count() <= before + 2  # the executor's own


async def test_a_broker_that_never_acknowledges_is_left_in_bounded_time(tmp_path: Path) -> None:
    async with OddBroker().running() as broker, sending_to(tmp_path, broker.url, keepalive=1.0) as at:
        broker.puback = lambda topic, _: None if samples(topic) else 0
        await at.feed(1.0, 100.0)
        await says(at, "not acknowledged within 10 s")
        broker.puback = lambda _topic, _payload: 0
        await at.settle()
        assert broker.received() == at.all


async def test_slow_acknowledgements_are_waited_for_in_windows(tmp_path: Path) -> None:
    async with OddBroker().running() as broker, sending_to(tmp_path, broker.url) as at:
        broker.delay = 0.5
        await at.feed(3.0, 100.0)
        await at.settle()
        assert broker.received() == at.all
        assert at.upstream.status().connects == 1


async def test_no_more_is_under_way_than_the_broker_allows(tmp_path: Path) -> None:
    async with OddBroker().running() as broker, sending_to(tmp_path, broker.url) as at:
        broker.connack = bytes((0x20, 6, 0, 0, 3, 0x21, 0, 3))  # Receive Maximum 3 (MQTT 5.0, 3.2.2.3.3)
        broker.delay = 0.02
        for _ in range(20):
            await at.feed(0.05, 1000.0)
        await at.settle()
        assert broker.received() == at.all
        assert broker.most_under_way <= 3


async def test_a_batch_that_is_too_large_for_the_broker_is_halved(tmp_path: Path) -> None:
    async with OddBroker().running() as broker:
        broker.connack = bytes((0x20, 8, 0, 0, 5, 0x27, 0, 0, 8, 0))  # Maximum Packet Size 2048 (3.2.2.3.6)
        async with sending_to(tmp_path, broker.url) as at:
            for _ in range(5):
                at.archive.add([])
                await at.feed(0.05, 4000.0)
            await at.settle()
            assert broker.received() == at.all
            assert at.upstream.status().refused == 0


async def test_a_broker_without_qos_1_is_said_to_be_none(tmp_path: Path) -> None:
    async with OddBroker().running() as broker, sending_to(tmp_path, broker.url) as at:
        broker.connack = bytes((0x20, 5, 0, 0, 2, 0x24, 0))
        await says(at, "MaximumQoS")
        assert at.upstream.status().up is False


async def test_who_leaves_in_order_says_so(tmp_path: Path) -> None:
    async with OddBroker().running() as broker:
        async with sending_to(tmp_path, broker.url) as at:
            await until(lambda: at.upstream.status().up)
            await until(lambda: "nportpy/v1/here/pi/state" in broker.retained)
            assert decode_state(broker.retained["nportpy/v1/here/pi/state"]).online
        assert not decode_state(broker.retained["nportpy/v1/here/pi/state"]).online


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mqtt://127.0.0.1:1", "Connection refused"),
        ("nats://127.0.0.1:1", "Connection refused"),
        ("influx+http://127.0.0.1:1", "Connection refused"),
        ("mqtt://no-such-host.invalid", "its name is not known"),
        ("nats://no-such-host.invalid", "its name is not known"),
        ("influx+http://no-such-host.invalid", "its name is not known"),
        ("mqtt://" + "a" * 70 + ".invalid", "cannot connect"),
    ],
)
async def test_e4_why_nobody_is_there_is_said_and_the_archive_grows(tmp_path: Path, url: str, words: str) -> None:
    async with sending_to(tmp_path, url) as at:
        await at.feed(0.3, 100.0)
        await says(at, words)
        await until(lambda: at.archive.newest == at.produced)
        assert at.upstream.status().backlog == at.produced


@pytest.mark.parametrize("url", ["mqtt://127.0.0.1:1", "nats://127.0.0.1:1", "influx+http://127.0.0.1:1"])
async def test_a_password_file_that_is_missing_is_named(tmp_path: Path, url: str) -> None:
    missing = str(tmp_path / "password")
    async with sending_to(tmp_path, url, user="pi", password_file=missing) as at:
        await says(at, missing, "No such file")


@pytest.mark.parametrize("url", ["mqtts://127.0.0.1:1", "tls://127.0.0.1:1", "influx+https://127.0.0.1:1"])
async def test_a_file_of_tls_that_is_missing_is_named(tmp_path: Path, url: str) -> None:
    missing = str(tmp_path / "ca.pem")
    async with sending_to(tmp_path, url, tls=TlsSettings("", ca=missing)) as at:
        await says(at, missing, "No such file")
