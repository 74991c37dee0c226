"""The addresses of registers and bits, as manuals and people write them.

The protocol counts each of the four tables from 0 (MODBUS Application Protocol V1.1b3, 4.4). Manuals mostly follow
Modicon: a digit for the table, then a number that counts from 1. All of these are the same holding register:

    41001, 401001, 4x1001     Modicon: five digits, six digits, or with an x: register 1001, PDU address 1000
    holding:1000              table and PDU address, whatever the numbering
    holding:0x3E8             the same in hexadecimal
    1000, 0x3E8               with the numbering `pdu`: plain numbers are PDU addresses of holding registers
    1001                      with the numbering `one-based`: plain numbers count holding registers from 1

The other tables are `0` or `coil:`, `1` or `discrete:`, `3` or `input:`. Two addresses with a hyphen are a range, both
included: `41001-41010`, `holding:1000-1009`.
"""

import re
from enum import StrEnum
from typing import Final, NamedTuple

from nportpy.protocols.modbus.functions import Span, Table

LAST_ADDRESS: Final = 0xFFFF
"""The last PDU address of every table."""

_PREFIXES = {
    "coil": Table.COILS,
    "discrete": Table.DISCRETE_INPUTS,
    "input": Table.INPUT_REGISTERS,
    "holding": Table.HOLDING_REGISTERS,
}
_NAMES = {table: name for name, table in _PREFIXES.items()}
_WORDS = {
    Table.COILS: "coil",
    Table.DISCRETE_INPUTS: "discrete input",
    Table.INPUT_REGISTERS: "input register",
    Table.HOLDING_REGISTERS: "holding register",
}
_TABLE_DIGITS = "0 is for coils, 1 for discrete inputs, 3 for input registers, 4 for holding registers"

_DECIMAL = re.compile(r"[0-9]{1,9}")
_HEXADECIMAL = re.compile(r"0x[0-9a-f]{1,8}")
_WITH_X = re.compile(r"([1-9])x([0-9]{1,9})")


class Numbering(StrEnum):
    """What a number without a table means."""

    MODICON = "modicon"  # 41001 is holding register 1001, PDU address 1000
    PDU = "pdu"  # 1000 is the holding register of PDU address 1000
    ONE_BASED = "one-based"  # 1001 is holding register 1001, PDU address 1000


class Address(NamedTuple):
    """One place in a table: `number` is the PDU address, from 0."""

    table: Table
    number: int

    def __str__(self) -> str:
        return f"{_NAMES[self.table]}:{self.number}"

    def modicon(self, digits: int = 5) -> str:
        """The manual's number, as in 41001; six digits where five do not hold it."""
        number = self.number + 1
        places = digits - 1 if number < 10 ** (digits - 1) else 5
        return f"{self.table:d}{number:0{places}d}"


class NamedSpan(NamedTuple):
    """What one value lies in, and how to call it."""

    name: str
    span: Span


class AddressRange(NamedTuple):
    """What was asked for in one word.

    Attributes:
        text: as it was written.
        first: the first address.
        last: the last one; None if only one was written, and the value's type says how far it goes.
    """

    text: str
    first: Address
    last: Address | None

    def split(self, width: int) -> list[NamedSpan]:
        """The values in it, `width` registers or bits each.

        Raises:
            ValueError: the range is no whole number of values, or goes beyond the table.
        """
        table, start = self.first
        if self.last is None:
            if start + width - 1 > LAST_ADDRESS:
                raise ValueError(f"{self.text}: {width} from there go beyond the last address, {LAST_ADDRESS}")
            return [NamedSpan(self.text, Span(table, start, width))]
        count = self.last.number - start + 1
        if count % width:
            raise ValueError(f"{self.text}: {count} addresses, and a value has {width}; the range includes its end")
        return [
            NamedSpan(self._name(Address(table, number)), Span(table, number, width))
            for number in range(start, start + count, width)
        ]

    def _name(self, address: Address) -> str:
        """In the style of the range; numbers without a table get one, so that nobody need know the numbering."""
        start = self.text.partition("-")[0]
        return address.modicon(len(start)) if start == self.first.modicon(len(start)) else str(address)


def parse(text: str, numbering: Numbering = Numbering.MODICON) -> Address:
    """The address that `text` is.

    Raises:
        ValueError: it is none; the message says what would be.
    """
    word = text.strip().lower()
    prefix, colon, number = word.partition(":")
    if colon:
        return _with_table(text, prefix, number)
    if match := _WITH_X.fullmatch(word):
        return _counted(text, match[1], match[2])
    if numbering is Numbering.MODICON:
        return _modicon(text, word)
    value = _number(text, word)
    if numbering is Numbering.ONE_BASED and not word.startswith("0x"):
        if value == 0:
            raise ValueError(f"{text}: one-based numbers begin with 1; PDU address 0 is holding:0")
        value -= 1
    return _checked(text, Table.HOLDING_REGISTERS, value)


def parse_range(text: str, numbering: Numbering = Numbering.MODICON) -> AddressRange:
    """The address or the range that `text` is.

    Raises:
        ValueError: it is neither.
    """
    start, hyphen, end = text.strip().partition("-")
    first = parse(start, numbering)
    if not hyphen:
        return AddressRange(start, first, None)
    prefix, colon, _ = start.partition(":")
    last = parse(f"{prefix}:{end}" if colon and ":" not in end else end, numbering)
    if last.table != first.table:
        raise ValueError(f"{text}: begins among {_NAMES[first.table]} and ends among {_NAMES[last.table]}")
    if last.number < first.number:
        raise ValueError(f"{text}: ends before it begins")
    return AddressRange(text.strip(), first, last)


def _with_table(text: str, prefix: str, number: str) -> Address:
    table = _PREFIXES.get(prefix)
    if table is None:
        raise ValueError(f"{text}: {prefix!r} is no table; tables are {', '.join(_PREFIXES)}")
    return _checked(text, table, _number(text, number))


def _modicon(text: str, word: str) -> Address:
    if _HEXADECIMAL.fullmatch(word):
        raise ValueError(f"{text}: hexadecimal, but of which table? For a holding register write holding:{word}")
    if not _DECIMAL.fullmatch(word):
        raise ValueError(f"{text!r} is no address; addresses are as in 41001, 401001 or holding:1000")
    if len(word) in (5, 6):
        return _counted(text, word[0], word[1:])
    number = int(word)
    if len(word) < 5 and number > 0:
        counted = Address(Table.HOLDING_REGISTERS, number - 1).modicon()
        raise ValueError(
            f"{text}: manuals' numbers have 5 or 6 digits; holding register {number} counted from 1 is {counted}, "
            f"PDU address {number} is holding:{number}"
        )
    raise ValueError(f"{text}: manuals' numbers have 5 or 6 digits, as in 41001; PDU addresses are as in holding:1000")


def _counted(text: str, digit: str, number: str) -> Address:
    """Modicon's: the table's digit, and a number from 1."""
    if digit not in "0134":
        raise ValueError(f"{text}: no table begins with {digit}: {_TABLE_DIGITS}")
    table = Table(int(digit))
    if int(number) == 0:
        first = Address(table, 0)
        raise ValueError(f"{text}: the first {_WORDS[table]} is {first.modicon()}; PDU address 0 is {first}")
    if int(number) > LAST_ADDRESS + 1:
        raise ValueError(f"{text}: the last {_WORDS[table]} is {Address(table, LAST_ADDRESS).modicon()}")
    return Address(table, int(number) - 1)


def _number(text: str, word: str) -> int:
    if _DECIMAL.fullmatch(word):
        return int(word)
    if _HEXADECIMAL.fullmatch(word):
        return int(word, 16)
    raise ValueError(f"{text!r} is no address; {word!r} is neither a decimal number nor one such as 0x3E8")


def _checked(text: str, table: Table, number: int) -> Address:
    if number <= LAST_ADDRESS:
        return Address(table, number)
    digits = str(number)
    if len(digits) == 6 and digits[0] == str(int(table)) and 1 <= int(digits[1:]) <= LAST_ADDRESS + 1:
        meant = Address(table, int(digits[1:]) - 1)
        raise ValueError(f"{text}: PDU addresses end at {LAST_ADDRESS}; the manual's {digits} is {meant}")
    raise ValueError(f"{text}: PDU addresses end at {LAST_ADDRESS}")
