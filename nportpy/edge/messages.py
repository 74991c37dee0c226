"""What a node and its consumers tell each other beside samples, as JSON, version 1. Pure.

| topic | who sends it | what |
|---|---|---|
| `.../state` (retained, last will) | the node | `State`: online or not, stations, the archive's depth |
| `.../ack` | the consumer | `Acknowledgement`: everything up to a number is stored |
| `.../cmd` | anybody who may | `Command`: tell the depth, send an interval again; answered by an `Answer` |
"""

from dataclasses import dataclass, field

from nportpy.edge.fields import BOOT, NAME, VERSION, dumped, message, refuse


@dataclass(frozen=True, slots=True)
class StationState:
    """Whether a station answers, and since when that is so."""

    name: str
    up: bool
    since: int


@dataclass(frozen=True, slots=True)
class State:
    """A node at one moment. The last will has `online` false and says nothing of stations and archive.

    Attributes:
        node: its name.
        boot: its run.
        online: whether it is connected.
        at: when that was so.
        version: the program's; may be empty.
        stations: in the order of the configuration.
        oldest: number of the oldest sample in the archive.
        newest: number of the newest one.
        oldest_at: time of the oldest one; None if there is none.
        acknowledged: the last sample that this upstream has acknowledged.
        evicted: samples that had to go, since the archive was begun.
        dropped: readings that never came into the archive, in this run.
        trusted: whether the node's clock can be believed.
    """

    node: str
    boot: str
    online: bool
    at: int
    version: str = ""
    stations: tuple[StationState, ...] = ()
    oldest: int = 1
    newest: int = 0
    oldest_at: int | None = None
    acknowledged: int = 0
    evicted: int = 0
    dropped: int = 0
    trusted: bool = True


def encode_state(state: State) -> bytes:
    """Write a state."""
    table: dict[str, object] = {
        "v": VERSION,
        "node": state.node,
        "boot": state.boot,
        "online": state.online,
        "at": state.at,
    }
    if state.online:
        table |= {
            "version": state.version,
            "stations": [{"name": each.name, "up": each.up, "since": each.since} for each in state.stations],
            "archive": {name: getattr(state, name) for name in _DEPTH} | {"oldest_at": state.oldest_at},
            "trusted": state.trusted,
        }
    return dumped(table)


_DEPTH = ("oldest", "newest", "acknowledged", "evicted", "dropped")


def decode_state(payload: bytes) -> State:
    """Read a state.

    Raises:
        ProtocolError: it is none.
    """
    fields = message(payload)
    node, boot = fields.match("node", NAME), fields.match("boot", BOOT)
    online, at = fields.boolean("online"), fields.integer("at")
    if not online:
        return State(node, boot, online, at)
    stations = fields.tables("stations")
    archive = fields.table("archive")
    return State(
        node,
        boot,
        online,
        at,
        fields.text("version"),
        tuple(StationState(each.text("name"), each.boolean("up"), each.integer("since")) for each in stations),
        oldest_at=None if archive.get("oldest_at") is None else archive.integer("oldest_at"),
        trusted=fields.boolean("trusted"),
        **{name: archive.integer(name, 0) for name in _DEPTH},
    )


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A consumer has stored everything of a node up to and including number `seq`, which was of run `boot`."""

    node: str
    boot: str
    seq: int


def encode_acknowledgement(acknowledgement: Acknowledgement) -> bytes:
    """Write an acknowledgement."""
    node, boot, seq = acknowledgement.node, acknowledgement.boot, acknowledgement.seq
    return dumped({"v": VERSION, "node": node, "boot": boot, "seq": seq})


def decode_acknowledgement(payload: bytes) -> Acknowledgement:
    """Read an acknowledgement.

    Raises:
        ProtocolError: it is none.
    """
    fields = message(payload)
    return Acknowledgement(fields.match("node", NAME), fields.match("boot", BOOT), fields.integer("seq", 0))


@dataclass(frozen=True, slots=True)
class Depth:
    """A command: tell what waits."""

    id: str


@dataclass(frozen=True, slots=True)
class Send:
    """A command: send the samples with `start` <= at < `end` again, as late ones."""

    id: str
    start: int
    end: int


Command = Depth | Send


def encode_command(command: Command) -> bytes:
    """Write a command."""
    match command:
        case Depth(id):
            return dumped({"v": VERSION, "id": id, "do": "depth"})
        case Send(id, start, end):
            return dumped({"v": VERSION, "id": id, "do": "send", "from": start, "to": end})


def decode_command(payload: bytes) -> Command:
    """Read a command. Times may also be text in ISO 8601 with an offset from UTC, since people type them.

    Raises:
        ProtocolError: it is none.
    """
    fields = message(payload)
    name = fields.text("id", 64)
    what = fields.text("do")
    if what == "depth":
        return Depth(name)
    if what != "send":
        refuse(f"do = {what!r:.100}; depth and send are known")
    start, end = fields.time("from"), fields.time("to")
    if start >= end:
        refuse("an interval that ends before it begins")
    return Send(name, start, end)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a command.

    Attributes:
        id: the command's.
        done: whether it was carried out.
        text: why not, or what was done.
        numbers: what was asked for, such as `waiting` and `oldest_at`.
    """

    id: str
    done: bool
    text: str = ""
    numbers: dict[str, int] = field(default_factory=dict)


def encode_answer(answer: Answer) -> bytes:
    """Write an answer."""
    return dumped({"v": VERSION, "id": answer.id, "done": answer.done, "text": answer.text, "numbers": answer.numbers})


def decode_answer(payload: bytes) -> Answer:
    """Read an answer.

    Raises:
        ProtocolError: it is none.
    """
    fields = message(payload)
    return Answer(
        fields.text("id", 64),
        fields.boolean("done"),
        fields.text("text"),
        fields.integers("numbers"),
    )
