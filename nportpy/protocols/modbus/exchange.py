"""One request and its awaited answer on a line, whatever the framing: what is common to RTU and ASCII, and MBAP.

A Modbus TCP server elsewhere is asked as if it were a line (mbap_reply.py). What follows is about serial lines.

Local echo. Many two-wire adapters hear what they send. For most requests that is harmless: the copy of a request to
read registers is no answer to it. But the answer to a write of one register equals the request, and whoever takes the
echo for it reports a write that no device has done. Those requests are called mirrored here. `EchoSense` knows, or
learns from the others, whether there is an echo:

    known      the first copy of a mirrored request is ...
    present    the echo; the second is the answer
    absent     the answer
    unknown    taken for the echo: a wrong "no answer" does less harm than a wrong "done"

    unknown -> present, absent -> present      a request was heard back before its answer
    unknown -> absent                          once an answer came, or a timeout passed, with nothing before it; or
                                               twice with noise before it that is too short for the request
    present -> absent                          the same, `UNLEARN` times running

So on a line without echo a mirrored request must not be the first: nothing would distinguish its answer. Before one
goes out while `wants_probe` says so, whoever owns the line asks the same unit for `probe_of` it, a read, and waits for
the answer, an exception too, or for as long as one may take: what was heard before it, or not, settles it, if not at
once then the second time. It goes to
the unit that is asked next anyway, because a slave may take the frame after one for another unit for that unit's
answer, and ignore it: those built on libmodbus do, for half a second.

Late answers. An answer that comes after its deadline must not answer the next request. `abandon` remembers the
request: an answer that differs from what is awaited is recognised and counted, and `clear_at` says how long requests
whose answers could not be told from it should stay away.
"""

from abc import ABC, abstractmethod
from collections import deque
from enum import StrEnum
from typing import ClassVar, Final

from nportpy.protocols.modbus import reads
from nportpy.protocols.modbus.functions import Span, Table, is_answer, write_span

UNLEARN: Final = 3
"""How many exchanges without echo it takes to forget that there is one: noise may have spoilt it."""

_CUT_OFF: Final = 2  # bytes of its echo that an adapter may lose, which switches late: one at either end

MAX_ABANDONED: Final = 4
"""How many abandoned requests are remembered."""


class Echo(StrEnum):
    """Whether the line hears what it sends."""

    AUTO = "auto"
    YES = "yes"
    NO = "no"


def probe_of(pdu: bytes) -> bytes:
    """What to ask a unit before the mirrored request `pdu`: a read, which changes nothing and is not mirrored.

    It reads what the request writes to, which is most likely to be there; any answer will do.
    """
    written = write_span(pdu)
    if written is None:
        return reads.request(Span(Table.HOLDING_REGISTERS, 0, 1))
    return reads.request(written._replace(quantity=1))


class EchoSense:
    """What is known of the echo. `present` is None while nothing is."""

    __slots__ = ("_fixed", "_missed", "present")

    def __init__(self, echo: Echo = Echo.AUTO) -> None:
        self._fixed = echo is not Echo.AUTO
        self._missed = 0
        self.present: bool | None = None if echo is Echo.AUTO else echo is Echo.YES

    def heard(self) -> None:
        """A frame that was sent came back."""
        self._missed = 0
        if not self._fixed:
            self.present = True

    def missed(self, *, noise: bool = False) -> None:
        """A frame that was sent did not come back, and nothing that could be its remains.

        `noise`: something came, though too little for them. Where nothing is known, that must be so twice.
        """
        if self._fixed or self.present is False:
            return
        self._missed += 1
        if self._missed >= (UNLEARN if self.present else 2 if noise else 1):
            self.present = False


class _Counter:
    """A number of `Counts` whose changes are counted: those who watch look at one number instead of six."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._slot = f"_{name}"

    def __get__(self, counts: "Counts", owner: type) -> int:
        value: int = getattr(counts, self._slot)
        return value

    def __set__(self, counts: "Counts", value: int) -> None:
        counts.changes += value != getattr(counts, self._slot, 0)
        setattr(counts, self._slot, value)


class Counts:
    """What was heard beside the awaited answers, since the start.

    Attributes:
        junk: bytes that belong to no frame.
        spoilt: frames of the awaited kind with a wrong check sum.
        foreign: good frames of another unit, or of another function.
        unfit: good frames of the awaited unit and function that do not fit the request.
        late: answers to abandoned requests.
        echoes: copies of what was sent.
        spoilt_of: spoilt ones by the unit that was asked, and those that were cut off.
        late_of: late ones by the unit that was asked.
        changes: how often one of the six numbers has changed.
    """

    __slots__ = ("_echoes", "_foreign", "_junk", "_late", "_spoilt", "_unfit", "changes", "late_of", "spoilt_of")

    junk, spoilt, foreign, unfit, late, echoes = (_Counter() for _ in range(6))

    def __init__(self) -> None:
        self.changes = 0
        self.junk = self.spoilt = self.foreign = self.unfit = self.late = self.echoes = 0
        self.spoilt_of: dict[int, int] = {}
        self.late_of: dict[int, int] = {}

    def spoilt_from(self, unit: int, count: int = 1) -> None:
        """What was to be an answer of `unit` was spoilt; `spoilt` itself is counted where that is seen."""
        self.spoilt_of[unit] = self.spoilt_of.get(unit, 0) + count

    def late_from(self, unit: int) -> None:
        """A late answer of `unit` came."""
        self.late += 1
        self.late_of[unit] = self.late_of.get(unit, 0) + 1

    def forget(self, unit: int) -> None:
        """Nothing is to be said of a unit any more."""
        self.spoilt_of.pop(unit, None)
        self.late_of.pop(unit, None)

    def total(self) -> int:
        """All of them added up: unchanged if nothing was discarded meanwhile."""
        return self.junk + self.spoilt + self.foreign + self.unfit + self.late + self.echoes


class Exchange(ABC):
    """Finds the answers to one request after another. One per line, for as long as the line stays what it is.

    `begin` before a request is written; `feed` whatever is heard, then and at other times; `expire` when `deadline`
    has passed; `abandon` when nobody waits any more; `restart` when the line was opened anew. What is heard never ends
    an exchange but by the answer.

    Attributes:
        serial: frames go over a serial line: they take their time there, silence must be around them, and an answer
            does not tell which of two equal requests it belongs to.
        counts: what was heard beside the answers.
        echo: what is known of the echo.
        spoke: whether another good frame of the asked unit came since `begin`, a late answer for instance.
        foreign_unit: the unit id of the last answer that had another than its request; None: there was none.
        broken: why nothing more can be understood until the line is opened anew; empty if all is well.
    """

    serial: ClassVar[bool] = True

    __slots__ = (
        "_abandoned",
        "_awaiting",
        "_echoed",
        "_heard_any",
        "_mirrored",
        "_pdu",
        "_swallow",
        "_unit",
        "_wire",
        "broken",
        "counts",
        "echo",
        "foreign_unit",
        "spoke",
    )

    def __init__(self, echo: Echo = Echo.AUTO) -> None:
        """`echo` is what is known of the line; with `AUTO` it is learned."""
        self.counts = Counts()
        self.echo = EchoSense(echo)
        self.broken = ""
        self.spoke = False
        self.foreign_unit: int | None = None
        self._abandoned: deque[tuple[int, bytes, float]] = deque(maxlen=MAX_ABANDONED)
        self._awaiting = False
        self._heard_any = False  # since `begin`
        self._unit = 0
        self._pdu = b""
        self._wire = b""
        self._mirrored = False  # the answer may equal the request
        self._swallow = False  # a copy of the request that comes now is its echo
        self._echoed = False  # the echo came

    @abstractmethod
    def begin(self, unit: int, pdu: bytes) -> bytes:
        """Wait for the answer of `unit` to the PDU `pdu`, which is not empty, from now on.

        Returns:
            What to write to the line.
        """

    @abstractmethod
    def feed(self, data: bytes, now: float) -> bytes | None:
        """Hear `data`.

        Returns:
            The PDU of the answer as soon as it is whole, at most one for each `begin`. Empty: the unit has answered,
            but not this request, and waiting is over. None: not yet, or nothing is awaited.
        """

    @abstractmethod
    def deadline(self) -> float | None:
        """When to call `expire` unless something is heard before; None while silence would mean nothing."""

    @abstractmethod
    def expire(self, now: float) -> bytes | None:
        """Judge what was heard in the light of the silence since; the answer as from `feed`."""

    @abstractmethod
    def settle(self) -> None:
        """Sort and count what was heard beside the answer, where frames may be cut off. `begin` does this too."""

    def restart(self) -> None:
        """The line was opened anew: what was half heard before does not go on."""
        self._awaiting = False
        self.settle()

    def abandon(self, until: float) -> None:
        """Nobody waits for the answer any more.

        Args:
            until: when it is sure not to come any more.
        """
        if not self._awaiting:
            return
        self._awaiting = False
        if not self._heard_any:
            self.echo.missed()
        self.settle()
        self._abandoned.append((self._unit, self._pdu, until))

    def clear_at(self, unit: int, pdu: bytes, now: float) -> float:
        """When an answer to this request cannot be taken for a late one: `now` or later.

        Until then a late answer to an abandoned request of the same unit and function may come, and exceptions at
        least look alike. For a read that is asked again this does no harm.
        """
        while self._abandoned and self._abandoned[0][2] <= now:
            self._abandoned.popleft()
        clear = now
        for abandoned_unit, abandoned, until in self._abandoned:
            if abandoned_unit == unit and abandoned[0] == pdu[0] and until > clear:
                clear = until
        return clear

    def wants_probe(self, pdu: bytes) -> bool:
        """Whether to find out about the echo before this request: its answer could not be told from its echo."""
        return self.echo.present is None and is_answer(pdu, pdu)

    def _remember(self, unit: int, pdu: bytes, wire: bytes, mirrored: bool) -> None:
        self._unit = unit
        self._pdu = pdu
        self._wire = wire
        self._mirrored = mirrored
        self._swallow = self.echo.present is not False or not mirrored
        self._heard_any = self._echoed = self.spoke = False
        self._awaiting = True

    def _swallow_echo(self) -> None:
        self._swallow = False
        self._echoed = True
        self.counts.echoes += 1
        if not self._mirrored:
            self.echo.heard()

    def _learn(self, before: int) -> None:
        """Draw conclusions about the echo from an answer; so many bytes were heard before it, an echo apart."""
        if self._mirrored:
            if self._echoed:
                self.echo.heard()
        elif not self._echoed and before < len(self._wire) - _CUT_OFF:
            self.echo.missed(noise=before > 0)

    def _count_frame(self, unit: int, pdu: bytes) -> bool:
        """Count a good frame that is not the awaited answer; whether it is one of the asked unit that does not fit.

        So is one of its function with another length, byte count or echo. One of another function is not: it answers
        nothing that is awaited, and may be another master's.
        """
        mine = unit == self._unit
        for index, (abandoned_unit, abandoned, _) in enumerate(self._abandoned):
            if abandoned_unit == unit and is_answer(abandoned, pdu):
                del self._abandoned[index]
                self.counts.late_from(unit)
                self.spoke = self.spoke or mine
                return False
        if mine and pdu == self._pdu:
            # Also where the answer to a mirrored request comes once more: the first was the echo, then.
            self.counts.echoes += 1
            self.echo.heard()
        elif mine and self._pdu and pdu[0] & 0x7F == self._pdu[0]:
            self.counts.unfit += 1
            self.spoke = True
            return True
        else:
            self.counts.foreign += 1
            self.spoke = self.spoke or mine
        return False
