"""The objects of a meter, what of them is asked for, and what the answer was."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

Data = object
"""A value as A-XDR decodes it."""


@dataclass(frozen=True, slots=True)
class CosemObject:
    """An entry of the object list.

    Attributes:
        class_id: the interface class, as 3 for a register.
        version: of the class.
        obis: the logical name, 6 bytes.
        base_name: where its short names begin; None by logical names.
    """

    class_id: int
    version: int
    obis: bytes
    base_name: int | None = None


@dataclass(frozen=True, slots=True)
class Attribute:
    """What to read: an attribute of an object.

    Attributes:
        obis: the logical name, 6 bytes; b"" where `short_name` is given instead.
        attribute: its number, from 1; 2 is the value of most classes.
        class_id: 0: from the object list, or by the OBIS code itself.
        short_name: the attribute's own short name: nothing is looked up.
    """

    obis: bytes
    attribute: int = 2
    class_id: int = 0
    short_name: int | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What a meter said of one attribute.

    Attributes:
        asked: which.
        value: as it came; None may be a value too (null data) where there is no `reason`.
        reason: why there is none: empty if there is one.
        code: the Data-Access-Result, where the meter refused: 4 object undefined, 13 scope of access violated ...
        scaler: real value = value * 10 ** scaler; None: the object has none, or it could not be read.
        unit: the Blue Book's number of the unit, with it.
        class_id: of the object, as found.
    """

    asked: Attribute
    value: Data = None
    reason: str = ""
    code: int = 0
    scaler: int | None = None
    unit: int | None = None
    class_id: int = 0

    @property
    def scaled(self) -> Data:
        """The value times its scaler, exactly; what is no number, and what has no scaler, as it is."""
        if self.scaler is None or not isinstance(self.value, int) or isinstance(self.value, bool):
            return self.value
        return Decimal(self.value).scaleb(self.scaler)


@dataclass(frozen=True, slots=True)
class Column:
    """A captured attribute: a column of a profile.

    Attributes:
        class_id: of the captured object.
        obis: its logical name, 6 bytes.
        attribute: its number; 0: all of them.
        index: of the element within the attribute, from 1; 0: the whole.
        scaler: as in `Result`.
        unit: as in `Result`.
    """

    class_id: int
    obis: bytes
    attribute: int
    index: int = 0
    scaler: int | None = None
    unit: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a profile.

    Attributes:
        at: its time, with zone; None where the row has no clock, or one that says "unknown".
        doubtful: the meter's clock status casts doubt on the time.
        values: one for each column, raw, null data expanded.
    """

    at: datetime | None
    doubtful: bool
    values: tuple[Data, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """What was read of a profile: oldest row first, each time once."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    period: int
    """Seconds between two rows; 0: by event."""
