"""One round of `nportpy read`: what is wanted, fetched in few requests, decoded."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from nportpy.client.connection import Client
from nportpy.protocols.modbus.addresses import AddressRange
from nportpy.protocols.modbus.functions import Span
from nportpy.protocols.modbus.pdu import EXCEPTION_BIT, ExceptionCode
from nportpy.protocols.modbus.reads import cut, group, holds_bits, request
from nportpy.protocols.modbus.values import Kind, Order, Value, ValueType, decode, scaled

MEANINGS: Final = {
    ExceptionCode.ILLEGAL_FUNCTION: "it does not know this function; perhaps the value lies in another table",
    ExceptionCode.ILLEGAL_DATA_ADDRESS: "there is nothing, or not so much, at this address",
    ExceptionCode.ILLEGAL_DATA_VALUE: "it does not take this request, perhaps not so many at once",
    ExceptionCode.SERVER_DEVICE_FAILURE: "it failed while it tried",
    ExceptionCode.ACKNOWLEDGE: "it has begun and needs longer; ask later",
    ExceptionCode.SERVER_DEVICE_BUSY: "it is busy; ask later",
    ExceptionCode.MEMORY_PARITY_ERROR: "its memory is damaged",
    ExceptionCode.GATEWAY_PATH_UNAVAILABLE: "the gateway has no way to this unit, or its line is down",
    ExceptionCode.GATEWAY_TARGET_FAILED_TO_RESPOND: "the gateway is there, but the unit did not answer it",
}
"""What the exceptions mean to the one who asks (MODBUS Application Protocol V1.1b3, 7)."""

BY_RULE: Final = ", or a rule of the gateway forbids it"
"""What exception 1 may mean besides, where a gateway may be on the way."""

_MANY = 3  # values that follow on one another and are named as a range

# Of a read that several values share: one alone may well be answered.
_WORTH_SPLITTING = (ExceptionCode.ILLEGAL_DATA_ADDRESS, ExceptionCode.ILLEGAL_DATA_VALUE)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A value to read.

    Attributes:
        name: its address as the user wrote it.
        span: where it lies.
        kind: what it is.
        label: how the user calls it; empty: by its address.
        scale: what a number is multiplied by.
    """

    name: str
    span: Span
    kind: ValueType
    label: str = ""
    scale: float = 1.0

    @property
    def called(self) -> str:
        """How it is called in what people read."""
        return self.label or self.name


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of a wanted value: `data` as `reads.cut` gives it and the value, or the reason why there is none."""

    wanted: Wanted
    data: bytes = b""
    value: Value | None = None
    fault: str = ""


def wanted_values(ranges: Iterable[AddressRange], kind: ValueType | None) -> list[Wanted]:
    """The values that lie in `ranges`, all of type `kind`; None is uint16 for registers and bit for bits.

    Raises:
        ValueError: the type does not fit a table, or a range.
    """
    values: list[Wanted] = []
    for asked in ranges:
        bits = holds_bits(asked.first.table)
        fitting = kind or ValueType(Kind.BIT if bits else Kind.UINT16)
        if bits != (fitting.kind is Kind.BIT):
            what = "bits, not registers" if bits else "registers, not bits"
            raise ValueError(f"{asked.text}: this table has {what}; the type {fitting} does not fit")
        values += [Wanted(name, span, fitting) for name, span in asked.split(fitting.width)]
    return values


async def take(client: Client, unit: int, wanted: Sequence[Wanted], order: Order, gap: int) -> list[Reading]:
    """Read `wanted` from `unit`, in its order. A refusal is a reading with a fault.

    Raises:
        TimeoutError, OSError, LineError, ProtocolError: as from `Client.ask`; what was read until then is lost.
    """
    data: dict[Span, bytes | int] = {}
    for read in group({value.span for value in wanted}, gap):
        parts = {value.span for value in wanted if _inside(value.span, read)} - data.keys()
        await _fetch(client, unit, read, parts, data)
    return [_reading(value, data[value.span], order, unit, by_gateway=client.by_gateway) for value in wanted]


def _inside(part: Span, whole: Span) -> bool:
    end, whole_end = part.address + part.quantity, whole.address + whole.quantity
    return part.table == whole.table and whole.address <= part.address and end <= whole_end


async def _fetch(client: Client, unit: int, read: Span, parts: set[Span], data: dict[Span, bytes | int]) -> None:
    """Put into `data` what is in `parts` of `read`, or the exception code that came instead."""
    answer = await client.ask(unit, request(read))
    if not answer[0] & EXCEPTION_BIT:
        data.update((part, cut(read, answer, part)) for part in parts)
    elif answer[1] in _WORTH_SPLITTING and parts != {read}:
        for part in sorted(parts):
            await _fetch(client, unit, part, {part}, data)
    else:
        data.update((part, answer[1]) for part in parts)


def _reading(wanted: Wanted, data: bytes | int, order: Order, unit: int, *, by_gateway: bool) -> Reading:
    if isinstance(data, int):
        besides = BY_RULE if by_gateway and data == ExceptionCode.ILLEGAL_FUNCTION else ""
        return Reading(wanted, fault=f"unit {unit} refuses: {exception(data)}{besides}")
    value = decode(data, wanted.kind, order)
    if wanted.scale != 1.0 and not isinstance(value, str):
        value = scaled(value, wanted.scale)
    return Reading(wanted, data, value)


def exception(code: int) -> str:
    """What an exception code means to the one who asked."""
    try:
        known = ExceptionCode(code)
    except ValueError:
        return f"exception {code}, which the standard does not know"
    return f"exception {code}, {known.name.replace('_', ' ').lower()}: {MEANINGS[known]}"


def reasons(readings: Iterable[Reading]) -> Iterator[str]:
    """Why values are missing, each reason once, behind the values that it is about."""
    faults: dict[str, list[Wanted]] = {}
    for reading in readings:
        if reading.fault:
            faults.setdefault(reading.fault, []).append(reading.wanted)
    for fault, values in faults.items():
        yield f"{names(values)}: {fault}"


def names(values: Sequence[Wanted]) -> str:
    """What values are called, in their order; many that follow on one another as a range: `41001-41125`."""
    runs: list[list[Wanted]] = []
    for value in values:
        if runs and _follows(runs[-1][-1], value):
            runs[-1].append(value)
        else:
            runs.append([value])
    return " ".join(word for run in runs for word in _named(run))


def _follows(before: Wanted, value: Wanted) -> bool:
    table, address, quantity = before.span
    if before.label or value.label:
        return False
    return value.span.table == table and value.span.address == address + quantity


def _named(run: Sequence[Wanted]) -> list[str]:
    """From the first to the last register of the last value, as one writes it on the command line."""
    if len(run) < _MANY:
        return [value.called for value in run]
    number = re.fullmatch(r"(?:.*:)?(0x)?([0-9a-fA-F]+)", run[-1].name, re.IGNORECASE)
    if number is None:
        return [value.name for value in run]
    base = 16 if number[1] else 10
    last = int(number[2], base) + run[-1].span.quantity - 1
    return [f"{run[0].name}-{hex(last) if base == 16 else str(last).zfill(len(number[2]))}"]
