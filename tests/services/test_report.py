import json
from dataclasses import fields, replace
from typing import Any

from nportpy import __version__
from nportpy.services import report
from nportpy.status import BusStatus, GatewayStatus, MissingStatus
from tests.services import samples


def document(status: GatewayStatus) -> dict[str, Any]:
    found = json.loads("".join(report.document(status)))
    assert isinstance(found, dict)
    return found


def test_fields_under_their_names() -> None:
    found = document(samples.gateway())
    assert list(found) == [
        "version", "time", "name", "started", "ready", "reloads", "reloads_failed", "lines", "services", "buses",
        "missing", "edge", "tls", "loop", "actions", "recordings", "trial", "faults",
    ]  # fmt: skip
    assert found["edge"] is None
    assert (found["version"], found["name"], found["started"]) == (__version__, "pi-07", "2026-01-01T00:00:00.000Z")
    line = found["lines"][0]
    assert line["since"] == "2026-01-01T00:00:02.500Z"
    assert line["settings"] == {
        "baudrate": 9600, "data_bits": 8, "parity": "E", "stop_bits": "1", "flow": "none", "flow_in": "none"
    }  # fmt: skip
    assert line["modem_lines"] == ["dtr", "cts"]
    assert line["report"]["rs485"]["mode"] == "on"
    assert line["uart"]["buffer_overrun"] == 5
    service = found["services"][0]
    assert service["results"] == {"accepted": 12, "refused_allow": 3, "closed": 9, "slow": 1}
    assert service["clients"][0]["since"] == "2026-01-01T00:01:00.000Z"


def test_a_bus_has_its_counts_under_names() -> None:
    status = samples.translator("meters")
    found = document(status)
    assert [bus["name"] for bus in found["buses"]] == ["meters", "tcp://[2001:db8::1]:502"]
    bus = found["buses"][0]
    assert list(bus) == [field.name for field in fields(BusStatus)]
    assert (bus["up"], bus["busy"], bus["queued"], bus["unfit"]) == (True, 15.5, 2, 31)
    assert bus["requests"] == [
        {"unit": "1", "function": "3", "result": "answered", "count": 13},
        {"unit": "1", "function": "16", "result": "answered", "count": 26},
        {"unit": "2", "function": "3", "result": "no_answer", "count": 23},
        {"unit": "2", "function": "16", "result": "no_answer", "count": 36},
        {"unit": "other", "function": "other", "result": "unreachable", "count": 4},
    ]
    assert bus["durations"][:3] == [
        {"up_to": 0.001, "count": 0},
        {"up_to": 0.0025, "count": 0},
        {"up_to": 0.005, "count": 1},
    ]
    assert bus["durations"][-2:] == [{"up_to": 10.0, "count": 0}, {"up_to": None, "count": 1}]
    unit = bus["units"][1]
    assert (unit["unit"], unit["silent"], unit["timeout"], unit["answered"], unit["unanswered"]) == (
        2, True, 0.5, 200, 2
    )  # fmt: skip
    assert unit["silent_since"] == "2026-01-01T00:10:00.000Z"
    assert unit["answer_times"] == [{"up_to": 0.025, "count": 20}]
    assert unit["recent"]["answered"] == 20
    here, left = bus["clients"]
    assert (here["client"], here["left"], here["requests"], here["address"]) == ("192.0.2.7:4711", None, 500, 1000)
    assert (left["client"], left["left"], left["recent"]) == (
        "192.0.2.8", "2026-01-01T00:20:00.000Z", {"requests": 0, "busy": 0.0}
    )  # fmt: skip
    assert bus["recent"]["results"]["answered"] == 90
    assert found["services"][-1]["refused"] == {"forbidden": 5, "no_route": 6}


def test_one_line_service_or_bus_at_a_time() -> None:
    portions = list(report.document(samples.translator("meters", "plc")))
    assert max(portion.count('"name":"') for portion in portions) == 1
    assert portions[-1].endswith("}\n")
    assert "\n" not in "".join(portions)[:-1]


def test_hundreds_of_units_come_a_few_at_a_time() -> None:
    status = samples.translator("meters", units=247)
    portions = list(report.document(status))
    assert max(portion.count('"unit":') for portion in portions) <= 4 * 247  # the counts by unit and function
    assert max(portion.count('"silent":') for portion in portions) <= 16
    bus = json.loads("".join(portions))["buses"][0]
    assert [unit["unit"] for unit in bus["units"]] == list(range(1, 248))
    assert set(bus) == {field.name for field in fields(BusStatus)}


def test_verdicts_of_one_bus_or_of_all() -> None:
    status = samples.translator("meters", "plc")
    found = report.verdicts(status, "plc", 0.0)
    assert found is not None
    assert [each["bus"] for each in found] == ["plc"]
    assert report.verdicts(status, "x", 0.0) is None
    everything = report.verdicts(status, None, 0.0)
    assert everything is not None
    assert len(everything) == 3


def test_nothing_configured_is_still_a_document() -> None:
    found = document(replace(samples.gateway(), lines=(), services=()))
    assert (found["lines"], found["services"], found["buses"]) == ([], [], [])


def test_what_is_not_known_is_null() -> None:
    status = replace(samples.gateway(), lines=(samples.line(state="lost", uart=False),))
    line = document(status)["lines"][0]
    assert (line["report"], line["modem_lines"], line["uart"]) == (None, None, None)


def test_a_lost_line_is_said_but_the_gateway_stays_ready() -> None:
    status = replace(samples.gateway(), lines=(samples.line(), samples.line("plc", "lost")))
    assert report.readiness(status) == {
        "ready": True,
        "reasons": [],
        "lines_down": [
            {
                "port": "plc",
                "state": "lost",
                "since": "2026-01-01T00:00:02.500Z",
                "error": "No such file or directory",
            }
        ],
    }


def test_why_it_is_not_ready() -> None:
    starting = replace(samples.gateway(), ready=False)
    assert report.readiness(starting)["reasons"] == ["starting"]
    silent = replace(starting.services[1], listen=())
    status = replace(starting, services=(starting.services[0], silent))
    assert report.readiness(status)["reasons"] == ["meters rfc2217 does not listen"]
    missing = MissingStatus("meters", "rfc2217", "[::]:5001", "the address is in use by x (pid 7)", "f:3")
    reasons = report.readiness(replace(status, missing=(missing,)))["reasons"]
    assert reasons == ["meters rfc2217 does not listen on [::]:5001: the address is in use by x (pid 7)"]
    calling = replace(silent, service="tcp_client")
    assert report.readiness(replace(starting, services=(calling,)))["reasons"] == ["starting"]
