"""What is read from a foreign configuration, before it means anything: texts with the line that they stand on."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from nportpy.errors import Fault


@dataclass(frozen=True, slots=True)
class Text:
    """A value as it stands in the file.

    Attributes:
        text: the value, aliases replaced.
        line: from 1; of the place where it is used.
    """

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Option:
    """An option of ser2net's own, of one connection."""

    name: str
    value: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """What ser2net calls a connection: who may come in, and what is at the other end.

    Attributes:
        name: its alias.
        line: where it begins.
        accepter: a gensio string.
        connector: a gensio string.
        timeout: seconds, as text; None for none.
        enabled: whether it is to be served at all.
        options: in their order.
        defaults: (class, name) -> value, as set before this connection; the class is empty for all classes.
    """

    name: str
    line: int
    accepter: Text
    connector: Text
    timeout: Text | None = None
    enabled: bool = True
    options: tuple[Option, ...] = ()
    defaults: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def default(self, kind: str, name: str) -> str | None:
        """The default of an option of this class; None if none was set."""
        return self.defaults.get((kind, name), self.defaults.get(("", name)))


@dataclass(frozen=True, slots=True)
class Remark:
    """Something without an equal here: the line it stands on, and what to say of it."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A connection that is not served here.

    Attributes:
        name: its alias, or what stands for it.
        line: where it begins.
        reason: why.
        faults: what cannot be read or must not be guessed, if that is why.
    """

    name: str
    line: int
    reason: str
    faults: tuple[Fault, ...] = ()

    @property
    def text(self) -> str:
        """What to say of it."""
        return f"{self.name} is left out: {self.reason}"


class Notes:
    """What was found on the way.

    Attributes:
        faults: what is wrong with the file as a whole.
        remarks: what has no equal and belongs to no port.
        left_out: connections that are not served here, but for those that were switched off.
    """

    def __init__(self) -> None:
        """Nothing was."""
        self.faults: list[Fault] = []
        self.remarks: list[Remark] = []
        self.left_out: list[LeftOut] = []

    @contextmanager
    def of(self, name: str, line: int) -> Iterator[None]:
        """What is wrong in here is one connection's: it is left out, and the rest of the file is as good as before."""
        before = len(self.faults)
        yield
        if found := tuple(self.faults[before:]):
            del self.faults[before:]
            known = next((each for each in self.left_out if each.line == line), None)
            if known is not None:
                self.left_out.remove(known)
                name, found = known.name, known.faults + found
            reasons = (": ".join(filter(None, (fault.key, fault.reason))) for fault in found)
            self.left_out.append(LeftOut(name, line, "; ".join(reasons), found))

    def fault(self, line: int, key: str, reason: str, allowed: str = "") -> None:
        """Something cannot be read or must not be guessed."""
        self.faults.append(Fault(key, reason, "", allowed, line))

    def remark(self, line: int, text: str) -> None:
        """Something has no equal here."""
        self.remarks.append(Remark(line, text))


_TRUE = frozenset(("true", "on", "yes", "1", ""))
_FALSE = frozenset(("false", "off", "no", "0"))


def switch(value: str) -> bool | None:
    """A yes or no of ser2net's; an option that is only named is a yes. None: it is neither."""
    word = value.strip().lower()
    return True if word in _TRUE else False if word in _FALSE else None
