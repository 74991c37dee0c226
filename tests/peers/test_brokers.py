"""The brokers and databases that other tests are run against start, die and come back."""

from pathlib import Path

import pytest

from tests.support import brokers

pytestmark = [pytest.mark.peer, pytest.mark.real("asyncio")]  # the programs are tried here, no loop of ours


async def test_mosquitto_comes_back_at_its_port(tmp_path: Path) -> None:
    async with brokers.mosquitto(tmp_path) as server:
        await server.kill()
        assert not await server.ready()
        await server.start()
        assert await server.ready()


async def test_a_cluster_of_nats_has_a_leader(tmp_path: Path) -> None:
    async with brokers.nats_cluster(tmp_path) as servers:
        assert len({server.port for server in servers}) == 3


async def test_postgres_comes_back_after_a_kill() -> None:
    async with brokers.postgres() as server:
        await server.kill()
        await server.start()
        assert server.folder.exists()
    assert not server.folder.exists()


async def test_databases_of_time_series(tmp_path: Path) -> None:
    async with brokers.influxd(tmp_path) as influx, brokers.victoria_metrics(tmp_path) as victoria:
        assert await influx.ready()
        assert await victoria.ready()
