"""C34: `nportpy config` does with a running gateway what its console does."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from nportpy.accounts import changing, passwords
from nportpy.accounts.roles import Extra, Role
from nportpy.cli import asking, config, main
from nportpy.cli.asking import Place
from nportpy.cli.config_shown import after, entry_lines, impact_lines
from nportpy.config import fault_lines, load
from nportpy.errors import ConfigError
from tests.support.editing import At, edited
from tests.support.serving import until


async def run(at: At, *words: str, url: bool = False, put: str | None = None) -> Result:
    """A command beside the gateway: by its file, or by `url`."""
    where = ("--url", f"127.0.0.1:{at.ports['http']}") if url else ("-c", str(at.file))
    return await asyncio.to_thread(CliRunner().invoke, main, ["config", *words, *where], put)


def new(at: At, *changes: tuple[str, str], name: str = "new.toml") -> str:
    file = at.file.with_name(name)
    file.write_text(at.text(*changes))
    return str(file)


def text_of(file: str) -> str:
    return Path(file).read_text()


CLIENTS = ("max_clients = 4", "max_clients = 5")


async def test_c34_shown_checked_applied_and_confirmed(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        shown = await run(at, "show")
        assert shown.stdout_bytes == at.file.read_bytes()
        document = json.loads((await run(at, "show", "--json", url=True)).stdout)
        assert (document["tag"], document["editable"], document["trial"]) == (at.tag, True, None)
        file = new(at, CLIENTS)
        checked = await run(at, "check", file)
        said, *warnings = checked.stdout.splitlines()
        assert (checked.exit_code, said) == (0, "service a/raw changes in place (max_clients)")
        assert "warning: port.a: /dev/a is not here now" in warnings
        differs = await run(at, "diff", file)
        assert [line for line in differs.stdout.splitlines() if line[:1] in "+-" and line[1:2] not in "+-"] == [
            *("-max_clients = 4", "+max_clients = 5"),
        ]
        applied = await run(at, "apply", file, "--why", "one more", "--within", "120s")
        assert applied.exit_code == 0, applied.output
        assert applied.stdout.splitlines() == [
            "service a/raw changes in place (max_clients)",
            "change 2 is tried, and taken back in 120 s unless it is confirmed:",
            f"  nportpy config confirm 2 -c {at.file}",
        ]
        assert "max_clients = 4" in at.file.read_text()
        kept = await run(at, "confirm")
        assert (kept.exit_code, kept.stdout) == (0, "change 2 is confirmed: it is the file\n")
        assert at.file.read_text() == text_of(file)
        (entry, found) = (await run(at, "history")).stdout.splitlines()
        assert entry.split()[0] == "2"
        assert entry.split()[3:] == ["confirmed", "127.0.0.1", "one", "more"]
        assert "found" in found
        restored = await run(at, "restore", "1", "--confirm")
        assert (restored.exit_code, restored.stdout.splitlines()[-1]) == (0, "change 3 is confirmed: it is the file")
        assert "max_clients = 4" in at.file.read_text()
        assert (await run(at, "history", "2")).stdout == text_of(file)
        assert (await at.editor.entry(3)).why == "back to change 1"


async def test_c34_taken_back_and_nothing_to_confirm(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        for word in ("confirm", "undo"):
            refused = await run(at, word)
            assert refused.exit_code == 1
            assert "nothing is tried" in refused.stderr
        old = at.file.read_text()
        assert (await run(at, "apply", new(at, CLIENTS))).exit_code == 0
        second = await run(at, "apply", new(at, CLIENTS))
        assert second.exit_code == 1
        assert "is to be confirmed first" in second.stderr
        assert (await run(at, "undo")).stdout == "change 2 is taken back\n"
        await until(lambda: at.editor.trial is None)
        assert at.file.read_text() == old
        assert "is not being tried" in (await run(at, "confirm", "2")).stderr
        assert "no change 9 in the history" in (await run(at, "restore", "9")).stderr


async def test_c34_c26_faults_are_those_of_check_and_nothing_changes(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        file = new(at, ("max_clients = 4", "max_clients = 0"), ('device = "/dev/b"', "devise = 5"))
        with pytest.raises(ConfigError) as caught:
            load(file)
        said = "\n".join(fault_lines(caught.value)) + "\n"
        for word in ("check", "diff", "apply"):
            refused = await run(at, word, file)
            assert (refused.exit_code, refused.stdout, refused.stderr) == (2, "", said), word
        by_pipe = await run(at, "check", "-", put="x = \n")
        assert by_pipe.exit_code == 2
        assert by_pipe.stderr.startswith("<stdin>:1: ")
        assert "^" in by_pipe.stderr
        as_json = await run(at, "check", file, "--json")
        assert (as_json.exit_code, json.loads(as_json.stdout)["ok"]) == (2, False)
        binary = tmp_path / "binary"
        binary.write_bytes(b"a = 1\n\xff")
        refused = await run(at, "apply", str(binary))
        assert (refused.exit_code, refused.stderr) == (2, f"{binary}:2: this is not UTF-8 text\n")
        assert at.gateway.status().reloads == 0


async def test_c34_c29_what_somebody_else_has_changed_is_not_overwritten(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        base = new(at, name="base.toml")
        file = new(at, CLIENTS)
        at.file.write_text(at.text(("pi-07", "pi-08")))
        refused = await run(at, "apply", file, "--base", base)
        assert refused.exit_code == 1
        assert "somebody has changed the gateway's file meanwhile: nothing is done" in refused.stderr
        assert at.gateway.status().reloads == 0
        assert (await run(at, "apply", file, "--base", new(at, name="base.toml"), "--confirm")).exit_code == 0


async def test_c34_c27_single_values_leave_the_rest_alone(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        old = at.file.read_text()
        words = ["--set", "gateway.name=pi-09", "--set", "port.a.raw.max_clients = 7", "--unset", "gateway.drain"]
        words += ["--set", "modbus.plant.routes.0.units=1-9"]
        applied = await run(at, "apply", *words, "--confirm")
        assert applied.exit_code == 0, applied.output
        expected = old.replace('"pi-07"', '"pi-09"').replace("clients = 4", "clients = 7").replace('drain = "0s"\n', "")
        assert at.file.read_text() == expected.replace('"1-31"', '"1-9"')
        for wrong in ("port", "a b=1", "=1", ""):
            assert (await run(at, "check", "--set", wrong)).exit_code == 2, wrong
        assert (await run(at, "apply")).exit_code == 2
        refused = await run(at, "check", "--set", "port.a.device.x=1")
        assert refused.exit_code == 1
        assert "the gateway at" in refused.stderr


async def test_c34_c30_confirmed_where_the_console_has_moved(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        moved = (f"127.0.0.1:{at.ports['http']}", f"127.0.0.1:{at.ports['spare']}")
        said = (await run(at, "apply", new(at, moved))).stdout.splitlines()
        assert said[-1] == f"  nportpy config confirm 2 --url http://127.0.0.1:{at.ports['spare']}"
        at.ports["http"] = at.ports["spare"]
        assert (await run(at, "undo", url=True)).exit_code == 0
        await until(lambda: at.editor.trial is None)
        file = new(at, moved)
        assert (await run(at, "apply", file, "--confirm")).exit_code == 0
        assert at.file.read_text() == text_of(file)


async def test_c34_with_accounts_it_takes_a_token_that_may_edit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_COST", 4)
    accounts = str(tmp_path / "accounts.json")
    token = tmp_path / "token"
    async with edited(tmp_path) as at:
        token.write_text(changing.add_token(accounts, "looks", Role.VIEWER, [], None))
        unknown = await run(at, "show")
        assert unknown.exit_code == 1
        assert "--token-file" in unknown.stderr
        refused = await run(at, "show", "--token-file", str(token))
        assert "it takes the right to edit" in refused.stderr
        token.write_text(changing.add_token(accounts, "edits", Role.VIEWER, [Extra.EDIT], None))
        applied = await run(at, "apply", new(at, CLIENTS), "--confirm", "--token-file", str(token))
        assert applied.exit_code == 0, applied.output
        assert (await at.editor.history())[0].by == "edits"


async def test_c34_c25_switched_off_and_nobody_there(tmp_path: Path) -> None:
    async with edited(tmp_path, console="view") as at:
        refused = await run(at, "apply", new(at, CLIENTS))
        assert refused.exit_code == 1
        assert 'it takes console = "edit" in [http]' in refused.stderr
        file = at.file
    nobody = CliRunner().invoke(main, ["config", "show", "-c", str(file)])
    assert nobody.exit_code == 1
    assert f"nportpy serve -c {file}" in nobody.stderr


def test_c34_what_is_no_gateway_is_said_to_be_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("<html>", "", "nothing"):
        monkeypatch.setattr(asking, "asked", lambda *_, text=text, **__: text)
        for command in (("config", "show"), ("config", "confirm"), ("status",)):
            found = CliRunner().invoke(main, [*command, "--url", "127.0.0.1:9"])
            assert (found.exit_code, found.exception.__class__) == (1, SystemExit)
            assert "what answers at 127.0.0.1:9 is no gateway of this kind; see whether one runs there" in found.stderr


@pytest.mark.parametrize(
    ("http", "url"),
    [
        (None, "http://gw:9550"),
        ({"changed": ["console"], "listen": ["127.0.0.1:1"]}, "http://gw:9550"),
        ({"changed": ["listen"], "listen": ["0.0.0.0:9550"]}, "http://gw:9550"),
        ({"changed": ["listen"], "listen": ["[::]:80", "10.0.0.1:81"]}, "http://gw:80"),
        ({"changed": ["listen"], "listen": ["10.0.0.1:81"]}, "http://10.0.0.1:81"),
        ({"changed": ["listen", "tls"], "listen": ["10.0.0.1:81"]}, None),
        ({"changed": ["listen"], "listen": []}, None),
    ],
)
def test_where_a_gateway_is_afterwards(http: dict[str, Any] | None, url: str | None) -> None:
    impact = [] if http is None else [{"part": "http", "port": "", "name": "http"} | http]
    found = after(Place("http://gw:9550"), impact)
    assert (found and found.url) == url


def test_s28_what_somebody_wrote_does_nothing_to_a_terminal() -> None:
    entry = {"number": 1, "at": "2026-01-01T00:00:00.000Z", "by": "anna", "fate": "confirmed"}
    (line,) = entry_lines([entry | {"why": "new\x1b]0;owned\x07 meter\n  2  forged"}])
    assert line.endswith("anna              new.]0;owned. meter.  2  forged")


def test_what_a_change_does_in_lines() -> None:
    row = {"part": "service", "port": "a", "name": "raw", "becomes": "starts anew", "changed": ["listen"]}
    said = impact_lines([row | {"clients": ["10.0.0.1:1", "10.0.0.2:2"], "listen": ["[::]:4001"]}])
    assert said == [
        "service a/raw starts anew (listen), at [::]:4001; these lose their connection: 10.0.0.1:1, 10.0.0.2:2"
    ]
    assert impact_lines([]) == ["nothing changes for the gateway"]


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("a.b=1", ["a", "b"], 1),
        ("a.b = pi-07", ["a", "b"], "pi-07"),
        ('a.b="1"', ["a", "b"], "1"),
        ("a.b=[1, 2]", ["a", "b"], [1, 2]),
        ("a.b=true", ["a", "b"], True),
        ("a.b=", ["a", "b"], ""),
        ("a.b=2026-01-01", ["a", "b"], "2026-01-01"),
        ("a.b=1\nc=2", ["a", "b"], "1\nc=2"),
        ("a.0.b=1", ["a", 0, "b"], 1),
        ('a."0".b=1', ["a", "0", "b"], 1),
        ('a."b.c"=x', ["a", "b.c"], "x"),
    ],
)
def test_what_a_value_means(text: str, path: list[object], value: object) -> None:
    assert config._change(text) == {"path": path, "value": value}
