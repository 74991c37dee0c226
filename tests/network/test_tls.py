"""TLS at the door: who comes in, in which order, and what the log says of those who do not (reference rows S1 to S11)."""

import asyncio
import contextlib
import logging
import socket
import ssl
from pathlib import Path

import pytest

from nportpy.network.service import WhenFull
from nportpy.network.tls_settings import Clients
from nportpy.port.loopback import Cable
from tests.support.serving import Client, connect, plan, raw, serving, settings, until
from tests.support.tls import Plant, context_of, secured, table


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return Plant(tmp_path_factory.mktemp("plant"))


@pytest.mark.real
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


@pytest.mark.real
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


@pytest.mark.real
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
