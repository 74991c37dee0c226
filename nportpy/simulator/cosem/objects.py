"""What a meter holds: objects of the interface classes, by OBIS code (Blue Book 4.3 to 4.7)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

from nportpy.simulator.cosem.data import Data, array, enum, integer, long_unsigned, octets, structure, unsigned


class Result(IntEnum):
    """Data-Access-Result (Green Book 9.5)."""

    SUCCESS = 0
    HARDWARE_FAULT = 1
    TEMPORARY_FAILURE = 2
    READ_WRITE_DENIED = 3
    OBJECT_UNDEFINED = 4
    CLASS_INCONSISTENT = 9
    OBJECT_UNAVAILABLE = 11
    TYPE_UNMATCHED = 12
    SCOPE_VIOLATED = 13
    BLOCK_UNAVAILABLE = 14
    LONG_GET_ABORTED = 15
    NO_LONG_GET = 16
    BLOCK_NUMBER_INVALID = 19
    OTHER = 250


class RefusedError(Exception):
    """A value is not given.

    Attributes:
        result: what the client is told.
    """

    def __init__(self, result: int) -> None:
        """Refused with `result`."""
        super().__init__(result)
        self.result = result


@dataclass(frozen=True, slots=True)
class Moment:
    """When an object is asked.

    Attributes:
        utc: the meter's clock.
        elapsed: seconds since the meter's start.
    """

    utc: datetime
    elapsed: float


@dataclass(frozen=True, slots=True)
class Selection:
    """Selective access.

    Attributes:
        selector: 1 range, 2 entry.
        parameters: as the class defines them.
    """

    selector: int
    parameters: Data


Value = Data | Callable[[Moment], Data]
Selectable = Callable[[Moment, Selection | None], Data]


@dataclass(frozen=True, slots=True)
class CosemObject:
    """An object.

    Attributes:
        class_id: its interface class.
        obis: its logical name.
        attributes: values by attribute, from 2 on; the first is always the logical name.
        version: of the class.
        buffer: what answers attribute 2 where that takes a selection.
        base_name: its short name; 0: it has none.
    """

    class_id: int
    obis: bytes
    attributes: Mapping[int, Value] = field(default_factory=dict)
    version: int = 0
    buffer: Selectable | None = None
    base_name: int = 0

    def read(self, attribute: int, moment: Moment, selection: Selection | None = None) -> Data:
        """The value of an attribute.

        Raises:
            RefusedError: it has none, or takes no selection.
        """
        if attribute == 1:
            return octets(self.obis)
        if attribute == 2 and self.buffer:
            return self.buffer(moment, selection)
        if attribute not in self.attributes:
            raise RefusedError(Result.OBJECT_UNAVAILABLE)
        if selection:
            raise RefusedError(Result.READ_WRITE_DENIED)
        value = self.attributes[attribute]
        return value(moment) if callable(value) else value


def obis(text: str) -> bytes:
    """A logical name from six numbers with dots; 255 is added where the last is missing."""
    parts = [int(part) for part in text.split(".")]
    return bytes((*parts, 255) if len(parts) == 5 else parts)


def data_object(name: str, value: Value) -> CosemObject:
    """Class 1."""
    return CosemObject(1, obis(name), {2: value})


def scaler_unit(scaler: int, unit: int) -> Data:
    """How a number is to be read: times 10 to the `scaler`, in `unit` (Blue Book table 4)."""
    return structure(integer(scaler), enum(unit))


def register(name: str, value: Value, scaler: int, unit: int) -> CosemObject:
    """Class 3."""
    return CosemObject(3, obis(name), {2: value, 3: scaler_unit(scaler, unit)})


def extended_register(name: str, value: Value, scaler: int, unit: int, captured: Value) -> CosemObject:
    """Class 4."""
    return CosemObject(4, obis(name), {2: value, 3: scaler_unit(scaler, unit), 4: unsigned(0), 5: captured})


@dataclass(frozen=True, slots=True)
class Demand:
    """What a demand register holds besides its scaler: its averages and the times of its period."""

    current: Value
    last: Value
    captured: Value
    started: Value
    period: Data


def demand_register(name: str, demand: Demand, scaler: int, unit: int) -> CosemObject:
    """Class 5: scaler_unit is attribute 4 here."""
    return CosemObject(
        5,
        obis(name),
        {
            2: demand.current,
            3: demand.last,
            4: scaler_unit(scaler, unit),
            5: unsigned(0),
            6: demand.captured,
            7: demand.started,
            8: demand.period,
            9: long_unsigned(1),
        },
    )


def sap_assignment(devices: Sequence[tuple[int, bytes]]) -> CosemObject:
    """Class 17: which logical devices there are."""
    entries = (structure(long_unsigned(sap), octets(name)) for sap, name in devices)
    return CosemObject(17, obis("0.0.41.0.0"), {2: array(*entries)})
