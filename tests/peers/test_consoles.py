"""What people reach consoles with: telnet, conserver and conman. Break keys and telnet's Synch, on each service."""

import asyncio
import getpass
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import DEVNULL

import pytest

from nportpy.gateway.plans import Kind
from nportpy.modes.reverse_telnet_base import ReverseTelnetSettings
from nportpy.modes.rfc2217_base import WhoControls
from nportpy.port.loopback import Cable
from tests.support.free_ports import free_port
from tests.support.peers import Typing, typing_to
from tests.support.serving import ANY_PORT, com, plan, serving, settle, until

pytestmark = [pytest.mark.peer, pytest.mark.real]

SERVICES = [*(f"rfc2217 {control}" for control in WhoControls), "reverse_telnet"]


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not shutil.which(name, path="/usr/bin:/usr/sbin"), reason=f"no {name} here")


@asynccontextmanager
async def console(service: str) -> AsyncIterator[tuple[Cable, int]]:
    """A cable and the port of a telnet service for it."""
    cable = Cable()
    kind, _, control = service.partition(" ")
    ports = plan("cable", com(control=WhoControls(control))) if control else plan("cable")
    if not control:
        ports = type(ports)(
            ports.name, ports.port, modes=((Kind.REVERSE_TELNET, ReverseTelnetSettings(listen=ANY_PORT)),)
        )
    async with serving(ports, cables=[cable]) as served:
        yield cable, served.port(kind)


Keys = Callable[[Typing], Awaitable[None]]


def keys(text: bytes) -> Keys:
    async def press(person: Typing) -> None:
        person.type(text)

    return press


def telnet_command(text: bytes) -> Keys:
    async def press(person: Typing) -> None:
        person.type(b"\x1d")
        await person.shows(b"telnet>")
        person.type(text + b"\n")

    return press


@asynccontextmanager
async def daemon(name: str, *arguments: str) -> AsyncIterator[None]:
    """A server with children, which it ends itself."""
    path = shutil.which(name, path="/usr/sbin:/usr/bin") or ""
    process = await asyncio.create_subprocess_exec(path, *arguments, stdout=DEVNULL, stderr=DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def breaks_between(cable: Cable, person: Typing, press_break: Keys) -> None:
    """Something is typed, the break key, and something else; the device answers."""
    assert cable.near is not None
    person.type(b"before")
    await until(lambda: cable.heard == b"before", 20)
    await press_break(person)
    await until(lambda: cable.far.counts.breaks == 1, 20)
    await until(lambda: cable.near is not None and not cable.near.breaking)
    await settle(0.3)
    person.type(b"after")
    await until(lambda: cable.heard == b"beforeafter", 20)
    cable.far.write(b"answer")
    await person.shows(b"answer")
    assert cable.far.counts.breaks == 1


@needs("telnet")
@pytest.mark.parametrize("service", SERVICES)
async def test_b1_the_break_of_telnet(service: str) -> None:
    async with console(service) as (cable, port), typing_to("telnet", "127.0.0.1", str(port)) as person:
        await person.shows(b"Escape character")
        await settle(0.3)
        await breaks_between(cable, person, telnet_command(b"send brk"))


@needs("telnet")
@pytest.mark.parametrize("service", SERVICES)
async def test_b2_the_synch_of_telnet(service: str) -> None:
    async with console(service) as (cable, port), typing_to("telnet", "127.0.0.1", str(port)) as person:
        await person.shows(b"Escape character")
        await settle(0.3)
        person.type(b"AB")
        await until(lambda: cable.heard == b"AB", 20)
        for expected in (b"ABCD", b"ABCDCD"):
            await telnet_command(b"send synch")(person)
            await settle(0.3)
            person.type(b"CD")
            await until(lambda end=expected: len(cable.heard) >= len(end), 20)  # type: ignore[misc]
            assert cable.heard == expected
        assert cable.far.counts.breaks == 0


@needs("conserver")
@needs("console")
@pytest.mark.parametrize("service", SERVICES)
async def test_b1_the_break_of_conserver(service: str, tmp_path: Path) -> None:
    ports = [str(free_port()) for _ in range(2)]
    configuration = tmp_path / "conserver.cf"
    async with console(service) as (cable, port):
        configuration.write_text(
            f"""
            config * {{ daemonmode off; defaultaccess trusted; logfile {tmp_path}/log; }}
            access * {{ trusted 127.0.0.1; }}
            console device {{
              master localhost; type host; host 127.0.0.1; port {port}; protocol telnet; rw *;
              logfile {tmp_path}/device;
            }}
            """
        )
        server = ("conserver", "-C", str(configuration), "-M", "127.0.0.1", "-p", ports[0], "-b", ports[1])
        async with daemon(*server):
            await listens(int(ports[0]))
            client = ("console", "-M", "127.0.0.1", "-p", ports[0], "-l", getpass.getuser(), "-a", "device")
            async with typing_to(*client) as person:
                await person.shows(b"help]")
                await breaks_between(cable, person, keys(b"\x05cl0"))


@needs("conmand")
@needs("conman")
@pytest.mark.parametrize("service", SERVICES)
async def test_b1_the_break_of_conman(service: str, tmp_path: Path) -> None:
    listening = free_port()
    configuration = tmp_path / "conman.conf"
    async with console(service) as (cable, port):
        configuration.write_text(
            f"""
            server coredump=off keepalive=on loopback=on port={listening} pidfile="{tmp_path}/pid"
            server logfile="{tmp_path}/log"
            console name="device" dev="127.0.0.1:{port}"
            """
        )
        async with daemon("conmand", "-F", "-c", str(configuration)):
            await listens(listening)
            async with typing_to("conman", "-d", f"127.0.0.1:{listening}", "device") as person:
                await person.shows(b"opened")
                await breaks_between(cable, person, keys(b"&B"))


async def listens(port: int) -> None:
    def look() -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", port)) == 0

    await until(look, 20)
