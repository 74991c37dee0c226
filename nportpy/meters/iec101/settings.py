"""How an IEC 60870-5-101 outstation is reached, and what is asked of it. Times are seconds.

Nothing of this is negotiated on the line: both sides are told the same by hand. The defaults are those of small
outstations; systems that also speak IEC 60870-5-104 have sizes 2, 2 and 3.
"""

from dataclasses import dataclass, field
from datetime import UTC as UTC_ZONE
from datetime import tzinfo
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from nportpy.protocols.iec101.asdu import Sizes

UTC: Final = "UTC"
"""The zone of an outstation whose clock shows UTC."""


class CounterRequest(StrEnum):
    """Whether integrated totals are asked for, and how (IEC 60870-5-5, 6.9)."""

    OFF = "off"  # the outstation sends them by itself, or has none
    READ = "read"  # it freezes them by itself
    FREEZE = "freeze"  # they are frozen first, so that all are of one moment


@dataclass(frozen=True, slots=True)
class Iec101Settings:
    """An outstation, and how it is asked.

    Attributes:
        link_address: its address on the line.
        link_size: bytes of that: 1 or 2; 0 where the frames carry none, which leaves one outstation to a line.
        common_address: the address that its data is under, independent of the link address.
        sizes: bytes of the cause of transmission, of common addresses and of object addresses.
        zone: what its clock shows: `UTC`, or an IANA zone such as `Europe/Bratislava`, summer time by the time tags.
        interrogate: ask for all values when the link has come up, and when the outstation has restarted.
        interrogate_every: ask for all values so often; 0: not.
        groups: interrogate these groups, 1 to 16, instead of the whole station.
        counters: ask for integrated totals with each interrogation.
        counter_groups: ask for these groups of them, 1 to 4, instead of all.
        synchronise_every: set its clock when the link has come up, and so often from then on; 0: never, which leaves
            it to whoever else does. The gateway's own clock has to be right.
        burst: requests for class 1 data in a row, while the outstation says that it has some; then others have a turn.
        class1_every: after so many answers E5, which cannot say that class 1 data waits, it is asked for.
        timeout: until an answer begins, from the last byte of the request. A radio link needs 1 to 3 s more.
        gap: silence that ends a frame: links through a network have gaps of 20 to 100 ms inside.
        retries: how often a request that was not answered is sent again.
        patience: how long an interrogation may bring nothing before it is given up.
        hold: how long one round may have the line; what is not done by then goes on in the next one.
    """

    link_address: int = 1
    link_size: int = 1
    common_address: int = 1
    sizes: Sizes = field(default_factory=Sizes)
    zone: str = UTC
    interrogate: bool = True
    interrogate_every: float = 3600.0
    groups: tuple[int, ...] = ()
    counters: CounterRequest = CounterRequest.OFF
    counter_groups: tuple[int, ...] = ()
    synchronise_every: float = 0.0
    burst: int = 20
    class1_every: int = 10
    timeout: float = 0.5
    gap: float = 0.5
    retries: int = 3
    patience: float = 30.0
    hold: float = 5.0

    def __post_init__(self) -> None:
        """Refuse what no system agrees on.

        Raises:
            ValueError: a value is out of its range; the message names the key and what is allowed.
        """
        top = 256**self.link_size
        if self.link_size not in (0, 1, 2):
            raise ValueError(f"link_size {self.link_size} is not 0, 1 or 2")
        if self.link_size and not 0 <= self.link_address < top - 1:
            raise ValueError(f"link_address {self.link_address} is not in 0..{top - 2} ({top - 1} means all)")
        top = 256**self.sizes.common_address
        if not 0 < self.common_address < top - 1:
            raise ValueError(f"common_address {self.common_address} is not in 1..{top - 2} ({top - 1} means all)")
        try:
            zone_of(self.zone)
        except (ValueError, OSError, ZoneInfoNotFoundError):
            raise ValueError(f"zone {self.zone!r} is none that this machine knows: UTC, Europe/Bratislava") from None
        if not all(1 <= group <= 16 for group in self.groups):
            raise ValueError("groups of an interrogation are in 1..16")
        if not all(1 <= group <= 4 for group in self.counter_groups):
            raise ValueError("groups of counters are in 1..4")
        if self.burst < 1 or self.class1_every < 1 or self.retries < 0:
            raise ValueError("burst and class1_every are at least 1, retries at least 0")


def zone_of(name: str) -> tzinfo:
    """The zone that settings name.

    Raises:
        ValueError, OSError, ZoneInfoNotFoundError: there is none of that name.
    """
    return UTC_ZONE if name == UTC else ZoneInfo(name)
