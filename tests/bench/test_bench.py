"""The harness measures what it says: its statistics, its judgement, its table, and a taste of real runs."""

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import pytest

from tests.bench.__main__ import BENCHES, _wanted, run
from tests.bench.clients import _plain
from tests.bench.farend import reading
from tests.bench.gateways import Direct, ModbusPeer, Nportpy, Setup, Socat
from tests.bench.latency import LATENCY
from tests.bench.modbus import MODBUS
from tests.bench.modbus_paced import MODBUS_19200, MODBUS_DEAD, cycle_time
from tests.bench.modbus_soak import LATE, SOAK
from tests.bench.modbusclients import Client, ask_ahead, exchange, reads
from tests.bench.modbusclients import run as ask_together
from tests.bench.processes import BrokenError, cpu_seconds, megabytes, program, tree, wakeups
from tests.bench.report import Bench, Figure, Goal, Results, Scale, table, write_between_marks
from tests.bench.saturated import SATURATED
from tests.bench.stats import Spread, percentile
from tests.bench.throughput import BOTH_WAYS, FROM_LINE

pytestmark = pytest.mark.process

TINY = Scale(
    exchanges=50,
    bulk=300_000,
    echoed=200_000,
    lines=2,
    paced_seconds=0.2,
    idle_seconds=0.1,
    dead_seconds=0.2,
    soak_seconds=0.3,
    late_trials=200,
)


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 50), (0.99, 99), (1.0, 100)])
def test_percentile_is_a_value_that_was_measured(share: float, value: float) -> None:
    assert percentile(range(100, 0, -1), share) == value


def test_percentile_of_one_value() -> None:
    assert percentile([7.0], 0.99) == 7.0


def test_spread() -> None:
    assert Spread.over([3, 1, 2]) == Spread(1, 2, 3)
    assert Spread.over([4, 1, 2, 3]) == Spread(1, 2.5, 4)
    assert Spread(1, 2.25, 3).text(1) == "1.0 / 2.2 / 3.0"


@pytest.mark.parametrize("name", [bench.name for bench in BENCHES])
def test_each_measurement_alone_can_be_judged(name: str) -> None:
    measured = {figure.key for bench in _wanted((name,)) for figure in bench.figures}
    goals = next(bench.goals for bench in BENCHES if bench.name == name)
    assert {goal.times for goal in goals if goal.times} <= measured


SPEED = Bench(
    name="speed",
    figures=(Figure("speed", "speed", "MB/s", 0), Figure("pause", "pause", "s")),
    goals=(Goal("speed", 10, least=True, times="speed", of="ser2net"), Goal("pause", 2)),
    far_ends=lambda _: [],
    measure=lambda *_: iter(()),
)


def measured() -> Results:
    results = Results({"nportpy": "1", "socat": None, "ser2net": "4"}, {"processor": "2 x some"})
    for ours, theirs in ((100, 10), (300, 20), (90, 10)):
        results.add("nportpy", {"speed": ours, "pause": 3})
        results.add("ser2net", {"speed": theirs})
    return results


def test_a_multiple_is_taken_round_by_round() -> None:
    assert measured().judge(SPEED.goals[0]) == Spread(9, 10, 15)


def test_the_table_tells_met_from_missed_and_absent_from_not_measured() -> None:
    text = table(measured(), [SPEED])
    assert "| speed                     | MB/s | 90 / 100 / 300  | absent | 10 / 10 / 20 |" in text
    assert "| pause                     | s    | 3.0 / 3.0 / 3.0 | absent | -            |" in text
    assert "| speed: at least 10 x ser2net | 9.00 / 10.00 / 15.00 | met        |" in text
    assert "| pause: at most 2 s           | 3.00 / 3.00 / 3.00   | **missed** |" in text


def test_a_failure_takes_the_place_of_its_figures() -> None:
    results = measured()
    results.fail("ser2net", SPEED, "deadlock")
    text = table(results, [SPEED])
    assert "deadlock" in text
    assert "| speed: at least 10 x ser2net | -                  | ?          |" in text


def test_the_table_replaces_the_old_one_in_the_page(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("a\n<!-- bench -->\nold\n<!-- /bench -->\nb\n")
    write_between_marks(page, "new\n")
    assert page.read_text() == "a\n<!-- bench -->\nnew\n<!-- /bench -->\nb\n"
    page.write_text("a\n")
    with pytest.raises(ValueError, match="no <!-- bench -->"):
        write_between_marks(page, "new\n")


def test_telnet_commands_between_the_data_are_left_out() -> None:
    assert _plain(b"ab\xff\xfa\x2c\x6b\x30\xff\xf0cd\xff\xfd\x00ef") == b"abcdef"


def test_what_the_kernel_knows_of_a_process(tmp_path: Path) -> None:
    with program(["sh", "-c", "sleep 60 & wait"], tmp_path / "log") as process:
        while len(tree(process.pid)) < 2:
            assert process.poll() is None
        pids = tree(process.pid)
        assert 0 < cpu_seconds(pids) < 10
        assert wakeups(pids) >= 0
        assert megabytes(pids, "Rss") >= megabytes(pids, "Pss") > 0


@pytest.mark.parametrize("bench", [LATENCY, FROM_LINE, BOTH_WAYS, MODBUS_19200], ids=lambda bench: bench.name)
def test_a_taste_of_each_measurement_without_a_gateway(bench: Bench) -> None:
    results = run((bench,), (Direct(),), TINY, 1)
    assert not results.failures
    assert results.samples["pty alone"][bench.figures[0].key][0] > 0


@pytest.mark.parametrize(
    "bench",
    [LATENCY, BOTH_WAYS, SATURATED, MODBUS, MODBUS_19200, MODBUS_DEAD, SOAK, LATE],
    ids=lambda bench: bench.name,
)
def test_a_taste_of_each_measurement_on_nportpy_loses_no_byte(bench: Bench) -> None:
    results = run((bench,), (Nportpy(),), TINY, 1)
    assert not results.failures
    assert all(results.samples["nportpy"][figure.key] for figure in bench.figures)


@pytest.mark.peer
@pytest.mark.skipif(not shutil.which("socat"), reason="no socat here")
@pytest.mark.parametrize("bench", [LATENCY, SATURATED], ids=lambda bench: bench.name)
def test_a_taste_of_each_measurement_on_socat(bench: Bench) -> None:
    results = run((bench,), (Socat(),), TINY, 1)
    assert not results.failures
    assert results.samples["socat"][bench.figures[0].key][0] > 0


def server(link: socket.socket, wrong: int = 0) -> None:
    """A Modbus TCP server that answers in two pieces; request number `wrong` gets the answer to the one before."""
    heard, last = b"", b""
    with link, suppress(ConnectionError):
        while data := link.recv(4096):
            heard += data
            while len(heard) >= 12:
                request, heard = heard[:12], heard[12:]
                pdu = reading(request[6], int.from_bytes(request[8:10]), int.from_bytes(request[10:]))
                wrong -= 1
                pdu, last = (pdu if wrong else last), pdu
                answer = request[:4] + (len(pdu) + 1).to_bytes(2) + request[6:7] + pdu
                link.sendall(answer[:3])
                link.sendall(answer[3:])


@pytest.fixture(params=[0, 3], ids=["right", "one-wrong"])
def answering(request: pytest.FixtureRequest) -> Iterator[tuple[int, bool]]:
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=server, args=(theirs, request.param))
    thread.start()
    with ours:
        yield ours.fileno(), not request.param
    thread.join()


@pytest.mark.parametrize("way", ["one by one", "ahead", "together"])
def test_modbus_clients_compare_every_answer(answering: tuple[int, bool], way: str) -> None:
    descriptor, right = answering
    pairs = reads(1, range(0, 100, 10))
    client = Client(descriptor, cycle(pairs))
    with nullcontext() if right else pytest.raises(BrokenError, match="got"):
        match way:
            case "one by one":
                assert len(exchange(descriptor, pairs, 20)) == 20
            case "ahead":
                assert ask_ahead(descriptor, pairs, 4, 20) > 0
            case "together":
                ask_together([client], 0.05)
                assert len(client.took) == len(client.at) > 0


def test_a_resting_client_asks_again_after_its_rest() -> None:
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=server, args=(theirs,))
    thread.start()
    with ours:
        client = Client(ours.fileno(), cycle(reads(1, [0])), pause=0.005)
        ask_together([client], 0.05)
    thread.join()
    assert 1 <= len(client.took) <= 11


def test_a_peers_command_is_filled_in_and_its_goals_are_beside_ours() -> None:
    peer = ModbusPeer("mbusd", "mbusd -p {device} -s {baudrate} -m {format} -P {port} -n 'a b'")
    setup = Setup("modbus", 19200, "8E1")
    assert peer._command("/dev/x", 502, setup)[1:9] == ["-p", "/dev/x", "-s", "19200", "-m", "8E1", "-P", "502"]
    assert peer._command("/dev/x", 502, setup)[-1] == "a b"
    goals = MODBUS.beside(["mbusd"]).goals
    assert goals[: len(MODBUS.goals)] == MODBUS.goals
    assert goals[len(MODBUS.goals) :] == tuple(replace(goal, of="mbusd") for goal in MODBUS.rivalry)
    assert ModbusPeer("none", "/no/such/program {port}").version() is None


@pytest.mark.parametrize("command", ["", "mbusd {speed}", "mbusd {}", "mbusd '"])
def test_a_peers_command_that_cannot_be_filled_in_is_refused(command: str) -> None:
    with pytest.raises(ValueError, match=r"mbusd: |closing quotation"):
        ModbusPeer("mbusd", command)


def test_what_is_about_our_own_code_measures_no_other_program() -> None:
    results = run((LATE,), (ModbusPeer("peer", "true {port}"),), TINY, 1)
    assert not results.samples
    assert not results.failures


def test_a_program_without_the_service_takes_no_part() -> None:
    results = run((MODBUS,), (Direct(),), TINY, 1)
    assert not results.samples
    assert not results.failures


@pytest.mark.parametrize(("baudrate", "milliseconds"), [(9600, 45.8), (19200, 22.9), (115200, 6.7)])
def test_what_a_transaction_takes_at_least(baudrate: int, milliseconds: float) -> None:
    assert round(cycle_time(baudrate) * 1000, 1) == milliseconds


def test_some_goals_hold_only_if_every_round_meets_them() -> None:
    often, always = Goal("violations", 0), Goal("violations", 0, always=True)
    rounds = Spread.over([0, 0, 1])
    assert often.met(rounds)
    assert not always.met(rounds)
    assert always.met(Spread.over([0, 0]))
