"""Stations as Home Assistant's MQTT integration discovers devices. Pure.

One retained message makes a station a device with a sensor for each tag (home-assistant.io, "MQTT", section "MQTT
discovery", device discovery, since 2024.12). An empty one removes the device.

    PREFIX/device/nportpy-SITE-NODE-STATION/config     what there is
    nportpy/v1/SITE/NODE/values/STATION                {tag: value}, retained: the present, never what comes late
    nportpy/v1/SITE/NODE/state                         whether node and station are there

A bad value is null, which Home Assistant shows as unknown.
"""

import json
import zlib
from collections.abc import Mapping
from typing import Final

from nportpy.edge.fields import VERSION, dumped
from nportpy.edge.quantities import device_class_of, type_of
from nportpy.edge.sample import Value
from nportpy.edge.settings import StationSettings, TagSettings

_NEWER_UNITS: Final = frozenset(("kvar", "kVA"))  # older versions refuse them with their class
_TOTALS: Final = frozenset(("energy", "water"))  # a class that is no measurement
_SUPPORT: Final = "https://pypi.org/project/nportpy/"


def device_topic(prefix: str, site: str, node: str, station: str) -> str:
    """Where a station is announced."""
    return f"{prefix}/device/{_identifier(site, node, station)}/config"


def values_topic(station: str) -> str:
    """Where a station's values are, below the node's topics."""
    return f"values/{station}"


def encode_device(site: str, node: str, station: StationSettings, version: str) -> bytes:
    """The message that makes a station a device.

    `site` and `node` are levels of our topics, `version` is the program's.
    """
    topics = f"nportpy/v{VERSION}/{site}/{node}"
    identifier = _identifier(site, node, station.name)
    device = {"identifiers": [identifier], "name": station.name, "sw_version": version}
    return dumped(
        {
            "device": device | ({"model": station.profile} if station.profile else {}),
            "origin": {"name": "nportpy", "sw_version": version, "support_url": _SUPPORT},
            "state_topic": f"{topics}/{values_topic(station.name)}",
            "availability_topic": f"{topics}/state",
            "availability_template": _availability(station.name),
            "payload_available": "online",
            "payload_not_available": "offline",
            "components": {tag.name: _component(identifier, tag) for tag in station.tags},
        }
    )


def encode_values(station: StationSettings, values: Mapping[str, Value]) -> bytes:
    """The values of a station: all its tags, null where none is known."""
    return dumped({tag.name: values.get(tag.name) for tag in station.tags})


def _component(identifier: str, tag: TagSettings) -> dict[str, object]:
    kind = type_of(tag)
    value = f"value_json[{json.dumps(tag.name)}]"
    component: dict[str, object] = {"unique_id": f"{identifier}-{tag.name}", "name": tag.name}
    if kind == "bit":
        template = f"{{{{ 'None' if {value} is none else 'ON' if {value} else 'OFF' }}}}"
        return {"platform": "binary_sensor"} | component | {"value_template": template}
    component = {"platform": "sensor"} | component | {"value_template": f"{{{{ {value} }}}}"}
    if kind == "text" or kind.startswith("string") or not (kind or tag.unit):  # a meter's clock or serial number
        return component
    device_class = "" if tag.unit in _NEWER_UNITS else device_class_of(tag)
    component["state_class"] = _state_class(tag, device_class)
    for key, text in (("unit_of_measurement", tag.unit), ("device_class", device_class)):
        if text:
            component[key] = text
    if tag.precision is not None:
        component["suggested_display_precision"] = tag.precision
    return component


def _state_class(tag: TagSettings, device_class: str) -> str:
    """`total` may fall (a meter that counts both ways), `total_increasing` begins anew when it does."""
    if tag.counter:
        return "total_increasing"
    return "total" if device_class in _TOTALS else "measurement"


def _availability(station: str) -> str:
    """A template: online if the node is there (only then it names its stations) and the station answers."""
    answering = f"selectattr('name', 'eq', {json.dumps(station)}) | selectattr('up') | list"
    return f"{{{{ 'online' if value_json.stations | default([]) | {answering} else 'offline' }}}}"


def _identifier(site: str, node: str, station: str) -> str:
    """Letters, digits, _ and - only: a topic's part there has nothing else, and a station's name may have dots."""
    name = station
    if "." in station:
        name = f"{station.replace('.', '_')}-{zlib.crc32(station.encode()):08x}"
    return f"nportpy-{site}-{node}-{name}"
