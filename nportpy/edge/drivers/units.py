"""From a meter's unit to a tag's: the rule that all meters with units of their own share. Pure."""

from nportpy.edge.settings import TagSettings
from nportpy.protocols.dlms.units import power_between


def power(tag: TagSettings, unit: str) -> tuple[int, str]:
    """The power of ten from the meter's unit to the tag's, and why the number is doubtful; empty: it is not.

    A tag that has a `scale` converts by itself: its number is the meter's, in the meter's unit.
    """
    if not tag.unit or not unit or tag.scale != 1.0:
        return 0, ""
    found = power_between(unit, tag.unit)
    return (0, f"the meter counts in {unit}, the tag says {tag.unit}") if found is None else (found, "")
