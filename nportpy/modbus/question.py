"""A request from the network on its way to a bus."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from nportpy.line.turns import Priority
from nportpy.modbus.clients import Use


@dataclass(slots=True, eq=False)
class Question:
    """One request, until it is answered. Use it once.

    Attributes:
        client: who asks; takes turns with the others.
        unit: whom: as the client wrote it until `Router.ask`, as the line knows it from then on.
        pdu: what is asked; not empty.
        done: called exactly once with this question and the PDU of its answer, perhaps before `ask` returns; the PDU
            may be an exception, and is empty where nothing is to be answered. Must not raise.
        priority: how urgent it is.
        use: what its client has had of the bus; None: nobody wants to know.
        expired: whether it ended unsent because its turn did not come in time: its answer says nothing of the unit.
    """

    client: Hashable
    unit: int
    pdu: bytes
    done: Callable[["Question", bytes], None]
    priority: Priority = Priority.NORMAL
    asked_at: float = field(default=0.0, init=False)
    use: Use | None = field(default=None, init=False)
    expired: bool = field(default=False, init=False)
