import contextlib
import json
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.edge.fields import DEFLATED, JSON, MAX_PAYLOAD, deflated
from nportpy.edge.messages import (
    Acknowledgement,
    Answer,
    Command,
    Depth,
    Send,
    State,
    StationState,
    decode_acknowledgement,
    decode_answer,
    decode_command,
    decode_state,
    encode_acknowledgement,
    encode_answer,
    encode_command,
    encode_state,
)
from nportpy.edge.sample import Quality, Sample, Tag
from nportpy.edge.topics import Address, Kind, parse_address, subject_filter, topic_filter
from nportpy.edge.wire import MAX_BATCH, Meta, Row, decode_batch, decode_meta, encode_batches, encode_meta
from nportpy.errors import MisuseError, ProtocolError

TAG = Tag(3, "mains", "energy", "kWh", "float32", "energy")
META = Meta("pi-07", (TAG,))
AT = 1_800_000_000_000_000

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=50)
large = st.integers(0, 2**62)
times = st.integers(-(2**62), 2**62)
values = (
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
boots = st.text("0123456789abcdef", min_size=8, max_size=8)
nodes = st.text("abcXYZ019_-", min_size=1, max_size=64)
tags = st.builds(Tag, st.integers(1, 2**31), texts, texts, texts, texts, texts)


def sample(seq: int, value: object = 1.5, boot: str = "ab12", at: int = AT) -> Sample:
    return Sample(seq, boot, at + seq, TAG, value, Quality.GOOD, 0)  # type: ignore[arg-type]


def test_a_batch_as_the_contract_has_it() -> None:
    (batch,) = encode_batches([sample(7), sample(8, None), sample(9, "on")], "pi-07", META.hash, late=True)
    assert json.loads(batch.payload) == {
        "v": 1,
        "node": "pi-07",
        "boot": "ab12",
        "seq0": 7,
        "n": 3,
        "meta": META.hash,
        "t0": AT + 7,
        "rows": [[3, 0, 1.5, 192], [3, 1, None, 192], [3, 2, "on", 192]],
        "late": True,
    }
    assert batch.id == "pi-07.ab12.7.3" == decode_batch(batch.payload).id
    assert (batch.seq, batch.count, batch.last) == (7, 3, 9)


@given(
    st.lists(st.tuples(values, st.sampled_from(Quality), st.integers(-(10**9), 10**9)), max_size=40),
    st.booleans(),
    large,
)
def test_a_batch_there_and_back(content: list[tuple[object, Quality, int]], late: bool, first: int) -> None:
    samples = [
        Sample(first + 1 + n, "ab12", AT + delta, TAG, value, quality, 0)  # type: ignore[arg-type]
        for n, (value, quality, delta) in enumerate(content)
    ]
    for compressed in (False, True):
        rows: list[Row] = []
        for encoded in encode_batches(samples, "pi-07", META.hash, late, limit=700):
            payload = deflated(encoded.payload) if compressed else encoded.payload
            batch = decode_batch(payload, DEFLATED if compressed else JSON)
            assert (batch.id, batch.seq, batch.late) == (encoded.id, first + 1 + len(rows), late)
            rows += batch.rows
        assert rows == [Row(3, each.at, each.value, each.quality) for each in samples]
        assert [type(row.value) for row in rows] == [type(each.value) for each in samples]


def test_batches_break_at_holes_runs_and_the_limit() -> None:
    samples = [*map(sample, (1, 2, 5, 6)), sample(7, boot="cd"), sample(8, boot="cd")]
    batches = list(encode_batches(samples, "pi-07", META.hash, late=False))
    assert [(each.seq, each.count) for each in batches] == [(1, 2), (5, 2), (7, 2)]
    many = list(encode_batches((sample(n, 1 / 3) for n in range(1, 5001)), "n" * 64, META.hash, late=False))
    assert sum(each.count for each in many) == 5000
    assert all(len(each.payload) <= MAX_BATCH for each in many)
    assert len(many[0].payload) > MAX_BATCH * 0.97
    (huge,) = encode_batches([sample(1, "\N{EURO SIGN}" * 5000)], "pi-07", META.hash, late=False)
    assert huge.count == 1
    assert list(encode_batches([], "pi-07", META.hash, late=False)) == []


def test_what_json_has_no_word_for_is_bad() -> None:
    (batch,) = encode_batches([sample(1, float("nan")), sample(2, float("-inf"))], "pi-07", META.hash, late=False)
    assert [(row.value, row.quality) for row in decode_batch(batch.payload).rows] == [(None, Quality.BAD)] * 2


def test_a_node_needs_a_name() -> None:
    for name in ("", "a/b", "a.b", "ä", "a" * 65, "a b", 'a"'):
        with pytest.raises(MisuseError):
            list(encode_batches([sample(1)], name, META.hash, late=False))


GOOD = json.loads(next(encode_batches([sample(7), sample(8)], "pi-07", META.hash, late=False)).payload)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("v", 2), ("v", None), ("v", True), ("v", 1.0), ("node", "a.b"), ("node", ""), ("node", 5), ("boot", "xyz"),
        ("boot", ""), ("seq0", 0), ("seq0", -1), ("seq0", "7"), ("seq0", 7.0), ("seq0", 2**63), ("seq0", 2**63 - 1),
        ("n", 1), ("n", 3), ("n", 0), ("n", True), ("meta", "short"), ("meta", None), ("t0", 0.5), ("t0", 2**63),
        ("t0", 2**63 - 1), ("late", 1), ("late", None), ("rows", None), ("rows", {}), ("rows", [1, 2]),
        ("rows", [[3, 0, 1.5], [3, 1, 1.5]]), ("rows", [[3, 0, 1.5, 192, 0]] * 2), ("rows", [[0, 0, 1, 192]] * 2),
        ("rows", [[True, 0, 1, 192]] * 2), ("rows", [[3, 0.5, 1, 192]] * 2), ("rows", [[3, 0, 1, 193]] * 2),
        ("rows", [[3, 0, 1, "192"]] * 2), ("rows", [[3, 0, [1], 192]] * 2), ("rows", [[3, 0, {}, 192]] * 2),
        ("rows", [[3, 0, "\ud800", 192]] * 2), ("rows", [[3, 0, "\0", 192]] * 2), ("rows", [["3", 0, 1, 192]] * 2),
    ],
)  # fmt: skip
def test_a_batch_that_is_wrong_is_refused(key: str, value: object) -> None:
    with pytest.raises(ProtocolError):
        decode_batch(json.dumps(GOOD | {key: value}).encode())


@pytest.mark.parametrize("key", GOOD)
def test_a_batch_that_lacks_something_is_refused(key: str) -> None:
    with pytest.raises(ProtocolError, match=f"{key} is missing"):
        decode_batch(json.dumps({name: value for name, value in GOOD.items() if name != key}).encode())


def test_unknown_keys_are_skipped() -> None:
    assert decode_batch(json.dumps(GOOD | {"later": [1]}).encode()) == decode_batch(json.dumps(GOOD).encode())


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"null", b"[]", b"1", b"\xff\xfe", b"{", b"[" * 100_000, b'{"v":NaN}', b'{"v":1e999}',
        b'{"v":' + b"9" * 5000 + b"}",
        b" " * (MAX_PAYLOAD + 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "decode", [decode_batch, decode_meta, decode_state, decode_acknowledgement, decode_command, decode_answer]
)
def test_what_is_no_message_is_refused(decode: Callable[[bytes], object], payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(payload)


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"x", b"{}", deflated(b"{}")[:-1], deflated(b"{}") + b"x", deflated(b" " * (MAX_PAYLOAD + 1)),
        deflated(b"\0" * 50_000_000), zlib.compress(b"not json"),
    ],
)  # fmt: skip
def test_what_is_not_deflated_is_refused(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_batch(payload, DEFLATED)


def test_an_unknown_content_type_is_refused() -> None:
    assert decode_batch(json.dumps(GOOD).encode(), "")
    with pytest.raises(ProtocolError, match="content type"):
        decode_batch(json.dumps(GOOD).encode(), "text/plain")


@given(st.lists(tags, max_size=5, unique_by=lambda tag: tag.id), nodes)
def test_a_tag_table_there_and_back(table: list[Tag], node: str) -> None:
    meta = Meta(node, tuple(table))
    assert decode_meta(encode_meta(meta)) == meta
    assert decode_meta(deflated(encode_meta(meta)), DEFLATED) == meta


def test_a_tag_tables_hash_changes_with_any_tag() -> None:
    assert Meta("other", (TAG,)).hash == META.hash
    changed = [Tag(4, *_rest(TAG)), Tag(3, "m", *_rest(TAG)[1:]), Tag(3, *_rest(TAG)[:4], "power")]
    assert len({META.hash, Meta("pi-07", ()).hash, *(Meta("pi-07", (tag,)).hash for tag in changed)}) == 5
    wrong = json.loads(encode_meta(META)) | {"meta": "0" * 12}
    with pytest.raises(ProtocolError, match="hash"):
        decode_meta(json.dumps(wrong).encode())
    with pytest.raises(ProtocolError, match="one id"):
        decode_meta(encode_meta(Meta("pi-07", (TAG, TAG))))


def _rest(tag: Tag) -> tuple[str, str, str, str, str]:
    return tag.station, tag.name, tag.unit, tag.type, tag.device_class


states = st.builds(
    State,
    nodes,
    boots,
    st.just(True),
    times,
    texts,
    st.lists(st.builds(StationState, texts, st.booleans(), times), max_size=3).map(tuple),
    large,
    large,
    st.none() | times,
    large,
    large,
    large,
    st.booleans(),
) | st.builds(State, nodes, boots, st.just(False), times)
commands: st.SearchStrategy[Command] = st.builds(Depth, texts) | st.tuples(texts, times, times).filter(
    lambda it: it[1] < it[2]
).map(lambda it: Send(*it))
answers = st.builds(Answer, texts, st.booleans(), texts, st.dictionaries(texts, times, max_size=3))


@given(states, commands, answers, st.builds(Acknowledgement, nodes, boots, large))
def test_messages_there_and_back(state: State, command: Command, answer: Answer, ack: Acknowledgement) -> None:
    assert decode_state(encode_state(state)) == state
    assert decode_command(encode_command(command)) == command
    assert decode_answer(encode_answer(answer)) == answer
    assert decode_acknowledgement(encode_acknowledgement(ack)) == ack


def test_a_command_that_somebody_typed() -> None:
    text = b'{"v":1,"id":"x","do":"send","from":"2027-01-15T08:00:00Z","to":"2027-01-15T09:00:00.5+00:00"}'
    assert decode_command(text) == Send("x", AT, AT + 3_600_500_000)


@pytest.mark.parametrize(
    "fields",
    [
        {"do": "format"}, {"do": None}, {"do": "send"}, {"do": "send", "from": 2, "to": 2},
        {"do": "send", "from": 2, "to": 1},
        {"do": "send", "from": "2027-01-15T08:00:00", "to": 2**60}, {"do": "send", "from": "soon", "to": 1},
        {"do": "send", "from": True, "to": 9}, {"do": "depth", "id": None}, {"do": "depth", "id": "x" * 65},
        {"do": "send", "from": 1, "to": 2**63}, {"do": ["depth"]},
    ],
)  # fmt: skip
def test_a_command_that_is_wrong_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        decode_command(json.dumps({"v": 1, "id": "x"} | fields).encode())


MESSAGES = [
    (decode_batch, json.dumps(GOOD).encode()),
    (decode_meta, encode_meta(META)),
    (decode_state, encode_state(State("pi", "ab", True, 1, "1", (StationState("m", True, 1),), 1, 2, 3))),
    (decode_acknowledgement, encode_acknowledgement(Acknowledgement("pi", "ab", 5))),
    (decode_command, encode_command(Send("x", 1, 2))),
    (decode_answer, encode_answer(Answer("x", True, "y", {"waiting": 5}))),
]


@given(st.data())
def test_a_mutated_message_raises_nothing_but_our_error(data: st.DataObject) -> None:
    decode, good = data.draw(st.sampled_from(MESSAGES))
    payload = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(payload)))
        cut = data.draw(st.integers(0, 3))
        payload[start : start + cut] = data.draw(
            st.binary(max_size=3) | st.sampled_from([b"null", b"[", b"{}", b"-1", b'"'])
        )
    with contextlib.suppress(ProtocolError):
        decode(bytes(payload))  # type: ignore[operator]


@given(nodes, nodes, st.sampled_from(Kind))
def test_topics_and_subjects_there_and_back(site: str, node: str, kind: Kind) -> None:
    address = Address(site, node, kind)
    assert parse_address(address.topic) == parse_address(address.subject) == address
    assert address.topic == f"nportpy/v1/{site}/{node}/{kind.value}"


@pytest.mark.parametrize(
    "text",
    ["", "nportpy/v1/a/b", "nportpy/v1/a/b/live/x", "nportpy/v2/a/b/live", "other/v1/a/b/live", "nportpy/v1/+/b/live",
     "nportpy.v1/a/b/live", "nportpy/v1/a/b/dead", "nportpy/v1//b/live", "nportpy.v1.*.b.live"],
)  # fmt: skip
def test_topics_that_are_none_of_ours(text: str) -> None:
    with pytest.raises(ProtocolError):
        parse_address(text)


def test_filters() -> None:
    assert topic_filter(Kind.LIVE) == "nportpy/v1/+/+/live"
    assert subject_filter(Kind.COMMAND, "plant", "pi-07") == "nportpy.v1.plant.pi-07.cmd"
