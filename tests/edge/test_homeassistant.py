"""Discovery payloads against the keys that Home Assistant's MQTT integration knows, and when they are sent."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import jinja2
import pytest

from nportpy.edge.homeassistant import device_topic, encode_device, encode_values
from nportpy.edge.messages import StationState
from nportpy.edge.sample import Quality, Reading
from tests.support.stations import station_of, tag
from tests.support.upstreams import Broker, sending

# home-assistant.io, "MQTT" and "MQTT sensor", "MQTT binary sensor"; core's mqtt/schemas.py and sensor.py, 2024.12.
ROOT = {
    "device", "origin", "components", "state_topic", "command_topic", "qos", "encoding", "availability",
    "availability_mode", "availability_template", "availability_topic", "payload_available", "payload_not_available",
}  # fmt: skip
DEVICE = {
    "identifiers", "connections", "manufacturer", "model", "model_id", "name", "hw_version", "serial_number",
    "sw_version", "via_device", "suggested_area", "configuration_url",
}  # fmt: skip
ORIGIN = {"name", "sw_version", "support_url"}
SENSOR = {
    "platform", "unique_id", "name", "value_template", "unit_of_measurement", "device_class", "state_class",
    "suggested_display_precision", "expire_after", "force_update", "icon", "enabled_by_default", "entity_category",
}  # fmt: skip
BINARY = {"platform", "unique_id", "name", "value_template", "device_class", "payload_on", "payload_off"}
UNITS = {
    "voltage": {"V", "mV"},
    "current": {"A", "mA"},
    "power": {"W", "kW", "MW"},
    "reactive_power": {"var"},
    "apparent_power": {"VA"},
    "energy": {"Wh", "kWh", "MWh"},
    "frequency": {"Hz"},
    "temperature": {"°C"},
    "water": {"m³"},
}
STATE_CLASSES = {
    "energy": {"total", "total_increasing"},
    "water": {"total", "total_increasing"},
}

STATION = station_of(
    tag("voltage", "30001", "float32", unit="V", precision=1),
    tag("energy", "30003", "float32", unit="kWh", counter=True),
    tag("net", "30005", "float32", unit="kWh"),
    tag("reactive", "30007", "float32", unit="kvar"),
    tag("factor", "30009", "float32"),
    tag("mode", "30011", "uint16", words=((0, "off"), (1, "on"))),
    tag("serial", "30012", "string:8"),
    tag("relay", "00001", "bit"),
    tag('odd".name', "30020", "int16", unit="°C"),
    profile="emon-dmon-3400",
)


def device(**keys: Any) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(encode_device("here", "pi", keys.get("station", STATION), "1.0"))
    return payload


def test_only_keys_that_are_known() -> None:
    payload = device()
    assert payload.keys() <= ROOT
    assert payload["device"].keys() <= DEVICE
    assert payload["origin"].keys() <= ORIGIN
    assert payload["device"]["identifiers"]
    for component in payload["components"].values():
        assert component["platform"] in ("sensor", "binary_sensor")
        assert component.keys() <= (SENSOR if component["platform"] == "sensor" else BINARY)
        unit, device_class = component.get("unit_of_measurement"), component.get("device_class")
        if device_class:
            assert unit in UNITS[device_class]
            assert component["state_class"] in STATE_CLASSES.get(device_class, {"measurement"})


def test_units_and_classes() -> None:
    components = device()["components"]
    assert components["voltage"]["device_class"] == "voltage"
    assert components["voltage"]["suggested_display_precision"] == 1
    assert components["energy"]["state_class"] == "total_increasing"
    assert components["net"]["state_class"] == "total"
    assert "device_class" not in components["reactive"]
    assert components["reactive"]["unit_of_measurement"] == "kvar"
    for text in ("mode", "serial"):
        assert components[text].keys() == {"platform", "unique_id", "name", "value_template"}
    assert components["relay"]["platform"] == "binary_sensor"
    assert components['odd".name']["value_template"] == '{{ value_json["odd\\".name"] }}'


def test_every_name_is_unique_and_every_topic_is_one() -> None:
    ids = [each["unique_id"] for each in device()["components"].values()]
    assert len(set(ids)) == len(ids)
    topics = {device_topic("homeassistant", "here", "pi", name) for name in ("a.b", "a_b", "a-b", "a")}
    assert len(topics) == 4
    assert all(re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", topic) for topic in topics)


def test_values_are_all_tags_with_null_for_what_is_not_known() -> None:
    values = json.loads(encode_values(STATION, {"voltage": 230.1, "relay": True, "gone": 1}))
    assert values["voltage"] == 230.1
    assert values["relay"] is True
    assert values["energy"] is None
    assert set(values) == {each.name for each in STATION.tags}


@pytest.mark.parametrize(
    ("online", "up", "said"), [(True, True, "online"), (True, False, "offline"), (False, True, "offline")]
)
def test_availability_reads_the_nodes_state(online: bool, up: bool, said: str) -> None:
    state = {"online": online} | ({"stations": [{"name": "emon", "up": up}]} if online else {})
    assert jinja2.Template(device()["availability_template"]).render(value_json=state) == said


async def test_it_announces_tells_values_and_removes(tmp_path: Path) -> None:
    stations, broker = [station_of(tag("power", "30001", "float32", unit="kW"))], Broker()
    keys: dict[str, Any] = {"homeassistant": "homeassistant", "configured": lambda: tuple(stations)}
    topic = "homeassistant/device/nportpy-default-pi-emon/config"
    async with sending(tmp_path, broker, site="default", **keys) as at:
        await asyncio.sleep(1.0)
        assert "components" in json.loads(broker.retained[topic])
        await at.feed(10.0, 20.0)
        await at.settle()
        await asyncio.sleep(2.0)
        assert json.loads(broker.retained["values/emon"]) == {"power": at.produced - 1}
        told = [each for each in broker.messages if each.topic == "values/emon"]
        assert len(told) <= 12  # one a second
        assert len([each for each in broker.messages if each.topic == topic]) == 1
        at.archive.add([Reading(at.tag.id, None, Quality.BAD, at.clock.now())])
        await asyncio.sleep(5.0)
        assert json.loads(broker.retained["values/emon"]) == {"power": None}
        stations.clear()
        at.upstream.changed()
        await asyncio.sleep(2.0)
        assert broker.retained[topic] == broker.retained["values/emon"] == b""


async def test_what_is_late_is_not_told_as_the_present(tmp_path: Path) -> None:
    broker = Broker()
    broker.up = False
    keys: dict[str, Any] = {"configured": lambda: (station_of(tag("power", "30001", "float32")),)}
    async with sending(tmp_path, broker, homeassistant="homeassistant", **keys) as at:
        await at.feed(30.0)
        broker.up = True
        await asyncio.sleep(60.0)
        await at.settle()
        assert broker.received(late=True)
        assert "values/emon" not in broker.retained
        await at.feed(1.0)
        await asyncio.sleep(5.0)
        assert json.loads(broker.retained["values/emon"]) == {"power": at.produced - 1}


async def test_it_is_off_unless_it_is_wanted(tmp_path: Path) -> None:
    async with sending(tmp_path, configured=lambda: (STATION,)) as at:
        await at.feed(5.0)
        assert not [each for each in at.broker.messages if "values" in each.topic or "homeassistant" in each.topic]


def test_a_state_has_what_the_availability_looks_for() -> None:
    assert {"name", "up"} <= set(StationState.__slots__)
