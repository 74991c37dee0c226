"""Records become rows: whole frames, words with manuals' numbers, gaps, faults."""

import json

from hypothesis import given
from hypothesis import strategies as st

from nportpy.linesettings import LineSettings, ModemLines, UartCounters
from nportpy.protocols.capture.records import Asked, Changed, Discards, Ended, Hidden, Kind, Record, Unsent
from nportpy.protocols.capture.rows import Row, Rows
from nportpy.protocols.modbus.wording import answer_text, request_text

LINE = LineSettings(9600)
CHARACTER = round(LINE.character_time * 1e9)
MS = 1_000_000
READ = b"\x03\x03\xe8\x00\x02"
ANSWER = b"\x03\x04\x00\x07\x00\x08"
START = 1_800_000_000_000_000_000


def rows(*told: tuple[int, Kind, bytes, object], lost: int = 0) -> list[Row]:
    """The rows of records, each with its milliseconds."""
    made = Rows(LINE)
    records = [
        (START + ms * MS, Record(n, ms * MS, kind, data, about)) for n, (ms, kind, data, about) in enumerate(told)
    ]
    return [*made.feed(records, lost), *made.flush()]


def asked(**changes: object) -> Asked:
    return Asked(1, 5, READ, "192.0.2.7:5000", 0.0, 1, False, 1.0)._replace(**changes)  # type: ignore[arg-type]


def ended(**changes: object) -> Ended:
    return Ended(1, 5, READ, "answered", ("192.0.2.7:5000",), 0.0, 0.05, 1)._replace(**changes)  # type: ignore[arg-type]


def test_c13_an_answer_in_pieces_is_one_frame_and_told_in_the_manual_s_numbers() -> None:
    found = rows(
        (0, Kind.TX, b"request!", asked()),
        (40, Kind.RX, b"an", None),
        (75, Kind.RX, b"swer", None),
        (76, Kind.ANSWER, ANSWER, ended()),
    )
    assert [(row.kind, row.data) for row in found] == [("tx", b"request!"), ("rx", b"answer"), ("answer", ANSWER)]
    assert found[0].text == "read 41001-41002"
    assert found[2].text == "41001: 7, 41002: 8; 50.0 ms"
    assert [row.request for row in found] == [1, 1, 1]
    assert {(row.unit, row.function, row.clients) for row in found} == {(5, 3, ("192.0.2.7:5000",))}
    assert not any(row.faults for row in found)


def test_c13_the_gap_before_an_answer_counts_from_the_request_s_last_byte_to_its_own_first() -> None:
    found = rows((0, Kind.TX, bytes(8), asked()), (40, Kind.RX, bytes(9), None))
    assert found[1].gap is not None
    assert found[1].gap_characters is not None
    assert abs(found[1].gap * 1e9 - (40 * MS - 17 * CHARACTER)) < 10
    assert round(found[1].gap_characters) == round((40 * MS - 17 * CHARACTER) / CHARACTER)


def test_c13_silence_parts_frames_where_no_request_does() -> None:
    found = rows((0, Kind.RX, b"ab", None), (10, Kind.RX, b"cd", None), (200, Kind.RX, b"ef", None))
    assert [row.data for row in found] == [b"abcd", b"ef"]
    assert [row.data for row in rows((0, Kind.RX, b"ab", None), (1, Kind.TX, b"cd", None))] == [b"ab", b"cd"]


def test_c13_what_is_wrong_is_told_in_words() -> None:
    found = rows(
        (0, Kind.TX, b"request!", asked(attempt=2, waited=0.25)),
        (40, Kind.RX, b"answer", None),
        (40, Kind.DISCARDED, b"", Discards(0, 1, 0, 0, 0, 0)),
        (100, Kind.ANSWER, b"", ended(outcome="no_answer", attempts=2, clients=("a", "b"))),
        (200, Kind.ANSWER, b"\x83\x02", ended()),
        (300, Kind.UNSENT, b"", Unsent(9, READ, "plc", "unreachable")),
        (400, Kind.UNSENT, ANSWER, Unsent(9, READ, "plc", "cache")),
        (500, Kind.ERRORS, b"", UartCounters(parity=2)),
        (600, Kind.MODEM, b"", ModemLines.CTS | ModemLines.DTR),
        (700, Kind.DOWN, b"", "unplugged"),
    )
    texts = [row.text for row in found]
    assert [row.faults for row in found] == [
        [], ["crc"], ["crc"], ["no_answer"], ["exception"], ["unreachable"], [], ["uart"], [], ["down"],
    ]  # fmt: skip
    assert texts[0] == "read 41001-41002 (retry 1); waited 250 ms for its turn"
    assert "sent 2 times, shared by 2" in texts[3]
    assert "exception 02, illegal data address" in texts[4]
    assert texts[5] == "read 41001-41002: never on the line, unreachable"
    assert texts[6].endswith("never on the line, cache: 41001: 7, 41002: 8")
    assert texts[7] == "2 parity errors"
    assert texts[8] == "DTR CTS"
    assert texts[9] == "line down: unplugged"


def test_what_is_secret_is_a_length_and_settings_move_the_character_time() -> None:
    found = rows(
        (0, Kind.SETTINGS, b"", Changed(LINE, LineSettings(300))),
        (1, Kind.TX, b"", Hidden(15)),
        (900, Kind.RX, b"x", None),
        lost=7,
    )
    assert found[0].lost == 7
    assert found[0].faults == ["lost"]
    assert found[1].text == "15 bytes sent, which are secret"
    assert found[2].gap is not None
    assert abs(found[2].gap - (0.899 - 16 * LineSettings(300).character_time)) < 1e-6


def test_rows_are_json() -> None:
    for row in rows((0, Kind.TX, b"request!", asked()), (76, Kind.ANSWER, ANSWER, ended())):
        assert json.loads(json.dumps(row.as_json())) == row.as_json()
    assert row.as_json()["time"] == "2027-01-15T08:00:00.076000Z"
    assert row.as_json()["hex"] == "03 04 00 07 00 08"


def test_requests_and_answers_in_words() -> None:
    def told(request: str, answer: str) -> tuple[str, str]:
        return request_text(bytes.fromhex(request)), answer_text(bytes.fromhex(request), bytes.fromhex(answer))

    assert told("01 0013 0003", "01 01 05") == ("read 00020-00022", "00020: 1, 00021: 0, 00022: 1")
    assert told("04 0000 0001", "04 02 002A") == ("read 30001", "30001: 42")
    assert told("05 0000 FF00", "05 0000 FF00") == ("write 00001: 1", "done")
    assert told("06 0001 0003", "06 0001 0003") == ("write 40002: 3", "done")
    assert told("10 0001 0002 04 000A 0102", "10 0001 0002") == ("write 40002: 10, 40003: 258", "done")
    assert told("17 0000 0001 0004 0001 02 0007", "17 02 0008") == ("read 40001, write 40005: 7", "40001: 8")
    assert told("07", "07 6D")[0] == "read exception status"
    assert told("2B 0E 01 00", "AB 01")[1] == "exception 01, illegal function"
    assert request_text(b"") == "request"


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_words_are_found_for_whatever_comes(request: bytes, answer: bytes) -> None:
    assert isinstance(request_text(request), str)
    assert isinstance(answer_text(request, answer), str)
