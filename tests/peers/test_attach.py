"""Programs for serial ports on a virtual one: picocom, mbpoll, pyserial, stty; ser2net as the server behind it."""

import asyncio
import contextlib
import os
import random
import re
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import PIPE

import pytest
import serial

from nportpy.attach.attachment import Attachment
from nportpy.attach.settings import AttachSettings
from nportpy.attach.target import Scheme, Target
from nportpy.linesettings import LineSettings, Parity
from nportpy.network.addresses import Endpoint
from nportpy.port.ioctls import Termios2
from nportpy.port.loopback import Cable
from nportpy.simulator.device import Answer
from tests.support import realcom_serving
from tests.support.clock import VirtualLoop
from tests.support.free_ports import free_port
from tests.support.modbus_serving import attach, holding, units
from tests.support.peers import null_modem, output_of, program
from tests.support.serving import com, plan, serving, until

SER2NET = shutil.which("ser2net", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

pytestmark = [pytest.mark.peer, pytest.mark.real]


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not shutil.which(name), reason=f"no {name} here")


@asynccontextmanager
async def attached(
    tmp_path: Path, port: int, *, there: bool = True, target: Target | None = None
) -> AsyncIterator[str]:
    link = str(tmp_path / "ttyV0")
    target = target or Target(Scheme.RFC2217, Endpoint("127.0.0.1", port))
    attachment = Attachment(AttachSettings(target, link))
    attachment.open()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(attachment.run())
        try:
            await until(lambda: attachment.state == "connected" or not there)
            yield link
        finally:
            attachment.stop()
            async with asyncio.timeout(60):
                await running


async def settings_become(cable_settings: object, expected: str) -> None:
    assert callable(cable_settings)
    try:
        await until(lambda: str(cable_settings()) == expected)
    except TimeoutError:
        raise AssertionError(f"{cable_settings()}, not {expected}") from None


@needs("stty")
async def test_stty_shows_and_sets_the_far_line(tmp_path: Path) -> None:
    async with (
        serving(plan("cable", com(), line=LineSettings(19200, parity=Parity.EVEN)), cables=[Cable()]) as served,
        attached(tmp_path, served.port("rfc2217")) as link,
    ):
        await asyncio.sleep(0.1)
        _, shown = await output_of("stty", "-F", link)
        assert "speed 19200 baud" in shown
        code, said = await output_of("stty", "-F", link, "115200", "cstopb", "ixon", "ixoff")
        assert (code, said) == (0, "")
        await settings_become(lambda: served.line().settings, "115200 8E2 xonxoff")


@needs("picocom")
async def test_picocom_talks_and_changes_the_speed(tmp_path: Path) -> None:
    cable = Cable()
    async with (
        serving(plan("cable", com()), cables=[cable]) as served,
        attached(tmp_path, served.port("rfc2217")) as link,
    ):
        process = await asyncio.create_subprocess_exec(
            "picocom", "-q", "-b", "57600", "-p", "2", "-x", "3000", link, stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        assert process.stdin is not None
        await settings_become(lambda: served.line().settings, "57600 8N2")
        process.stdin.write(b"typed")
        await until(lambda: cable.heard == b"typed")
        cable.far.write(b"answered")
        output, errors = await process.communicate()
        assert b"answered" in output, errors


async def test_pyserial_sees_an_ordinary_port(tmp_path: Path) -> None:
    cable = Cable()
    data = random.Random(7).randbytes(20_000)
    async with (
        serving(plan("cable", com()), cables=[cable]) as served,
        attached(tmp_path, served.port("rfc2217")) as link,
    ):

        def use() -> None:
            with serial.Serial(link, 230400, timeout=5, exclusive=True, stopbits=2) as port:
                port.write(data)
                port.flush()
                port.reset_input_buffer()

        await asyncio.to_thread(use)
        await until(lambda: cable.heard == data)
        await settings_become(lambda: served.line().settings, "230400 8N2")


@needs("mbpoll")
async def test_mbpoll_and_pyserial_work_over_real_com(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cable, asked_at = Cable(), list[str]()
    bus = units(7)
    attach(cable, bus)
    feed = bus.feed

    def heard(data: bytes, now: float) -> Sequence[Answer]:
        asked_at.append(str(served.line.settings))
        return feed(data, now)

    monkeypatch.setattr(bus, "feed", heard)
    async with realcom_serving.serving(cable) as served:
        data, command = served.ports
        target = Target.parse(f"realcom://127.0.0.1:{data},{command}")
        async with attached(tmp_path, data, target=target) as link:
            arguments = ("-m", "rtu", "-b", "19200", "-P", "even", "-a", "7", "-0", "-r", "3", "-c", "2", "-1", link)
            code, output = await output_of("mbpoll", *arguments)
            assert code == 0, output
            assert re.findall(r"^\[\d+\]:\s+(\S+)", output, re.MULTILINE) == [str(each) for each in holding(7, 3, 2)]
            assert asked_at[-1] == "19200 8E1"  # before it goes, it puts the port back as it was

            def use() -> None:
                with serial.Serial(link, 230400, timeout=5, exclusive=True, stopbits=2) as port:
                    port.reset_input_buffer()
                    port.write(b"\x07\x03\x00\x03\x00\x02\x34\x6d")
                    assert port.read(9)[:3] == b"\x07\x03\x04"

            await asyncio.to_thread(use)
            assert asked_at[-1] == "230400 8N2"


@needs("mbpoll")
async def test_mbpoll_reads_a_meter_behind_a_gateway(tmp_path: Path) -> None:
    """Its speed, its parity and its requests all pass."""
    cable = Cable()
    attach(cable, units(7))
    async with (
        serving(plan("cable", com()), cables=[cable]) as served,
        attached(tmp_path, served.port("rfc2217")) as link,
    ):
        for parity in ("even", "odd", "none"):
            arguments = ("-m", "rtu", "-b", "19200", "-P", parity, "-a", "7", "-0", "-r", "3", "-c", "2", "-1", link)
            code, output = await output_of("mbpoll", *arguments)
            assert code == 0, output
            assert re.findall(r"^\[\d+\]:\s+(\S+)", output, re.MULTILINE) == [str(each) for each in holding(7, 3, 2)]
        assert {"19200 8E1", "19200 8O1", "19200 8N1"} <= {str(settings) for settings in cable.configured}


@asynccontextmanager
async def ser2net(tmp_path: Path, device: str, port: int) -> AsyncIterator[None]:
    """ser2net with one line on one port."""
    assert SER2NET is not None
    file = tmp_path / "ser2net.yaml"
    file.write_text(
        "%YAML 1.1\n---\nconnection: &line\n"
        f"  accepter: telnet(rfc2217),tcp(nodelay),127.0.0.1,{port}\n"
        f"  connector: serialdev,{device},9600n81,local\n"
    )
    async with program(SER2NET, "-n", "-u", "-c", str(file)):
        yield


@pytest.mark.skipif(
    SER2NET is None or not shutil.which("socat"), reason="no ser2net here" if SER2NET is None else "no socat here"
)
async def test_ser2net_is_a_server_too_and_may_be_started_again(tmp_path: Path) -> None:
    port = free_port()
    async with null_modem(tmp_path) as (near, far):
        with serial.Serial(far, 9600, timeout=0) as device:
            async with contextlib.AsyncExitStack() as stack:
                await stack.enter_async_context(ser2net(tmp_path, near, port))
                link = await stack.enter_async_context(attached(tmp_path, port))
                with serial.Serial(link, 38400, timeout=0) as terminal:
                    await exchange(terminal, device)
                    await until(lambda: speed_of(near) == 38400)
                    terminal.baudrate = 2400
                    await until(lambda: speed_of(near) == 2400)
            async with attached(tmp_path, port, there=False) as link:
                with serial.Serial(link, 19200, timeout=0) as terminal:
                    async with ser2net(tmp_path, near, port):
                        await exchange(terminal, device)
                        await until(lambda: speed_of(near) == 19200)
                    async with ser2net(tmp_path, near, port):
                        await exchange(terminal, device)
                        await until(lambda: speed_of(near) == 19200)


def speed_of(device: str) -> int:
    fd = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        return int(Termios2(fd).ospeed)
    finally:
        os.close(fd)


async def exchange(terminal: serial.Serial, device: serial.Serial) -> None:
    """Bytes of all values, both ways."""
    everything = bytes(range(256)) * 4
    for sender, receiver in ((terminal, device), (device, terminal)):
        heard = bytearray()

        def all_there(receiver: serial.Serial = receiver, heard: bytearray = heard) -> bool:
            heard.extend(receiver.read(4096))
            return len(heard) >= len(everything)

        sender.write(everything)
        await until(all_there)
        assert heard == everything


def test_64_kilobytes_at_9600_baud_arrive_whole_after_close(tmp_path: Path) -> None:
    """On virtual time, as it is more than a minute; the program has gone long before."""
    data = random.Random(9).randbytes(65536)

    async def main() -> None:
        cable = Cable(paced=True)
        stream = LineSettings(9600)
        async with (
            serving(plan("cable", com(), line=stream), cables=[cable]) as served,
            attached(tmp_path, served.port("rfc2217")) as link,
        ):
            writer = threading.Thread(target=write_and_close, args=(link, data))
            writer.start()
            loop = asyncio.get_running_loop()
            while writer.is_alive():
                await loop.run_in_executor(None, writer.join, 0.01)
            began = loop.time()
            await until(lambda: len(cable.heard) == len(data), 120.0)
            assert cable.heard == data
            assert loop.time() - began > 30

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


def write_and_close(link: str, data: bytes) -> None:
    with open(link, "wb", buffering=0) as port:
        view = memoryview(data)
        while view:
            view = view[port.write(view) :]


def test_systemd_finds_nothing_wrong_with_the_service(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here")
    service = Path(__file__).parents[2] / "etc/nportpy-attach@.service"
    unit = tmp_path / "nportpy-attach@ttyV0.service"
    unit.write_text(service.read_text().replace("/opt/nportpy/bin/nportpy", "/bin/true"))
    for arguments in (["verify", "--man=no"], ["security", "--offline=true", "--threshold=30"]):
        result = subprocess.run(["systemd-analyze", *arguments, unit], capture_output=True, text=True, timeout=60)
        complaints = [line for line in (result.stdout + result.stderr).splitlines() if "nportpy" in line]
        assert result.returncode == 0 or not complaints, complaints
