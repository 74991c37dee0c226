"""The JSON of upstreams, written and read: what anybody may have sent is checked field by field. Pure."""

import json
import re
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, NoReturn

from nportpy.errors import ProtocolError

VERSION = 1
"""Of all messages: `v` in each of them."""

JSON = "application/json"
DEFLATED = "application/json+deflate"
"""Content type of a payload that is compressed (RFC 1950)."""

MAX_PAYLOAD = 1 << 20
"""Bytes of JSON that a decoder looks at."""

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What a site or node is called: it is one level of a topic, one token of a subject and part of a message id."""

BOOT = re.compile(r"[0-9a-f]{1,32}")
HASH = re.compile(r"[0-9a-f]{12}")
INT64 = 1 << 63

UNFIT = re.compile("[\x00\ud800-\udfff]")
"""In text: what UTF-8 or a database cannot hold."""

_EPOCH = datetime.fromtimestamp(0, UTC)


def dumped(message: object) -> bytes:
    """JSON in ASCII, as short as it gets."""
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode("ascii")


def deflated(payload: bytes) -> bytes:
    """The payload, compressed: its content type becomes DEFLATED."""
    return zlib.compress(payload, 6)


def inflated(payload: bytes, content_type: str) -> bytes:
    """The payload as JSON, whatever its content type; an absent one is empty.

    Raises:
        ProtocolError: it is no such payload, or more than MAX_PAYLOAD.
    """
    if content_type in ("", JSON):
        return payload
    if content_type != DEFLATED:
        refuse(f"content type {content_type[:100]!r}")
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(payload, MAX_PAYLOAD + 1)
    except zlib.error as error:
        raise ProtocolError(f"upstream: not deflated: {error}") from error
    if len(plain) > MAX_PAYLOAD or not inflater.eof or inflater.unused_data:
        refuse("deflated data that is cut off, too long or followed by others")
    return plain


def message(payload: bytes) -> "Fields":
    """The fields of a message of this version.

    Raises:
        ProtocolError: it is none.
    """
    if len(payload) > MAX_PAYLOAD:
        refuse(f"{len(payload)} bytes")
    try:
        table = json.loads(payload.decode("utf-8"), parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"upstream: no JSON: {error}") from error
    fields = Fields(table, "a message")
    if fields.integer("v", 1) != VERSION:
        refuse(f"version {fields.get('v')}")
    return fields


class Fields:
    """The fields of a JSON object, each as the type that is asked for. All raise ProtocolError if it is not."""

    def __init__(self, table: object, what: str) -> None:
        """`what` says what it should be."""
        if not isinstance(table, dict):
            refuse(f"{what} that is {table!r:.100}")
        self._table: dict[str, Any] = table

    def get(self, key: str) -> Any:
        """Whatever it is; None if it is not there."""
        return self._table.get(key)

    def integer(self, key: str, lowest: int = -INT64) -> int:
        """An integer of 64 bits, `lowest` at least."""
        value = self.get(key)
        if not is_integer(value) or not lowest <= value < INT64:
            self._wrong(key)
        return int(value)

    def boolean(self, key: str) -> bool:
        """True or false."""
        value = self.get(key)
        if not isinstance(value, bool):
            self._wrong(key)
        return value

    def text(self, key: str, longest: int = 4096) -> str:
        """Text that UTF-8 and a database can hold."""
        value = self.get(key)
        if not isinstance(value, str) or len(value) > longest or UNFIT.search(value):
            self._wrong(key)
        return value

    def match(self, key: str, pattern: re.Pattern[str]) -> str:
        """Text of a form."""
        value = self.text(key)
        if not pattern.fullmatch(value):
            self._wrong(key)
        return value

    def time(self, key: str) -> int:
        """Microseconds since the epoch, or the same as text in ISO 8601 with an offset from UTC."""
        value = self.get(key)
        if not isinstance(value, str):
            return self.integer(key)
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self._wrong(key)
        if moment.tzinfo is None:
            self._wrong(key)
        return (moment - _EPOCH) // timedelta(microseconds=1)

    def list(self, key: str) -> Sequence[object]:
        """A list of whatever."""
        value = self.get(key)
        if not isinstance(value, list):
            self._wrong(key)
        return value

    def tables(self, key: str) -> "Sequence[Fields]":
        """A list of objects."""
        return [Fields(table, f"{key}:") for table in self.list(key)]

    def table(self, key: str) -> "Fields":
        """An object."""
        return Fields(self.get(key), f"{key}:")

    def integers(self, key: str) -> dict[str, int]:
        """An object of integers."""
        fields = self.table(key)
        return {name: fields.integer(name) for name in self.get(key)}

    def _wrong(self, key: str) -> NoReturn:
        refuse(f"{key} = {self._table[key]!r:.100}" if key in self._table else f"{key} is missing")


def is_integer(value: object) -> bool:
    """JSON's true and false are none, although Python's are."""
    return isinstance(value, int) and not isinstance(value, bool)


def refuse(what: str) -> NoReturn:
    """What a peer sent is not what it should be.

    Raises:
        ProtocolError: always.
    """
    raise ProtocolError(f"upstream: {what}")


def _finite(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        refuse(f"the number {text[:100]}")
    return value
