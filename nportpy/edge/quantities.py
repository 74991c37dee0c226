"""What kind of quantity a tag is, as far as its settings tell. Pure."""

from typing import Final

from nportpy.edge.settings import ModbusPlace, TagSettings

CLASSES: Final = {
    "V": "voltage",
    "A": "current",
    "W": "power",
    "kW": "power",
    "MW": "power",
    "var": "reactive_power",
    "kvar": "reactive_power",
    "VA": "apparent_power",
    "kVA": "apparent_power",
    "Wh": "energy",
    "kWh": "energy",
    "MWh": "energy",
    "Hz": "frequency",
    "°C": "temperature",
    "m³": "water",
}
"""What kind of quantity a unit belongs to, in the words that Home Assistant has made common."""


def device_class_of(tag: TagSettings) -> str:
    """The kind of quantity that a tag is, as far as its unit tells; empty where it does not."""
    return CLASSES.get(tag.unit, "")


def type_of(tag: TagSettings) -> str:
    """The type of a tag's finished values, as it is told to others; empty where the device says it with each value."""
    if tag.words:
        return "text"
    return str(tag.place.kind) if isinstance(tag.place, ModbusPlace) else ""
