"""Addresses of objects as people write them: `100`, or `1/100` where the common address is another than the usual."""

import re
from dataclasses import dataclass

_ADDRESS = re.compile(r"(?:([0-9]{1,5})/)?([0-9]{1,8})")


@dataclass(frozen=True, slots=True)
class ObjectAddress:
    """Where an object is.

    Attributes:
        address: its address (IOA).
        common_address: of its station; None: the one that was agreed for the outstation.
    """

    address: int
    common_address: int | None = None

    @classmethod
    def parse(cls, text: str) -> "ObjectAddress":
        """What `text` names.

        Raises:
            ValueError: it is none; the message says what is.
        """
        match = _ADDRESS.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is no object address: 100, or 1/100 with its common address")
        common, address = match[1], int(match[2])
        if not 0 < address < 1 << 24:
            raise ValueError(f"object address {address} is not in 1..16777215")
        if common is not None and not 0 < int(common) < 0xFFFF:
            raise ValueError(f"common address {common} is not in 1..65534")
        return cls(address, int(common) if common is not None else None)

    def __str__(self) -> str:
        return str(self.address) if self.common_address is None else f"{self.common_address}/{self.address}"
