"""What is measured: a tag, a reading of it, and the sample that the archive makes of a reading.

Pure values. All times are integers in microseconds: `at` since the epoch in UTC, `monotonic` of a clock that never
steps (edge/clock.py).
"""

from dataclasses import dataclass
from enum import IntEnum

Value = int | float | str | bool | None
"""What a tag can be. None where there is no value: a bad reading."""


class Quality(IntEnum):
    """How far a value can be trusted: the major qualities of OPC DA 3.0, 6.8."""

    BAD = 0
    UNCERTAIN = 64
    GOOD = 192


@dataclass(frozen=True, slots=True)
class Tag:
    """One measured quantity of one station.

    Attributes:
        id: its number in this archive, from 1; it never means another tag.
        station: the station's name.
        name: its name within the station.
        unit: unit of its values, such as `kWh`; may be empty.
        type: type of its values as configured, such as `float32`; may be empty.
        device_class: what kind of quantity it is, such as `energy`; may be empty.
    """

    id: int
    station: str
    name: str
    unit: str = ""
    type: str = ""
    device_class: str = ""

    @property
    def path(self) -> str:
        """`station/name`, which is unique among the tags of one configuration."""
        return f"{self.station}/{self.name}"


@dataclass(frozen=True, slots=True)
class Reading:
    """One value as it was read; the archive makes a `Sample` of it.

    Attributes:
        tag: the tag's id.
        value: what was read; None if nothing could be.
        quality: how good it is.
        monotonic: when the answer had arrived (`Clock.now`).
        at: the device's own stamp, where the device gave one (a load profile); such a stamp is never corrected. None:
            the wall clock's time of `monotonic`, as the archive knows it best.
        history: the device had kept it, and it was read later: never the present.
    """

    tag: int
    value: Value
    quality: Quality
    monotonic: int
    at: int | None = None
    history: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """One archived reading. (node, boot, seq) is its key wherever it is sent.

    Attributes:
        seq: its number: strictly rising by one, per node, never used twice.
        boot: the run of the gateway that took it: text of a few hexadecimal digits.
        at: UTC, by the best knowledge of the clock at the moment in which the sample is read from the archive.
        tag: what was measured.
        value: the value.
        quality: GOOD becomes UNCERTAIN while the clock of its run is not trusted.
        monotonic: when the answer had arrived, by the clock of its run.
        history: see `Reading`: it is always sent late.
    """

    seq: int
    boot: str
    at: int
    tag: Tag
    value: Value
    quality: Quality
    monotonic: int
    history: bool = False
