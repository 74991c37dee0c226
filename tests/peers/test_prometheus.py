"""Every query of the alert rules and of the dashboard, asked of a Prometheus that knows gateways with faults.

Half an hour of them is made on virtual time (tests/support/histories.py) and becomes Prometheus' own by promtool; and
what a gateway says now is scraped, with a target beside it where none is.
"""

import http.server
import json
import re
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nportpy.services import exposition
from nportpy.services.metrics import registry
from tests.services import samples
from tests.support.free_ports import free_port
from tests.support.histories import lines, made_up, of_a_gateway, openmetrics

pytestmark = [pytest.mark.peer, pytest.mark.slow]

ETC = Path(__file__).parent.parent.parent / "etc"
DASHBOARD = json.loads((ETC / "grafana-nportpy.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def _rules() -> dict[str, str]:
    """The expression of each alert, by its name: read without a YAML library, so of our own files only."""
    found: dict[str, str] = {}
    for path in sorted(ETC.glob("prometheus-*rules.yml")):
        for block in path.read_text().split("- alert: ")[1:]:
            name, _, rest = block.partition("\n")
            body = re.split(r"\n\s+(?:for|labels|annotations):", rest.split("expr:", 1)[1])[0]
            found[name.strip()] = " ".join(body.replace(">-", "").split())
    return found


RULES = _rules()


@dataclass(frozen=True)
class Prometheus:
    """One that runs.

    Attributes:
        url: where it is asked.
        end: the time of the last scrapes of the histories.
    """

    url: str
    end: float

    def ask(self, query: str, at: float | None = None) -> list[Any]:
        """What a query gives."""
        asked = urllib.parse.urlencode({"query": query, "time": self.end if at is None else at})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{asked}", timeout=30) as answer:
            found = json.loads(answer.read())
        assert found["status"] == "success", found
        result: list[Any] = found["data"]["result"]
        return result


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        text = "".join(exposition.written(registry(samples.every_mode).collect(), exposition.TEXT))
        self.send_response(200)
        self.send_header("Content-Type", exposition.TEXT)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - the base's name


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    for program in ("prometheus", "promtool"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} (Debian: prometheus) is not here")
    folder = tmp_path_factory.mktemp("prometheus")
    histories = {"pi-07": of_a_gateway(), "pi-08": made_up()}
    end = float(int(time.time()) - 60)
    (folder / "history").write_text(lines(openmetrics(histories, end)))
    made: list[str | Path] = [
        "promtool",
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        folder / "history",
        folder / "data",
    ]
    done = subprocess.run(made, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        try:
            yield from _running(folder, site.server_address[1], end)
        finally:
            site.shutdown()


def _running(folder: Path, target: int, end: float) -> Iterator[Prometheus]:
    port, gone = free_port(), free_port()
    (folder / "prometheus.yml").write_text(
        f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{ETC}/prometheus-*rules.yml"]
scrape_configs:
  - job_name: nportpy
    static_configs: [{{targets: ["127.0.0.1:{target}", "127.0.0.1:{gone}"]}}]
"""
    )
    command = [
        "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    found = Prometheus(f"http://127.0.0.1:{port}", end)
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            for _ in range(600):
                try:
                    if found.ask("count(up) == 2", time.time()):
                        break
                except OSError:
                    assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
            yield found
        finally:
            process.terminate()
            process.wait(30)


def test_it_scrapes_a_gateway_and_sees_one_missing(prometheus: Prometheus) -> None:
    states = {each["metric"]["instance"]: each["value"][1] for each in prometheus.ask("up", time.time())}
    assert sorted(states.values()) == ["0", "1"]
    assert prometheus.ask("nportpy_modbus_unit_answer_seconds_bucket", time.time())


@pytest.mark.parametrize("name", RULES)
def test_each_alert_has_something_to_say(prometheus: Prometheus, name: str) -> None:
    at = time.time() if "up{" in RULES[name] else None  # what Prometheus itself has seen
    assert prometheus.ask(RULES[name], at), RULES[name]


def test_the_alerts_name_the_culprits_of_the_gateway_that_runs(prometheus: Prometheus) -> None:
    def named(alert: str) -> set[tuple[str, str]]:
        found = [each["metric"] for each in prometheus.ask(RULES[alert])]
        return {(each["port"], each.get("unit", "")) for each in found if each["instance"] == "pi-07"}

    assert named("NportpyModbusUnitSilent") == {("cable", "9")}
    assert named("NportpyModbusUnitSlow") == {("cable", "4")}
    assert named("NportpyModbusUnitNoisy") == named("NportpyModbusUnitFlaky") == {("cable", "5")}
    assert named("NportpyModbusQueueWait") == named("NportpyModbusBusFull") == {("cable", "")}
    assert named("NportpyModbusOverload") == {("cable", "")}
    assert named("NportpyModbusGatewaySlow") == set()


def _queries(panel: dict[str, Any]) -> list[str]:
    return [
        target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$port", ".*")
        for target in panel["targets"]
    ]


@pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])
def test_each_panel_has_data(prometheus: Prometheus, panel: dict[str, Any]) -> None:
    for query in _queries(panel):
        assert "$" not in query
        found = prometheus.ask(query)
        assert any(each["value"][1] != "NaN" for each in found), query


def test_the_dashboard_can_be_imported() -> None:
    assert DASHBOARD["schemaVersion"] >= 30
    assert "id" not in DASHBOARD
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    for panel in PANELS:
        assert panel["datasource"]["uid"] == "${datasource}"
        used = re.findall(r"\$(\w+)", json.dumps([target["expr"] for target in panel["targets"]]))
        assert set(used) <= variables | {"__rate_interval"}
