"""Who gets in: limits, places, takeover, allow lists; and that nothing is left of whoever has gone."""

import asyncio
import contextlib
import gc
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import ip_network

import pytest

from nportpy.linesettings import Flow, LineSettings
from nportpy.modes.raw import RawSession
from nportpy.network import tcp
from nportpy.network.addresses import AllowList, Endpoint, listen
from nportpy.network.listener import Listener
from nportpy.network.service import AccessSettings, WhenFull
from nportpy.network.tcp import PeerSilence
from nportpy.port.loopback import Cable
from nportpy.status import End
from tests.support.serving import Client, Served, com, connect, plan, raw, serving, settle, until

LIVING = PeerSilence(data=1.0, ack=0.01, unanswered=0)
DEAD = PeerSilence(data=1.0, ack=60.0, unanswered=2)
STALLED = PeerSilence(data=1.0, ack=60.0, unanswered=0)  # probed seldom, and has answered each time


def adds_up(served: Served, service: str = "raw") -> None:
    """As many have ended as were accepted and are gone."""
    results = served.results(service)
    ended = sum(results.get(end, 0) for end in End)
    assert results.get("accepted", 0) == ended + len(served.service(service).clients), results


async def another(served: Served, source: str = "") -> Client:
    return await connect(Client, served.port(), source=source)


async def test_a_full_service_refuses() -> None:
    cable = Cable()
    async with serving(plan("cable", raw(max_clients=2, takeover=False)), cables=[cable]) as served:
        clients = [await served.raw() for _ in range(2)]
        late = await another(served)
        await until(lambda: late.lost)
        assert served.results() == {"accepted": 2, "refused_full": 1}
        await clients[0].close()
        client = await served.raw()  # whoever has half-closed gives way at once
        client.send(b"in")
        await until(lambda: cable.heard == b"in")
        adds_up(served)


async def test_a_full_service_kicks_the_oldest() -> None:
    cable = Cable()
    settings = raw(max_clients=2, when_full=WhenFull.KICK_OLDEST, takeover=False)
    async with serving(plan("cable", settings), cables=[cable]) as served:
        clients = [await served.raw() for _ in range(2)]
        clients.append(await served.raw())
        await until(lambda: clients[0].lost)
        cable.far.write(b"x")
        await clients[1].hears(b"x")
        await clients[2].hears(b"x")
        assert served.results() == {"accepted": 3, "kicked": 1}
        adds_up(served)


async def test_a_full_service_kicks_the_idlest_if_it_is_idle_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    cable = Cable()
    settings = raw(max_clients=3, when_full=WhenFull.KICK_IDLE, idle_after=30.0, takeover=False)
    async with serving(plan("cable", settings), cables=[cable]) as served:
        clients = [await served.raw() for _ in range(3)]
        idle = dict(zip((client.port for client in served.service().clients), (10.0, 29.0, 5.0), strict=True))
        monkeypatch.setattr(tcp, "peer_silence", lambda sock: PeerSilence(idle.get(sock.getpeername()[1], 0.0), 0.0, 0))
        late = await another(served)
        await until(lambda: late.lost)
        assert served.results()["refused_full"] == 1
        for port in idle:
            idle[port] += 20
        await served.raw()
        await until(lambda: clients[1].lost)
        assert not clients[0].lost
        assert not clients[2].lost
        adds_up(served)


@pytest.mark.parametrize(
    ("silence", "source", "gets_in"),
    [
        (DEAD, "", True),
        (LIVING, "", False),
        (STALLED, "", False),
        (None, "127.0.0.2", True),
        (DEAD, "127.0.0.2", False),
    ],
    ids=["dead", "living", "stalled", "gone, another address", "dead, another address"],
)
async def test_the_same_address_takes_over_its_dead_session_only(
    monkeypatch: pytest.MonkeyPatch, silence: PeerSilence | None, source: str, gets_in: bool
) -> None:
    cable = Cable()
    async with serving(plan("cable", raw(max_clients=1)), cables=[cable]) as served:
        old = await served.raw()
        monkeypatch.setattr(tcp, "peer_silence", lambda _sock: silence)
        began = asyncio.get_running_loop().time()
        new = await another(served, source)
        new.send(b"new")
        await until(lambda: old.lost or new.lost)
        assert (old.lost, new.lost) == (gets_in, not gets_in)
        assert served.results().get("refused_full", 0) == (not gets_in)
        took = asyncio.get_running_loop().time() - began
        if silence is LIVING or source:
            assert took < 0.2
        if gets_in:
            await until(lambda: cable.heard == b"new")
        adds_up(served)


@pytest.mark.parametrize("alive_check", [0.0, 420.0])
async def test_a_probed_session_that_lives_is_left_as_it_was(alive_check: float) -> None:
    cable = Cable()
    async with serving(plan("cable", raw(max_clients=1, alive_check=alive_check)), cables=[cable]) as served:
        client = await served.raw()
        session = served.gateway._ports["cable"].services.running[0].runs.sessions[0]
        before = alive_options(session.socket)
        late = await another(served)
        await until(lambda: late.lost)
        assert alive_options(session.socket) == before
        assert before["keepalive"] == bool(alive_check)
        assert not client.lost


def alive_options(sock: socket.socket) -> dict[str, int]:
    names = {"idle": socket.TCP_KEEPIDLE, "interval": socket.TCP_KEEPINTVL, "count": socket.TCP_KEEPCNT}
    options = {name: sock.getsockopt(socket.IPPROTO_TCP, number) for name, number in names.items()}
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE):
        options = {}  # the others do not count then
    options["keepalive"] = sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    options["user_timeout"] = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    options["nodelay"] = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    return options


@pytest.mark.parametrize(
    ("alive_check", "expected"),
    [
        (420.0, {"idle": 210, "interval": 53, "count": 4, "keepalive": 1, "user_timeout": 420_000, "nodelay": 1}),
        (1.0, {"idle": 1, "interval": 1, "count": 4, "keepalive": 1, "user_timeout": 1000, "nodelay": 1}),
        (0.0, {"keepalive": 0, "user_timeout": 0, "nodelay": 1}),
    ],
)
async def test_alive_check_sets_what_the_kernel_needs(alive_check: float, expected: dict[str, int]) -> None:
    cable = Cable()
    async with serving(plan("cable", raw(alive_check=alive_check)), cables=[cable]) as served:
        await served.raw()
        session = served.gateway._ports["cable"].services.running[0].runs.sessions[0]
        assert alive_options(session.socket) == expected


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def away() -> Iterator[Callable[[], None]]:
    """A second host in a network namespace at 10.98.76.2, we at .1; calling it cuts the wire."""
    name, near, far = f"np{os.getpid()}", f"npa{os.getpid()}", f"npb{os.getpid()}"
    if os.geteuid() != 0:
        pytest.skip("a network namespace needs root")
    try:
        ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network namespaces here: {error}")
    try:
        ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", name)
        ip("addr", "add", "10.98.76.1/24", "dev", near)
        ip("link", "set", near, "up")
        ip("-n", name, "addr", "add", "10.98.76.2/24", "dev", far)
        ip("-n", name, "link", "set", far, "up")
        ip("-n", name, "link", "set", "lo", "up")
        yield lambda: ip("-n", name, "link", "set", far, "down")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no pair of network devices here: {error}")
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            ip("link", "del", near)
        ip("netns", "del", name)


CLIENT = """
import socket, sys
sock = socket.create_connection(("10.98.76.1", int(sys.argv[1])), timeout=10)
sock.sendall(b"here")
sys.stdin.read()
"""


@pytest.mark.real
async def test_a_host_that_was_switched_off_leaves_its_place_to_the_one_that_comes_back(
    away: Callable[[], None],
) -> None:
    cable = Cable()
    settings = raw(max_clients=1, listen=(Endpoint("0.0.0.0", 0),))
    namespace = f"np{os.getpid()}"
    async with serving(plan("cable", settings), cables=[cable]) as served:
        command = ["ip", "netns", "exec", namespace, sys.executable, "-c", CLIENT, str(served.port())]
        first = subprocess.Popen(command, stdin=subprocess.PIPE)  # noqa: ASYNC220 - it starts and goes its way
        second = None
        try:
            await until(lambda: cable.heard == b"here")
            second = subprocess.Popen(command, stdin=subprocess.PIPE)  # noqa: ASYNC220
            await until(lambda: served.results().get("refused_full") == 1)  # the first one lives
            away()
            # The host is back with its address, and does not know of its old connection.
            near = f"npa{os.getpid()}"
            ip("link", "set", near, "down")
            ip("addr", "add", "10.98.76.2/32", "dev", "lo")
            try:
                client = await connect(Client, served.port(), "10.98.76.1", source="10.98.76.2")
                await until(lambda: served.results().get("accepted") == 2, within=8)
                await client.close()
            finally:
                ip("addr", "del", "10.98.76.2/32", "dev", "lo")
            adds_up(served)
        finally:
            for process in filter(None, (first, second)):
                process.kill()
                process.communicate()


async def test_a_session_that_is_not_read_and_has_died_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a line takes nothing its client is not read, and nothing else tells that the connection has broken."""
    cable = Cable()
    line = LineSettings(115200, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
    async with serving(plan("cable", raw(max_clients=1), line=line), cables=[cable]) as served:
        cable.far.set_modem_lines(rts=False)
        client = await served.raw()
        client.send(bytes(3_000_000))
        await settle(0.5)
        await client.reset()
        await settle(0.5)
        assert len(served.service().clients) == 1
        await served.raw()
        adds_up(served)


# Access.


async def test_rings_of_networks() -> None:
    cable = Cable()
    lab, everything, host = ip_network("127.0.0.0/8"), ip_network("0.0.0.0/0"), ip_network("127.0.0.2/32")
    settings = raw(listen=(Endpoint("::", 0),), allow=((lab, everything), (host,)))
    async with serving(plan("cable", settings), cables=[cable]) as served:
        refused = await another(served)
        await until(lambda: refused.lost)
        welcome = await another(served, "127.0.0.2")  # seen as ::ffff:127.0.0.2
        await until(lambda: served.results().get("accepted") == 1)
        assert not welcome.lost
        six = await connect(Client, served.port(), "::1")
        await until(lambda: six.lost)
        assert served.results() == {"refused_allow": 2, "accepted": 1}


async def test_refusals_cost_one_log_line_per_address_and_minute(caplog: pytest.LogCaptureFixture) -> None:
    cable = Cable()
    settings = raw(allow=((ip_network("192.0.2.0/24"),),))
    async with serving(plan("cable", settings), cables=[cable]) as served:
        for source in ("127.0.0.1", "127.0.0.2"):
            for _ in range(30):
                client = await another(served, source)
                await until(lambda client=client: client.lost)  # type: ignore[misc]
        assert served.results() == {"refused_allow": 60}
        assert [record.message for record in caplog.records].count("client refused") == 2
        await asyncio.sleep(61)
        client = await another(served)
        await until(lambda: client.lost)
        lines = [record for record in caplog.records if record.message == "client refused"]
        assert len(lines) == 3
        assert lines[-1].__dict__["more"] == 29


async def test_limits_hold_over_all_services() -> None:
    cable = Cable()
    access = AccessSettings(max_connections=3, max_per_address=2)
    services = raw(max_clients=9), com(max_clients=9)
    async with serving(plan("cable", *services), cables=[cable], access=access) as served:
        first, second = await served.raw(), await served.telnet()
        third = await another(served)
        await until(lambda: third.lost)
        other = await another(served, "127.0.0.2")
        await until(lambda: len(served.service().clients) == 2)
        full = await another(served, "127.0.0.3")
        await until(lambda: full.lost)
        assert served.results() == {"accepted": 2, "refused_limit": 2}
        await first.reset()
        await second.reset()
        await until(lambda: len(served.service().clients) == 1)
        assert not other.lost
        await served.raw()
        await served.telnet()


@pytest.mark.real
async def test_a_thousand_connections_leave_nothing_behind() -> None:
    cable = Cable()
    services = raw(max_clients=100, half_close=0.05), com(max_clients=100, half_close=0.05)
    async with serving(plan("cable", *services), cables=[cable]) as served:
        await (await served.raw()).reset()
        await until(lambda: not served.service().clients)
        descriptors, tasks = len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())
        for round_ in range(25):
            clients = [await connect(Client, served.port("rfc2217" if number % 2 else "raw")) for number in range(40)]
            for number, client in enumerate(clients):
                client.send(b"x")
                if round_ % 3 == 0:
                    client.transport.abort()
                elif number % 2:
                    await client.reset()
                else:
                    client.transport.close()
            await until(lambda: not served.service().clients and not served.service("rfc2217").clients)
        await until(lambda: served.gateway._access._total == 0)
        await settle(0.1)
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) == descriptors
        assert len(asyncio.all_tasks()) == tasks
        assert served.gateway._access._inside == {}
        line = served.gateway._ports["cable"].line
        assert (line.stream.clients, line.stream._held, line.watch._clients, line.control._configured.controllers) == (
            [],
            set(),
            {},
            [],
        )
        adds_up(served)
        adds_up(served, "rfc2217")


FEW_DESCRIPTORS = """
import asyncio, logging, os, resource, socket, sys
from nportpy.port.loopback import Cable
from tests.support.serving import plan, raw, serving, until

async def main():
    cable = Cable()
    async with serving(plan("cable", raw(max_clients=100)), cables=[cable]) as served:
        port = served.port()
        first = await served.raw()
        sockets = [socket.socket() for _ in range(5)]
        in_use = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 2, in_use + 100))
        for sock in sockets:
            sock.connect(("127.0.0.1", port))
        await asyncio.sleep(0.2)
        assert len(served.service().clients) < 6, "no descriptor was short"
        cable.far.write(b"still here")
        await first.hears(b"still here")
        resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 100, in_use + 100))
        await until(lambda: len(served.service().clients) == 6)
        print("good")

logging.basicConfig(format="%(message)s", stream=sys.stdout)
asyncio.run(main())
"""


@pytest.mark.long
def test_the_listener_outlives_running_out_of_descriptors() -> None:
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] > 200
    done = subprocess.run(
        [sys.executable, "-c", FEW_DESCRIPTORS], capture_output=True, text=True, timeout=60, cwd=os.getcwd()
    )
    lines = done.stdout.splitlines()
    assert lines[-1:] == ["good"], done.stderr
    assert lines.count("cannot accept") == 1


async def test_a_listener_that_is_cancelled_gives_everything_back() -> None:
    cable = Cable()
    async with serving(plan("cable", raw()), cables=[cable]) as served:
        line, access = served.gateway._ports["cable"].line, served.gateway._access
        sock = listen(Endpoint("127.0.0.1", 0))
        make = partial(RawSession, line, raw())
        listener = Listener(line, "other", raw(), make, [sock], access, served.gateway._throttle)
        task = asyncio.get_running_loop().create_task(listener.run())
        there = await connect(Client, listener.endpoints[0].port)
        await until(lambda: len(listener.sessions) == 1)
        # These are accepted in the very moment in which the listener is cancelled: their tasks never run.
        late = [await connect(Client, listener.endpoints[0].port) for _ in range(3)]
        listener._accepting._accept(sock)
        task.cancel()
        await asyncio.wait([task])
        await until(lambda: there.lost and all(client.lost for client in late))
        assert access._total == 0
        assert not listener.sessions
        assert line.stream.clients == []
        sock.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a11_clients_have_one_form(host: str, caplog: pytest.LogCaptureFixture) -> None:
    """IPv4 through a dual-stack socket is IPv4, in the log and the status, let in or refused."""
    caplog.set_level("INFO")
    cable = Cable()
    four = AllowList((ip_network("127.0.0.0/8"),), "gateway.allow")
    service = raw(listen=(Endpoint("::", 0),), allow=(four,))
    async with serving(plan("cable", service), cables=[cable]) as served:
        client = await connect(Client, served.port(), host)
        own = str(Endpoint(*client.transport.get_extra_info("sockname")[:2]))
        if host == "127.0.0.1":
            await until(lambda: served.service().clients)
            assert served.service().clients[0].address == "127.0.0.1"
        else:
            await until(lambda: client.lost)
    said = [record.__dict__ for record in caplog.records if "client" in record.__dict__]
    assert said
    assert {each["client"] for each in said} == {own}
    assert {each.get("list", "gateway.allow") for each in said} == {"gateway.allow"}
