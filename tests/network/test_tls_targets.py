"""Targets of commands and of stations by TLS: what they reach, and what is said when it is not believed."""

import asyncio
import os
import shlex
import ssl
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nportpy.attach.attachment import Attachment
from nportpy.attach.settings import AttachSettings
from nportpy.attach.target import Target as AttachTarget
from nportpy.cli import main
from nportpy.cli.asking import asked, place_of
from nportpy.cli.tls_options import https_context
from nportpy.cli.watching import NotThere, opened
from nportpy.client.connection import connect
from nportpy.client.target import Target
from nportpy.errors import LineDown
from nportpy.linesettings import LineSettings
from nportpy.network.addresses import Endpoint
from nportpy.network.tls_settings import Clients, TlsSettings
from nportpy.port.base import PortSettings
from nportpy.port.loopback import Cable
from nportpy.port.opening import open_port
from nportpy.services.http_base import HttpSettings
from tests.support.modbus_serving import attach, holding, modbus, units
from tests.support.serving import Client, com, plan, raw, serving, until
from tests.support.tls import Pair, Plant, table

LINE = LineSettings()


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return Plant(tmp_path_factory.mktemp("plant"))


def believing(plant: Plant, *, shown: bool = True, ca: str = "") -> TlsSettings:
    return TlsSettings("", (plant.client("near", "Operator").files,) if shown else (), ca or plant.ca)


@pytest.mark.parametrize("scheme", ["tls", "raws"])
async def test_s1_a_unit_is_asked_by_tls(plant: Plant, scheme: str) -> None:
    cable = Cable()
    attach(cable, units(1))
    service = modbus(tls="plant", security=True) if scheme == "tls" else raw(tls="plant")
    async with serving(plan("cable", service), cables=[cable], tls=(table(plant, clients=Clients.REQUIRED),)) as there:
        port = there.port("modbus" if scheme == "tls" else "raw")
        target = Target(Endpoint("127.0.0.1", port), rtu=scheme == "raws", tls=believing(plant))
        assert str(target) == f"{scheme}://127.0.0.1:{port}"
        client = await connect(target, LINE, 3.0)
        answer = await client.ask(1, b"\x03\x00\x00\x00\x02")
        assert answer == b"\x03\x04" + b"".join(each.to_bytes(2, "big") for each in holding(1, 0, 2))
        await client.close()


@pytest.mark.parametrize(
    ("case", "words"), [("another", "its certificate is not accepted"), ("missing", "/nowhere/ca.crt: No such file")]
)
async def test_s1_a_target_that_is_not_believed_is_said_to_be_so(
    plant: Plant, tmp_path: Path, case: str, words: str
) -> None:
    ca = Plant(tmp_path, "another").ca if case == "another" else "/nowhere/ca.crt"
    tls = believing(plant, shown=False, ca=ca)
    async with serving(plan("cable", raw(tls="plant")), cables=[Cable()], tls=(table(plant),)) as there:
        with pytest.raises(ConnectionError, match=words):
            await connect(Target(Endpoint("127.0.0.1", there.port("raw")), rtu=True, tls=tls), LINE, 1.0)
        with pytest.raises(LineDown, match=words):
            await open_port(PortSettings(f"raws://127.0.0.1:{there.port('raw')}", tls=tls), Heard())


class Heard:
    """Who hears a port."""

    def __init__(self) -> None:
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def port_lost(self, error: Exception) -> None: ...


async def test_s1_a_line_elsewhere_as_plain_bytes_by_tls(plant: Plant) -> None:
    cable, heard = Cable(), Heard()
    async with serving(plan("cable", raw(tls="plant")), cables=[cable], tls=(table(plant),)) as there:
        settings = PortSettings(f"raws://127.0.0.1:{there.port('raw')}", tls=believing(plant))
        port = await open_port(settings, heard)
        port.write(b"from here")
        await until(lambda: cable.heard == b"from here")
        cable.far.write(b"from there")
        await until(lambda: heard.data == b"from there")
        await port.close()


@pytest.mark.real
@pytest.mark.filterwarnings("ignore:set[DN]a:DeprecationWarning")  # pyserial's
async def test_s1_a_line_elsewhere_by_rfc_2217_in_tls(plant: Plant) -> None:
    """pyserial's handler; its reader and its writer are threads, and both are busy at once."""
    cable, heard = Cable(), Heard()
    async with serving(plan("cable", com(tls="plant")), cables=[cable], tls=(table(plant),)) as there:
        device = f"rfc2217s://127.0.0.1:{there.port('rfc2217')}"
        port = await open_port(PortSettings(device, LineSettings.parse(19200, "8E1"), tls=believing(plant)), heard)
        await until(lambda: there.line().settings == LineSettings.parse(19200, "8E1"), 10.0)
        sent = bytes(range(256)) * 64
        for start in range(0, len(sent), 512):
            port.write(sent[start : start + 512])
            cable.far.write(sent[start : start + 512])
            await asyncio.sleep(0)
        await until(lambda: cable.heard == sent and heard.data == sent, 20.0)
        await port.close()
        with pytest.raises(LineDown, match="its certificate is not accepted"):
            await open_port(PortSettings(device, tls=TlsSettings("")), heard)


@pytest.mark.real
@pytest.mark.parametrize("scheme", ["raws", "rfc2217s"])
async def test_s1_a_virtual_com_port_by_tls(plant: Plant, tmp_path: Path, scheme: str) -> None:
    cable = Cable()
    service = raw(tls="plant") if scheme == "raws" else com(tls="plant")
    async with serving(plan("cable", service), cables=[cable], tls=(table(plant),)) as there:
        port = there.port("raw" if scheme == "raws" else "rfc2217")
        target = AttachTarget.parse(f"{scheme}://127.0.0.1:{port}")
        assert str(target) == f"{scheme}://127.0.0.1:{port}"
        target = AttachTarget(target.scheme, target.place, tls=believing(plant))
        attachment = Attachment(AttachSettings(target, str(tmp_path / "ttyV0"), drain=1.0))
        attachment.open()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(attachment.run())
            terminal = os.open(tmp_path / "ttyV0", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            os.write(terminal, b"\xffhello")
            await until(lambda: cable.heard == b"\xffhello", 10.0)
            cable.far.write(b"there")
            await until(lambda: _read(terminal) == b"there", 10.0)
            os.close(terminal)
            attachment.stop()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 100)
    except BlockingIOError:
        return b""


async def test_s1_a_server_that_is_not_believed_is_no_connection(plant: Plant, tmp_path: Path) -> None:
    async with serving(plan("cable", raw(tls="plant")), cables=[Cable()], tls=(table(plant),)) as there:
        target = AttachTarget.parse(f"raws://127.0.0.1:{there.port('raw')}")
        states: list[str] = []
        attachment = Attachment(AttachSettings(target, str(tmp_path / "tty"), drain=0.1), on_state=states.append)
        attachment.open()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(attachment.run())
            await until(lambda: any("its certificate is not accepted" in each for each in states))
            attachment.stop()
        assert target.others == f"rfc2217s://127.0.0.1:{there.port('raw')}"


CASES: dict[str, tuple[list[str], str]] = {
    "files for a plain target": (["read", "192.0.2.1", "1", "--ca", "FILE"], "tls://HOST"),
    "a plain port": (["attach", "raw://192.0.2.1:1", "LINK", "--ca", "FILE"], "rfc2217s://HOST:PORT or raws://"),
    "a certificate alone": (["write", "tls://192.0.2.1", "1=1", "--cert", "FILE"], "go together"),
    "a file that is not there": (["scan", "tls://192.0.2.1", "--ca", "/nowhere"], "does not exist"),
    "plain http": (["monitor", "http://192.0.2.1:1", "bus", "--ca", "FILE"], "https://HOST:PORT"),
    "no certificate in it": (["capture", "https://192.0.2.1:1", "b", "-w", "-", "--ca", "FILE"], "no certificate"),
}


@pytest.mark.parametrize("case", CASES)
def test_s1_what_is_wrong_with_options_is_said(tmp_path: Path, case: str) -> None:
    file = tmp_path / "file"
    file.write_text("no PEM")
    words, said = CASES[case]
    there = {"FILE": str(file), "LINK": str(tmp_path / "tty")}
    result: Any = CliRunner().invoke(main, [there.get(word, word) for word in words])
    assert result.exit_code != 0
    assert said in " ".join(result.output.split())


async def _answering(pair: Pair, body: bytes) -> tuple[asyncio.Server, str]:
    """Answers everything alike, by HTTPS."""

    class Http(Client):
        def data_received(self, data: bytes) -> None:
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
            self.transport.write(head + body)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    server = await asyncio.get_running_loop().create_server(Http, "127.0.0.1", 0, ssl=context)
    return server, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_s1_wireshark_lists_the_lines_of_a_gateway_by_https(plant: Plant, tmp_path: Path) -> None:
    """What was said when it was installed reaches the request that Wireshark makes."""
    server, url = await _answering(plant.pair("gateway"), b'[{"port": "meters", "monitor": true}]')
    for more, listed in ((("--ca", plant.ca), True), ((), False)):
        options = ["extcap", "--install", "--folder", str(tmp_path), "--url", url, *more]
        installed = CliRunner().invoke(main, options)
        assert installed.exit_code == 0, installed.output
        command = shlex.split((tmp_path / "nportpy").read_text().splitlines()[1])
        words = [*command[command.index("extcap") : -1], "--extcap-interfaces"]
        found = await asyncio.to_thread(CliRunner().invoke, main, words)
        assert ("interface {value=nportpy-127.0.0.1-meters}" in found.output) is listed
    server.close()
    plain = CliRunner().invoke(main, ["extcap", "--ca", plant.ca, "--extcap-interfaces"])
    assert "https://HOST:PORT" in plain.output


async def test_s1_monitor_asks_a_gateway_by_https(plant: Plant) -> None:
    """The options reach the request: believed with --ca, not without."""
    pair = plant.pair("gateway")
    server, url = await _answering(pair, b"[]")
    own = place_of(HttpSettings((("127.0.0.1", int(url.rpartition(":")[2])),), tls="plant"), (table(plant, pair),))
    assert own.url == url
    assert await asyncio.to_thread(asked, own, "/") == "[]", "a command on the same machine, by the configuration"
    known = https_context(url, TlsSettings("", ca=plant.ca))
    answer = await asyncio.to_thread(opened, url, "/", {}, 5.0, known)
    assert answer.read() == b"[]"
    answer.close()
    with pytest.raises(NotThere, match="certificate verify failed"):
        await asyncio.to_thread(opened, url, "/", {}, 5.0, None)
    server.close()
