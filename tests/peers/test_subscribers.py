"""What docs/subscribers.md says: its scripts run, its files are what they say they are."""

import asyncio
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.brokers import mosquitto
from tests.support.brokers import nats as nats_node
from tests.support.peers import program
from tests.support.upstreams import sending_to

PAGE = (Path(__file__).parents[2] / "docs" / "subscribers.md").read_text()


def block(mark: str) -> str:
    match = re.search(rf"<!-- {mark} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert match, mark
    return match[1]


def test_telegrafs_file_is_toml_and_the_flow_is_json() -> None:
    [consumer] = tomllib.loads(block("toml"))["inputs"]["mqtt_consumer"]
    assert consumer["data_format"] == "influx"
    flow = {node["id"]: node for node in json.loads(block("json"))}
    assert all(wire in flow for node in flow.values() for wires in node.get("wires", []) for wire in wires)


@pytest.mark.peer
@pytest.mark.real
async def test_the_script_for_paho_prints_each_sample(tmp_path: Path) -> None:
    async with mosquitto(tmp_path / "broker") as broker:
        script = block("run: paho").replace('"broker.example"', f'"127.0.0.1", {broker.port}')
        async with program(sys.executable, "-c", script) as reader, sending_to(tmp_path, broker.url) as at:
            await asyncio.sleep(2.0)
            await at.feed(0.5, 100.0)
            assert reader.stdout is not None
            async with asyncio.timeout(20):
                lines = [(await reader.stdout.readline()).split() for _ in range(at.produced)]
            assert [float(line[3]) for line in lines] == [float(number) for number in range(at.produced)]
            assert {line[2] for line in lines} == {b"emon/power"}


@pytest.mark.peer
@pytest.mark.real
async def test_the_consumer_for_nats_prints_each_batch(tmp_path: Path) -> None:
    async with nats_node(tmp_path / "nats") as server, sending_to(tmp_path, server.url) as at:
        await at.feed(0.5, 100.0)
        await at.settle()
        script = block("run: nats").replace("nats://broker.example:4222", server.url)
        async with program(sys.executable, "-c", script) as reader:
            assert reader.stdout is not None
            count = 0
            async with asyncio.timeout(20):
                while count < at.produced:
                    count += int((await reader.stdout.readline()).split()[2])
            assert count == at.produced
