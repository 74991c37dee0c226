"""TLS with programs that nobody here wrote: openssl, socat, gensio by ser2net, curl, pymodbus."""

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from pymodbus import FramerType, ModbusException
from pymodbus.client import AsyncModbusTlsClient

from nportpy.attach.attachment import Attachment
from nportpy.attach.settings import AttachSettings
from nportpy.attach.target import Target
from nportpy.cli import main
from nportpy.gateway.plans import Kind, PortPlan
from nportpy.modbus.settings import Action, Matching, RoutingSettings, Rule
from nportpy.modes.tcp_client_base import TcpClientSettings
from nportpy.network.addresses import Destination
from nportpy.network.tls_settings import Clients, KeyPair, TlsSettings
from nportpy.port.base import PortSettings
from nportpy.port.loopback import Cable
from nportpy.services.http_base import ConsoleMode, HttpSettings
from tests.support.browser import PROGRAM, browser
from tests.support.free_ports import free_port
from tests.support.modbus_serving import attach, holding, modbus, units
from tests.support.serving import com, plan, raw, serving, until
from tests.support.tls import Plant, context_of, table

pytestmark = [pytest.mark.peer, pytest.mark.real]


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not shutil.which(program), reason=f"no {program} here")


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return Plant(tmp_path_factory.mktemp("plant"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `nportpy cert` has made: an authority, a gateway and a client."""
    folder = tmp_path_factory.mktemp("made")
    for arguments in (
        ["ca"],
        ["server", "localhost", "127.0.0.1"],
        ["client", "scada", "--role", "Operator"],
        ["self"],
    ):
        where = ["-o", str(folder)] + (["--ca", str(folder)] if arguments[0] in ("server", "client") else [])
        result = CliRunner().invoke(main, ["cert", *arguments, *where])
        assert result.exit_code == 0, result.output
    return folder


def of(folder: Path) -> TlsSettings:
    pair = KeyPair(str(folder / "localhost.crt"), str(folder / "localhost.key"))
    return TlsSettings("plant", (pair,), str(folder / "ca.crt"), Clients.REQUIRED)


async def run(*arguments: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> tuple[int, bytes]:
    process = await asyncio.create_subprocess_exec(
        *arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(env or {})},
    )
    async with asyncio.timeout(20):
        output, _ = await process.communicate(stdin)
    return process.returncode or 0, output


@needs("openssl")
@pytest.mark.parametrize(
    ("option", "cipher", "works"),
    [
        ("-tls1_3", "", True),
        ("-tls1_2", "ECDHE-ECDSA-AES128-GCM-SHA256", True),
        ("-tls1_2", "ECDHE-ECDSA-AES256-GCM-SHA384", True),
        ("-tls1_2", "ECDHE-ECDSA-CHACHA20-POLY1305", True),
        ("-tls1_2", "ECDHE-ECDSA-AES128-SHA256", False),
        ("-tls1_2", "ECDHE-ECDSA-AES128-SHA", False),
        ("-tls1_2", "AES128-GCM-SHA256", False),
        ("-tls1_2", "DHE-RSA-AES128-GCM-SHA256", False),
        ("-tls1_1", "ALL", False),
        ("-tls1", "ALL", False),
    ],
)
async def test_s2_openssl_over_versions_and_suites(plant: Plant, option: str, cipher: str, works: bool) -> None:
    async with serving(plan("cable", raw(tls="plant")), cables=[Cable()], tls=(table(plant),), drain=0.1) as served:
        suite = ["-cipher", f"{cipher}:@SECLEVEL=0"] if cipher else []
        code, output = await run(
            "openssl", "s_client", "-connect", f"127.0.0.1:{served.port()}", "-CAfile", plant.ca,
            "-verify_return_error", option, *suite,
        )  # fmt: skip
        assert (code == 0 and b"Verify return code: 0 (ok)" in output) is works, output.decode()
        if works:
            assert b"Compression: NONE" in output
            assert b"Secure Renegotiation IS NOT" in output or b"Secure Renegotiation IS supported" in output


@needs("openssl")
async def test_s2_nobody_renegotiates(plant: Plant) -> None:
    """Who asks for it is cut off, and nobody else notices."""
    async with serving(plan("cable", raw(tls="plant")), cables=[Cable()], tls=(table(plant),), drain=0.1) as served:
        process = await asyncio.create_subprocess_exec(
            *("openssl", "s_client", "-tls1_2", "-connect", f"127.0.0.1:{served.port()}", "-CAfile", plant.ca),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        await until(lambda: bool(served.service().clients))
        assert process.stdin is not None
        process.stdin.write(b"R\n")  # openssl-s_client(1): renegotiate
        async with asyncio.timeout(20):
            output, _ = await process.communicate()
        assert b"RENEGOTIATING" in output
        assert b"no renegotiation" in output
        await until(lambda: not served.service().clients)
        code, _ = await run("openssl", "s_client", "-connect", f"127.0.0.1:{served.port()}", "-CAfile", plant.ca)
        assert code == 0


@needs("openssl")
async def test_s6_openssl_fed_by_a_pipe_gets_its_answer(plant: Plant) -> None:
    cable = Cable()
    async with serving(plan("cable", raw(tls="plant")), cables=[cable], tls=(table(plant),), drain=0.1) as served:

        async def answer() -> None:
            await until(lambda: cable.heard == b"ask")
            cable.far.write(b"the answer")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(answer())
            process = await asyncio.create_subprocess_exec(
                "openssl", "s_client", "-quiet", "-connect", f"127.0.0.1:{served.port()}", "-CAfile", plant.ca,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"ask")
            process.stdin.close()
            async with asyncio.timeout(10):
                assert await process.stdout.readexactly(10) == b"the answer"
            process.kill()
            await process.communicate()


@needs("openssl")
async def test_s11_openssl_is_told_why_it_is_refused(plant: Plant) -> None:
    tls = (table(plant, clients=Clients.REQUIRED),)
    async with serving(plan("cable", raw(tls="plant")), cables=[Cable()], tls=tls, drain=0.1) as served:
        code, output = await run(
            "openssl", "s_client", "-connect", f"127.0.0.1:{served.port()}", "-CAfile", plant.ca, "-ign_eof"
        )
        assert code != 0
        assert b"alert certificate required" in output


@needs("openssl")
def test_s8_openssl_verifies_what_nportpy_has_made(made: Path) -> None:
    for purpose, name in (("sslserver", "localhost"), ("sslclient", "scada")):
        subprocess.run(
            [
                "openssl",
                "verify",
                "-x509_strict",
                "-purpose",
                purpose,
                "-CAfile",
                made / "ca.crt",
                made / f"{name}.crt",
            ],
            check=True,
            capture_output=True,
        )
    subprocess.run(
        ["openssl", "verify", "-x509_strict", "-CAfile", made / "server.crt", made / "server.crt"],
        check=True,
        capture_output=True,
    )


@needs("socat")
async def test_s1_socat_makes_a_pseudo_terminal_of_it(made: Path, tmp_path: Path) -> None:
    cable, link = Cable(), tmp_path / "tty"
    options = f"cafile={made}/ca.crt,cert={made}/scada.crt,key={made}/scada.key"
    async with serving(plan("cable", raw(tls="plant")), cables=[cable], tls=(of(made),), drain=0.1) as served:
        process = await asyncio.create_subprocess_exec(
            "socat", f"PTY,link={link},raw,echo=0", f"OPENSSL:localhost:{served.port()},pf=ip4,{options}"
        )
        try:
            await until(lambda: link.exists() and served.service().clients)
            assert served.service().clients[0].identity == "CN=scada, Operator"
            terminal = os.open(link, os.O_RDWR | os.O_NOCTTY)
            os.write(terminal, b"to the line")
            await until(lambda: cable.heard == b"to the line")
            cable.far.write(b"from the line")
            assert await asyncio.to_thread(os.read, terminal, 100) == b"from the line"
            os.close(terminal)
        finally:
            process.terminate()
            await process.wait()


@needs("gensiot")
@pytest.mark.parametrize("layers", ["", "telnet(rfc2217),"])
async def test_s1_gensio_comes_by_tls(made: Path, layers: str) -> None:
    cable = Cable()
    service, kind = (com(tls="plant"), "rfc2217") if layers else (raw(tls="plant"), "raw")
    async with serving(plan("cable", service), cables=[cable], tls=(of(made),), drain=0.1) as served:
        files = f"CA={made}/ca.crt,cert={made}/scada.crt,key={made}/scada.key"
        process = await asyncio.create_subprocess_exec(
            *("gensiot", "-i", "stdio(self)", f"{layers}ssl({files}),tcp,localhost,{served.port(kind)}"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            await until(lambda: served.service(kind).clients)
            assert served.service(kind).clients[0].identity == "CN=scada, Operator"
            process.stdin.write(b"to the line")
            await until(lambda: cable.heard == b"to the line")
            cable.far.write(b"from the line")
            async with asyncio.timeout(10):
                assert await process.stdout.readexactly(13) == b"from the line"
        finally:
            process.terminate()
            await process.communicate()


@contextlib.asynccontextmanager
async def _ser2net(plant: Plant, folder: Path, layers: str = "") -> AsyncIterator[tuple[int, int]]:
    """One that serves a pseudo-terminal by TLS: its port, and the other side of the terminal."""
    port = free_port()
    host = plant.pair("host")
    ours, theirs = os.openpty()
    file = folder / "ser2net.yaml"
    file.write_text(
        f"connection: &c\n  accepter: {layers}ssl(key={host.key},cert={host.certificate}),tcp,127.0.0.1,{port}\n"
        f"  connector: serialdev,{os.ttyname(theirs)},115200n81,local\n"
    )
    process = await asyncio.create_subprocess_exec("ser2net", "-n", "-c", str(file))
    try:
        yield port, ours
    finally:
        process.terminate()
        await process.wait()
        os.close(ours)
        os.close(theirs)


@needs("ser2net")
async def test_s1_ser2net_is_called_by_tls(plant: Plant, tmp_path: Path) -> None:
    cable = Cable()
    tls = (TlsSettings("plant", (), plant.ca),)
    async with _ser2net(plant, tmp_path) as (port, ours):
        settings = TcpClientSettings(destinations=(Destination("localhost", port),), tls="plant")
        client = PortPlan("cable", PortSettings("cable"), modes=((Kind.TCP_CLIENT, settings),))
        async with serving(client, cables=[cable], tls=tls, drain=0.1) as served:
            await until(lambda: served.service("tcp_client").clients, within=20)
            cable.far.write(b"said here")
            assert await asyncio.to_thread(os.read, ours, 100) == b"said here"
            os.write(ours, b"said there")
            await until(lambda: cable.heard == b"said there")


@needs("ser2net")
@pytest.mark.parametrize("layers", ["", "telnet(rfc2217),"])
async def test_s1_a_line_of_ser2net_s_is_a_virtual_com_port_by_tls(plant: Plant, tmp_path: Path, layers: str) -> None:
    scheme, link = "rfc2217s" if layers else "raws", tmp_path / "ttyV0"
    async with _ser2net(plant, tmp_path, layers) as (port, ours):
        target = Target.parse(f"{scheme}://localhost:{port}")
        target = replace(target, tls=TlsSettings("", ca=plant.ca))
        attachment = Attachment(AttachSettings(target, str(link), drain=1.0))
        attachment.open()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(attachment.run())
            terminal = os.open(link, os.O_RDWR | os.O_NOCTTY)
            os.write(terminal, b"said here")
            assert await asyncio.to_thread(os.read, ours, 100) == b"said here"
            os.write(ours, b"said there")
            assert await asyncio.to_thread(os.read, terminal, 100) == b"said there"
            os.close(terminal)
            attachment.stop()


@needs("curl")
async def test_s8_curl_accepts_the_certificate(made: Path) -> None:
    http = HttpSettings((("127.0.0.1", 0),), tls="plant")
    tls = (TlsSettings("plant", of(made).pairs),)
    async with serving(plan("cable"), cables=[Cable()], tls=tls, http=http, drain=0.1) as served:
        port = served.gateway._http._service.endpoints[0].port  # type: ignore[union-attr]
        code, output = await run("curl", "-sS", "--cacert", str(made / "ca.crt"), f"https://127.0.0.1:{port}/healthz")
        assert (code, output) == (0, b"ok\n")
        code, output = await run("curl", "-sS", f"http://127.0.0.1:{port}/healthz")
        assert b"https://" in output


@pytest.mark.skipif(PROGRAM is None, reason="no Chromium here")
@needs("certutil")
@pytest.mark.parametrize("believed", [True, False])
@pytest.mark.real("asyncio")
async def test_s8_chromium_accepts_the_certificate(made: Path, believed: bool) -> None:
    """With the authority installed, and not without."""
    http = HttpSettings((("127.0.0.1", 0),), tls="plant", console=ConsoleMode.OFF)
    tls = (TlsSettings("plant", of(made).pairs),)
    async with (
        serving(plan("cable"), cables=[Cable()], tls=tls, http=http, drain=0.1) as served,
        browser(str(made / "ca.crt") if believed else "") as running,
    ):
        port = served.gateway._http._service.endpoints[0].port  # type: ignore[union-attr]
        page = await running.page(f"https://localhost:{port}/healthz")
        if believed:
            await page.until("document.body.innerText.trim() === 'ok'")
        else:
            await page.until("location.href.startsWith('chrome-error:')")


async def test_s12_pymodbus_asks_by_modbus_security(plant: Plant) -> None:
    cable = Cable()
    attach(cable, units(1))
    rules = (Rule(Matching(roles=frozenset({"Viewer"})), Action.READ_ONLY), Rule(Matching(), Action.DENY))
    service = modbus(tls="plant", security=True, routing=RoutingSettings.whole("cable", rules=rules))
    tls = (table(plant, plant.pair("rsa", rsa_key=True), clients=Clients.REQUIRED),)
    async with serving(plan("cable", service), cables=[cable], tls=tls, drain=0.1) as served:
        for role, may_read in (("Viewer", True), ("Nobody", False)):
            client = AsyncModbusTlsClient(
                "127.0.0.1",
                port=served.port("modbus"),
                sslctx=context_of(plant, plant.client("scada", role=role)),
                framer=FramerType.TLS,
                retries=0,
                timeout=2,
            )
            try:
                assert await client.connect()
                answer = await client.read_holding_registers(0, count=3, device_id=1)
                assert answer.isError() is not may_read
                if may_read:
                    assert answer.registers == holding(1, 0, 3)
                    assert (await client.write_register(0, 5, device_id=1)).exception_code == 1
            except ModbusException as error:
                pytest.fail(str(error))
            finally:
                client.close()
