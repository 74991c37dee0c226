import json
from dataclasses import replace

from nportpy import __version__
from nportpy.services import report
from tests.services import samples


def test_fields_under_their_names() -> None:
    found = json.loads(json.dumps(report.document(samples.gateway())))
    assert list(found) == [
        "version", "name", "started", "ready", "reloads", "reloads_failed", "lines", "services"
    ]  # fmt: skip
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


def test_what_is_not_known_is_null() -> None:
    status = replace(samples.gateway(), lines=(samples.line(state="lost", uart=False),))
    line = json.loads(json.dumps(report.document(status)))["lines"][0]
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
