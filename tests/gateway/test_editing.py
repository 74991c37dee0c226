"""The file of a gateway that runs is changed: what it says of that before, what happens, and that it goes back."""

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from nportpy import config
from nportpy.cli import candidate, running
from nportpy.editing.candidate import Candidate
from nportpy.editing.history import Fate
from nportpy.editing.impact import Becomes
from nportpy.errors import EditError
from tests.support.api import call
from tests.support.editing import FILE, edited
from tests.support.serving import Client, connect, until

CHANGES: list[tuple[str, tuple[tuple[str, str], ...]]] = [
    ("nothing", ()),
    ("a name", (('"pi-07"', '"pi-08"'),)),
    ("a limit", (("max_clients = 4", "max_clients = 9"),)),
    ("a list that shuts out", (("max_clients = 4", 'allow = ["10.0.0.0/8"]'),)),
    ("a list that lets in", (("max_clients = 4", 'allow = ["127.0.0.1"]'),)),
    ("another place", (("listen = {a}\n", "listen = {spare}\n"),)),
    ("no rfc2217 any more", (("[port.a.rfc2217]\nlisten = {com}\n", ""),)),
    ("one more raw", (("[port.a.rfc2217]\nlisten = {com}", "[port.a.reverse_telnet]\nlisten = {spare}"),)),
    ("another device", (('device = "/dev/b"', 'device = "/dev/b"\nbaudrate = 19200'),)),
    ("another way of asking", (("listen = {modbus}", 'listen = {modbus}\ntimeout = "5s"'),)),
    ("no port b", (("[port.b]", "[port.c]"), ('port = "b"', 'port = "c"'), ("[port.b.raw]", "[port.c.raw]"),
                   ("[port.b.modbus]", "[port.c.modbus]"))),
    ("other routes", (("1-31", "1-30"),)),
    ("another router", (("[modbus.plant]", "[modbus.other]"),)),
    ("routes elsewhere", (("listen = {plant}", "listen = {spare}"),)),
    ("two raws", (("[port.a.raw]\n", "[[port.a.raw]]\n"),
                  ("[port.a.rfc2217]", "[[port.a.raw]]\nlisten = {spare}\n[port.a.rfc2217]"))),
    ("linger", (('device = "/dev/a"', 'device = "/dev/a"\nlinger = "9s"'),)),
]  # fmt: skip


@pytest.mark.parametrize("changes", [each for _, each in CHANGES], ids=[name for name, _ in CHANGES])
async def test_c28_the_impact_is_what_happens(
    tmp_path: Path, changes: tuple[tuple[str, str], ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with edited(tmp_path) as at:
        clients: dict[str, Client] = {}
        for name in ("a", "com", "b", "modbus", "plant"):
            client = await connect(Client, at.ports[name])
            host, port = client.transport.get_extra_info("sockname")
            clients[f"{host}:{port}"] = client
        await until(lambda: sum(len(each.clients) for each in at.gateway.status().services) == 5)
        running = {(each.name, s.runs.service): s.runs for each in at.gateway._all_services() for s in each.running}
        lines = {name: port.line for name, port in at.gateway._ports.items()}
        text = at.text(*((old.format(**at.ports), new.format(**at.ports)) for old, new in changes))
        said = await at.impact(text)
        await at.apply(text)
        await until(lambda: all(line.state != "opening" for line in at.gateway.status().lines))
        await asyncio.sleep(1)
        lost = {name for name, client in clients.items() if client.lost}
        assert {client for each in said.values() for client in each.clients} == lost
        now = {(each.name, s.runs.service): s.runs for each in at.gateway._all_services() for s in each.running}
        touched = {
            (each.port, each.name)
            for each in said.values()
            if each.part == "service" and each.becomes is not Becomes.IN_PLACE
        }
        assert touched == {name for name in running | now if running.get(name) is not now.get(name)}
        after = {name: port.line for name, port in at.gateway._ports.items()}
        opened = {each.name for each in said.values() if each.part == "line" and each.becomes is not Becomes.IN_PLACE}
        assert opened == {name for name in lines | after if lines.get(name) is not after.get(name)}
        for each in said.values():
            if each.becomes is Becomes.IN_PLACE and each.part == "service":
                assert ", ".join(each.changed) in [getattr(record, "changed", "") for record in caplog.records]
        assert bool(said) == bool(changes)


async def test_c30_http_moved_out_of_reach_comes_back_and_others_keep_their_clients(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        client = await at.raw(port="a")
        text = at.text((f"127.0.0.1:{at.ports['http']}", f"127.0.0.1:{at.ports['spare']}"))
        said = await at.impact(text)
        assert said["http", "", "http"].becomes is Becomes.ANEW
        assert said["http", "", "http"].listen == (f"127.0.0.1:{at.ports['spare']}",)
        trial = await at.apply(text)
        assert (await call(at.ports["spare"], "/healthz")).status == 200
        with pytest.raises(OSError, match="Connect call failed"):
            await call(at.ports["http"], "/healthz")
        await asyncio.sleep(59)
        assert at.editor.trial is trial
        await until(lambda: at.editor.trial is None)
        assert (await call(at.ports["http"], "/healthz")).status == 200
        with pytest.raises(OSError, match="Connect call failed"):
            await call(at.ports["spare"], "/healthz")
        assert "spare" not in at.file.read_text()
        assert at.file.read_text() == FILE.format(**at.ports)
        assert not client.lost
        assert at.editor.last is not None
        assert at.editor.last.fate is Fate.TIMED_OUT


async def test_c30_confirmed_it_is_the_file_and_every_comment_is_there(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        found = await at.editor.check(at.file.read_text(), [{"path": ["port", "a", "raw", "max_clients"], "value": 7}])
        trial = await at.apply(found.text)
        await at.editor.confirm(trial.entry.number, by="bert")
        assert at.file.read_text() == FILE.format(**at.ports).replace("max_clients = 4", "max_clients = 7")
        assert at.gateway.now() == config.parse(at.file.read_text(), str(at.file))


async def test_c30_a_reload_in_the_window_goes_over_to_the_file(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        await at.apply(at.text(("max_clients = 4", "max_clients = 7")))
        at.file.write_text(at.text(("max_clients = 4", "max_clients = 8")))
        await at.gateway.reload(config.parse(at.file.read_text(), str(at.file)))
        await until(lambda: at.editor.trial is None)
        await asyncio.sleep(100)
        assert at.gateway.now().ports[0].raw[0].max_clients == 8
        assert at.editor.last is not None
        assert at.editor.last.fate is Fate.OVERTAKEN


async def test_c30_a_reload_that_has_read_the_old_file_when_a_change_is_confirmed_reads_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    async with edited(tmp_path) as at:
        loop = asyncio.get_running_loop()

        def start_loading(path: str) -> Callable[[], object]:
            settings = config.parse(Path(path).read_text(), path)

            def result() -> object:
                first = not reads
                reads.append(path)
                if first:
                    asyncio.run_coroutine_threadsafe(confirm(), loop).result(10)
                return settings

            return result

        async def confirm() -> None:
            await at.editor.confirm(trial.entry.number, by="anna")

        monkeypatch.setattr(config, "start_loading", start_loading)
        trial = await at.apply(at.text(("max_clients = 4", "max_clients = 7")))
        await running._reload(at.gateway, str(at.file))
        assert at.gateway.now() == config.parse(at.file.read_text(), str(at.file))
        assert at.gateway.now().ports[0].raw[0].max_clients == 7
        assert len(reads) == 2


@pytest.mark.long
async def test_c30_a_change_that_switches_editing_off_goes_back_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with edited(tmp_path) as at:
        trial = await at.apply(at.text(('console = "edit"', 'console = "view"')))
        assert "switched off" in at.editor.why_not()
        with pytest.raises(EditError, match="is to be confirmed first"):
            await at.editor.apply("x", at.tag, by="", why="")
        await until(lambda: at.editor.trial is None, 70)
        assert at.editor.why_not() == ""
        assert "before the gateway ended" not in caplog.text
        trial = await at.apply(at.text(('console = "edit"', 'console = "view"')))
        await at.editor.confirm(trial.entry.number, by="anna")
        assert "switched off" in at.editor.why_not()


async def test_the_gateway_ends_while_a_change_is_tried(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        await at.apply(at.text(("max_clients = 4", "max_clients = 7")))
    assert at.file.read_text() == FILE.format(**at.ports)
    assert sorted(os.listdir(tmp_path)) == ["nportpy.toml", "nportpy.toml.history"]


async def test_c30_a_gateway_that_ends_while_a_change_is_checked_does_not_try_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks, goes = threading.Event(), threading.Event()

    def slow(*asked: Any) -> Candidate:
        checks.set()
        goes.wait(10)
        return candidate.answer(*asked)

    async with edited(tmp_path) as at:
        monkeypatch.setattr(at.editor, "_checker", slow)
        text = at.text(("max_clients = 4", "max_clients = 7"))
        drains = asyncio.Event()
        shuts_down = at.gateway._shut_down

        async def shut_down() -> None:
            drains.set()
            await applying.wait()
            await shuts_down()

        applying = asyncio.Event()
        monkeypatch.setattr(at.gateway, "_shut_down", shut_down)
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(refused(at.editor.apply(text, at.tag, by="anna", why="", window=3600)))
            await asyncio.to_thread(checks.wait, 10)
            at.gateway.stop()
            await drains.wait()
            goes.set()
            await asyncio.wait([asked])
            applying.set()
            async with asyncio.timeout(10):
                await asyncio.wait([at.task])
        assert asked.result() == "nothing has changed: the gateway is stopping"
        assert [each.fate for each in await at.editor.history()] == [Fate.INTERRUPTED, Fate.FOUND]
    assert sorted(os.listdir(tmp_path)) == ["nportpy.toml", "nportpy.toml.history"]


async def refused(asked: Coroutine[Any, Any, object]) -> str:
    try:
        await asked
    except EditError as error:
        return str(error)
    return ""
