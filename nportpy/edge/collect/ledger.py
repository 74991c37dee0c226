"""Which numbers of a node are stored, and what it says of itself: the base of watermarks. Pure.

A node numbers its samples without holes over all its runs, so what is stored of it is a set of runs of numbers, and
the watermark is the end of the run that everything before has come in. What the node's state says is evicted counts
as gone: nobody has it any more.

A node whose archive was thrown away (another card, another machine of the same name) begins at 1 again. Its numbers
then mean others, so there is a second *numbering*, with a watermark of its own. It shows by one of these:

| what comes | of a run that is | and |
|---|---|---|
| a batch | not known | begins at or below the watermark |
| a state | not known | its newest number is below the watermark |
| a state | any, of the present numbering | its oldest number is below the oldest that was, and it is no old state |

An old state (retained, delivered again) is of a known run, and its newest number is below the newest that was: the
clock of a node may step, its numbers do not. An evicted run that arrives after all is taken for a numbering of its own,
too: that does no harm, as the node's state does not lead there.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Final

from nportpy.edge.delivery import Delivered
from nportpy.edge.messages import Acknowledgement, State

_MOST_NUMBERINGS: Final = 8
_MOST_BOOTS: Final = 1000


@dataclass(slots=True)
class Numbering:
    """Numbers that go up without being used twice.

    Attributes:
        delivered: which of them are stored or gone.
        boots: the runs, and the first and last number that is stored of each; 0, 0: none yet.
        gone: numbers that were evicted before they came here.
    """

    delivered: Delivered = field(default_factory=lambda: Delivered(0))
    boots: dict[str, tuple[int, int]] = field(default_factory=dict)
    gone: int = 0

    def boot_of(self, number: int) -> str:
        """The run of a number; empty if it is not known."""
        return next((boot for boot, (first, last) in self.boots.items() if first <= number <= last), "")


@dataclass(slots=True)
class Ledger:
    """What is known of one node.

    Attributes:
        numberings: the newest last; there is one at least.
        current: index of the one that the node is in.
        boot: its run, as its last state says; empty before there is one.
        at: when that state was made.
        online: whether the node is connected.
        oldest, newest: what its archive holds.
        evicted: samples that its archive had to give up.
    """

    numberings: list[Numbering] = field(default_factory=lambda: [Numbering()])
    current: int = 0
    boot: str = ""
    at: int = 0
    online: bool = False
    oldest: int = 1
    newest: int = 0
    evicted: int = 0

    @property
    def numbering(self) -> Numbering:
        """The one that the node is in."""
        return self.numberings[self.current]

    @property
    def upto(self) -> int:
        """Everything up to this number is stored, or gone."""
        return self.numbering.delivered.cursor

    def stored(self, boot: str, first: int, last: int) -> None:
        """The samples `first` to `last` of a run are stored."""
        index = self._index(boot)
        if index is None:
            index = self.current if first > self.upto else self._begin()
        numbering = self.numberings[index]
        known = numbering.boots.pop(boot, (0, 0))  # to the end: the oldest goes first
        numbering.boots[boot] = (min(known[0] or first, first), max(known[1], last))
        while len(numbering.boots) > _MOST_BOOTS:
            del numbering.boots[next(iter(numbering.boots))]
        numbering.delivered.add(first, last)

    def heard(self, state: State) -> None:
        """The node has said something of itself."""
        self.online = state.online
        if not state.online:
            return  # a last will knows no numbers
        index, later = self._index(state.boot), state.at > self.at
        back = state.oldest < self.oldest
        if index == self.current and state.newest < self.newest and not (later and back):
            return  # what has been overtaken: retained, or delivered again
        if index is not None and index < self.current and not later:
            return
        if (index is None and (back or state.newest < self.upto)) or (index == self.current and back):
            if index is not None:
                del self.numberings[index].boots[state.boot]
            index = self._begin()
        self.current = self.current if index is None else index
        numbering = self.numbering
        numbering.boots.setdefault(state.boot, (0, 0))
        numbering.gone += sum(last - first + 1 for first, last in numbering.delivered.missing(state.oldest - 1))
        numbering.delivered.skip_to(state.oldest)
        self.boot, self.at = state.boot, state.at
        self.oldest, self.newest, self.evicted = state.oldest, state.newest, state.evicted

    def acknowledgement(self, node: str) -> Acknowledgement | None:
        """What the node may be told; None before anything is known to be complete."""
        upto = self.upto
        boot = self.numbering.boot_of(upto) or self.boot
        return Acknowledgement(node, boot, upto) if upto and boot else None

    def holes(self) -> list[tuple[int, int]]:
        """Runs of numbers, both ends included, that the node has and that are not here."""
        return self.numbering.delivered.missing(self.newest)

    def _index(self, boot: str) -> int | None:
        return next((index for index, each in enumerate(self.numberings) if boot in each.boots), None)

    def _begin(self) -> int:
        """Another numbering; its index."""
        if len(self.numberings) >= _MOST_NUMBERINGS:
            out = 1 if self.current == 0 else 0
            del self.numberings[out]
            self.current -= out < self.current
        self.numberings.append(Numbering())
        return len(self.numberings) - 1

    def dumped(self) -> str:
        """As a text that `loaded` reads."""
        table = {name: getattr(self, name) for name in _PLAIN} | {
            "numberings": [
                {"upto": each.delivered.cursor, "runs": each.delivered.runs, "boots": each.boots, "gone": each.gone}
                for each in self.numberings
            ]
        }
        return json.dumps(table, separators=(",", ":"))

    @classmethod
    def loaded(cls, text: str) -> "Ledger":
        """From what `dumped` wrote; empty text: a node of which nothing is known."""
        if not text:
            return cls()
        table: dict[str, Any] = json.loads(text)
        numberings = [
            Numbering(
                Delivered(each["upto"], [(first, last) for first, last in each["runs"]]),
                {boot: (first, last) for boot, (first, last) in each["boots"].items()},
                each["gone"],
            )
            for each in table["numberings"]
        ]
        return cls(numberings, **{name: table[name] for name in _PLAIN})


_PLAIN: Final = ("current", "boot", "at", "online", "oldest", "newest", "evicted")
