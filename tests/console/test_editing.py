"""The configuration over HTTP: what the browser does, curl can do; who may; and that no update is lost."""

import asyncio
import json
import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from nportpy.accounts import changing, passwords
from nportpy.accounts.roles import Extra, Role
from nportpy.cli import candidate
from nportpy.config import fault_lines, load
from nportpy.console.editing import drop_in
from nportpy.editing import files
from nportpy.errors import ConfigError
from nportpy.services import rights
from tests.console.test_api import consoled
from tests.support.api import Answered, call
from tests.support.editing import FILE, At, edited
from tests.support.serving import until

ROOT = "/api/v1/config"


async def ask(at: At, path: str, body: object = None, **more: Any) -> Answered:
    return await call(at.ports["http"], f"{ROOT}{path}", body, **more)


async def apply(at: At, body: dict[str, Any], **headers: str) -> Answered:
    before = at.gateway.status().reloads
    answer = await ask(at, "/apply", body, **headers)
    if answer.status == 200:
        await until(lambda: at.gateway.status().reloads > before)
    return answer


def etag(at: At) -> str:
    return f'"{at.tag}"'


async def test_c29_c33_the_file_as_it_is(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        at.file.write_bytes(b"\xef\xbb\xbf" + FILE.format(**at.ports).replace("\n", "\r\n").encode())
        answer = await ask(at, "")
        document = answer.json()
        assert answer.headers["etag"] == etag(at)
        assert document["tag"] == at.tag
        assert document["text"].encode() == at.file.read_bytes()
        assert document["editable"]
        assert (document["reason"], document["drop_in"], document["trial"], document["last"]) == ("", "", None, None)
        answer = await ask(at, "/file")
        assert answer.body == at.file.read_bytes()
        assert answer.headers["content-type"] == "application/toml"
        assert answer.headers["etag"] == etag(at)


async def test_c26_faults_in_the_words_of_check(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        text = at.text(("max_clients = 4", "max_clients = 0"), ('device = "/dev/b"', "devise = 5"))
        answer = await ask(at, "/check", {"text": text})
        document = answer.json()
        assert answer.status == 200
        assert not document["ok"]
        other = tmp_path / "other.toml"
        other.write_text(text)
        with pytest.raises(ConfigError) as caught:
            load(str(other))
        assert len(document["faults"]) >= 3
        said = [line for fault in document["faults"] for line in fault["said"].splitlines()]
        assert said == [line.replace(str(other), str(at.file)) for line in fault_lines(caught.value)]
        assert document["impact"] == []
        answer = await apply(at, {"text": text}, If_Match=etag(at))
        assert answer.status == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["faults"] == document["faults"]
        assert at.gateway.status().reloads == 0


async def test_c27_c28_a_single_value_with_diff_and_impact(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        client = await at.raw(port="a")
        changes = [{"path": ["port", "a", "raw", "listen"], "value": at.ports["spare"]}]
        document = (await ask(at, "/check", {"changes": changes})).json()
        assert document["ok"]
        assert document["text"] == at.text((f"listen = {at.ports['a']}\n", f"listen = {at.ports['spare']}\n"))
        assert document["tag"] == files.tag(document["text"].encode())
        rows = document["diff"].splitlines()
        assert [row for row in rows if row[0] in "+-"][2:] == [
            f"-listen = {at.ports['a']}", f"+listen = {at.ports['spare']}"
        ]  # fmt: skip
        host, port = client.transport.get_extra_info("sockname")
        assert document["impact"] == [
            {"part": "service", "port": "a", "name": "raw", "becomes": "starts anew", "changed": ["listen"],
             "clients": [f"{host}:{port}"], "listen": []}
        ]  # fmt: skip


@pytest.mark.long
async def test_c29_without_a_tag_and_with_an_old_one(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        text, old = at.text(("max_clients = 4", "max_clients = 7")), etag(at)
        for path, method in (("/apply", ""), ("/file", "PUT")):
            answer = await ask(at, path, {"text": text}, method=method)
            assert answer.status == 428
            assert "If-Match" in answer.json()["detail"]
        for wrong in ("*", "x", 'W/"abc"', old[:-2] + '"', f"{old}, {old}"):
            assert (await apply(at, {"text": text}, If_Match=wrong)).status == 412
        at.file.write_text(at.text(("pi-07", "pi-08")))  # somebody edits the file on disk
        answer = await apply(at, {"text": text}, If_Match=old)
        assert answer.status == 412
        problem = answer.json()
        assert problem["tag"] == at.tag
        assert '-name = "pi-08"' in problem["diff"]
        assert '+name = "pi-07"' in problem["diff"]
        assert at.gateway.status().reloads == 0
        assert (await apply(at, {"text": text}, If_Match=etag(at))).status == 200


async def test_c30_tried_shown_to_all_and_confirmed_from_another_session(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        text = at.text(("max_clients = 4", "max_clients = 7"))
        answer = await apply(at, {"text": text, "why": "more of them", "window": 120}, If_Match=etag(at))
        number = answer.json()["number"]
        assert answer.json()["window"] == 120
        assert answer.headers["etag"] == f'"{files.tag(text.encode())}"'
        document = (await ask(at, "")).json()
        assert document["trial"]["number"] == number
        assert (document["trial"]["by"], document["trial"]["why"]) == ("127.0.0.1", "more of them")
        assert (await call(at.ports["http"], "/api/v1/status")).json()["trial"] == document["trial"]
        assert (await ask(at, "/confirm", {"number": number + 1})).status == 409
        confirmed = await ask(at, "/confirm", {"number": number})
        assert (confirmed.status, confirmed.json()["fate"]) == (200, "confirmed")
        assert at.file.read_text() == text
        assert (await ask(at, "/confirm", {"number": number})).status == 409
        document = (await ask(at, "")).json()
        assert document["trial"] is None
        assert document["last"]["fate"] == "confirmed"
        counted = at.gateway.status().actions
        assert (counted["apply", "done"], counted["confirm", "done"], counted["confirm", "failed"]) == (1, 1, 2)


async def test_c30_taken_back_through_the_listener_that_goes(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        text = at.text((f"127.0.0.1:{at.ports['http']}", f"127.0.0.1:{at.ports['spare']}"))
        number = (await apply(at, {"text": text}, If_Match=etag(at))).json()["number"]
        answer = await call(at.ports["spare"], f"{ROOT}/back", {"number": number})
        assert answer.status == 200
        await until(lambda: at.editor.trial is None)
        document = (await ask(at, "")).json()
        assert document["last"]["fate"] == "taken back"


@pytest.mark.long
async def test_c31_a_rollback_is_a_candidate(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        first = at.file.read_text()
        for count in (7, 8):
            changes = [{"path": ["port", "a", "raw", "max_clients"], "value": count}]
            number = (await apply(at, {"changes": changes, "why": f"{count}"}, If_Match=etag(at))).json()["number"]
            await ask(at, "/confirm", {"number": number})
        entries = (await ask(at, "/history")).json()["entries"]
        assert [(each["number"], each["fate"], each["why"]) for each in entries] == [
            (3, "confirmed", "8"), (2, "confirmed", "7"), (1, "found", "")
        ]  # fmt: skip
        old = (await ask(at, "/history/1")).json()
        assert old["text"] == first
        checked = (await ask(at, "/check", {"text": old["text"]})).json()
        assert "-max_clients = 8" in checked["diff"]
        number = (await apply(at, {"text": old["text"]}, If_Match=etag(at))).json()["number"]
        await ask(at, "/confirm", {"number": number})
        assert at.file.read_text() == first
        for wrong in ("99", "x", "-1", "..%2f..%2fetc", "9" * 30):
            assert (await ask(at, f"/history/{wrong}")).status == 404


async def test_c33_import_is_a_candidate(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        content = b"\xef\xbb\xbf" + at.text(("max_clients = 4", "max_clients = 7")).encode()
        toml = {"Content_Type": "application/toml", "If_Match": etag(at)}
        assert (await ask(at, "/file", content, method="PUT", If_Match=etag(at))).status == 415
        assert (await ask(at, "/file", b"\xff", method="PUT", **toml)).status == 422
        assert (await ask(at, "/file", b"x", method="PUT", **toml)).status == 422
        assert (await ask(at, "/file", b"#" * (files.LARGEST + 1), method="PUT", **toml)).status == 413
        answer = await ask(at, "/file?why=import&window=10", content, method="PUT", **toml)
        assert answer.status == 200
        number = answer.json()["number"]
        assert at.file.read_bytes() != content
        await ask(at, "/confirm", {"number": number})
        assert at.file.read_bytes() == content


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        ("/check", {"changes": {}}, "changes is a list"),
        ("/check", {"changes": [{"path": ["x"]}]}, "a change is"),
        ("/check", {"changes": [{"path": [], "value": 1}]}, "a change is"),
        ("/check", {"changes": [{"path": [1.5], "value": 1}]}, "a change is"),
        ("/check", {"changes": [{"path": ["x"], "value": 1, "remove": True}]}, "a change is"),
        ("/check", {"changes": [7]}, "a change is"),
        ("/check", {"text": "x", "other": 1}, "not known here"),
        ("/check", {"text": 5}, "text is text"),
        ("/confirm", {}, "number is missing"),
        ("/back", {"number": -1}, "a whole number from 0"),
    ],
)
async def test_c34_bad_requests_are_told(tmp_path: Path, path: str, body: object, detail: str) -> None:
    async with edited(tmp_path) as at:
        answer = await ask(at, path, body)
        assert answer.status == 400
        assert detail in answer.json()["detail"]


async def test_c34_changes_that_cannot_be_made(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        for change, detail in (
            ({"path": ["port", "a"], "value": 5}, "port.a: is a table of its own"),
            ({"path": ["port", "a", "none"], "remove": True}, "port.a.none: is not in the file"),
            ({"path": ["port", "a", "device", "x"], "value": 5}, "leads into a value"),
            ({"path": ["port", "a", "device"], "value": None}, "is nothing that TOML has"),
        ):
            answer = await ask(at, "/check", {"changes": [change]})
            assert answer.status == 409
            assert detail in answer.json()["detail"]
        for window in (9, 3601):
            answer = await apply(at, {"window": window}, If_Match=etag(at))
            assert answer.status == 400


async def test_c25_a_file_that_cannot_be_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with edited(tmp_path) as at:
        monkeypatch.setattr(files, "why_not", lambda path: f"{path} is read-only")
        document = (await ask(at, "")).json()
        assert not document["editable"]
        assert document["reason"] == f"{at.file} is read-only"
        assert document["drop_in"] == drop_in()
        text = at.text(("max_clients = 4", "max_clients = 7"))
        checked = (await ask(at, "/check", {"text": text})).json()
        assert "+max_clients = 7" in checked["diff"]  # to take away
        answer = await apply(at, {"text": text}, If_Match=etag(at))
        assert answer.status == 409
        assert "read-only" in answer.json()["detail"]


async def test_c25_switched_off(tmp_path: Path) -> None:
    async with edited(tmp_path, console="view") as at:
        document = (await ask(at, "")).json()
        assert not document["editable"]
        assert 'console = "edit"' in document["reason"]
        assert (await apply(at, {"text": document["text"]}, If_Match=etag(at))).status == 409


async def test_who_may_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with edited(tmp_path) as at:
        assert (await ask(at, "", X_Forwarded_For="192.0.2.1")).status == 403
        monkeypatch.setattr(rights, "refused", lambda _: "from this machine only")
        for path, body in (("", None), ("/file", None), ("/history", None), ("/check", {}), ("/apply", {})):
            assert (await ask(at, path, body)).status == 403


async def test_c33_keys_never_travel(tmp_path: Path) -> None:
    key = tmp_path / "server.key"
    key.write_text("CANARY-OF-A-KEY")
    async with edited(tmp_path) as at:
        text = at.text() + f'[tls.plant]\ncert_file = "{key}"\nkey_file = "{key}"\n'
        for answer in (
            await ask(at, "/check", {"text": text}),
            await ask(at, "/check", {"text": text + "x"}),
            await apply(at, {"text": text}, If_Match=etag(at)),
            await ask(at, "/history"),
            await ask(at, "/file"),
        ):
            assert b"CANARY" not in answer.body


@pytest.mark.process
@pytest.mark.long
async def test_c26_the_checker_is_a_process_of_its_own(tmp_path: Path) -> None:
    text = FILE.format(http=1, a=2, com=3, b=4, modbus=5, plant=6)
    found = await asyncio.to_thread(candidate.check, "x.toml", text + "[port.c]\n", [], text)
    assert [each.partition(": ")[2] for each in found.said] == [
        """port.c.device: is missing (allowed: a line such as device = "/dev/ttyAMA0")"""
    ]
    assert "+[port.c]" in found.diff
    found = await asyncio.to_thread(
        candidate.check, "x.toml", text, [{"path": ["port", "a", "raw", "max_clients"], "value": 9}], text
    )
    assert found.settings.ports[0].raw[0].max_clients == 9


def test_c25_the_drop_in_is_the_one_of_the_documents() -> None:
    documents = (Path(__file__).parents[2] / "docs/console.md").read_text()
    assert drop_in().strip() in documents


async def test_a_text_with_half_a_character(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        body = json.dumps({"text": 'x = "\ud800"'}).encode()
        answer = await ask(at, "/check", body)
        assert answer.status == 200
        assert not answer.json()["ok"]
        assert (await ask(at, "/apply", body, If_Match=etag(at))).status == 422


@pytest.mark.long
async def test_c34_the_examples_of_the_documents_work(tmp_path: Path) -> None:
    documents = (Path(__file__).parents[2] / "docs/console.md").read_text()
    examples = [line.strip() for line in documents.splitlines() if "curl " in line and "/api/v1/config" in line]
    async with edited(tmp_path) as at:
        for example in examples:
            words = shlex.split(example.replace("TAG", at.tag))
            headers = dict(value.split(": ", 1) for flag, value in pairwise(words) if flag == "-H")
            body = next((value for flag, value in pairwise(words) if flag in ("-d", "--data-binary")), None)
            sent = body and (at.file.read_bytes() if body.startswith("@") else body.encode())
            path = next(word for word in words if word.startswith("http")).removeprefix("http://127.0.0.1:9550")
            reloads = at.gateway.status().reloads
            number = 3 if "confirm" in path else 2
            if "confirm" in path:
                await apply(at, {"changes": [{"path": ["gateway", "name"], "value": "other"}]}, If_Match=etag(at))
            method = "PUT" if "PUT" in words else ""
            fields = {name.replace("-", "_"): value for name, value in headers.items()}
            answer = await call(at.ports["http"], path, sent, method, **fields)
            assert answer.status == 200, (example, answer.body)
            if path.endswith("/apply"):
                await until(lambda before=reloads: at.gateway.status().reloads > before)  # type: ignore[misc]
            if path.endswith("/back"):
                await until(lambda: at.editor.trial is None)
            assert f'"number": {number}' in example or "number" not in example
    assert len(examples) == 9


def test_c35_what_is_the_hosts_has_a_command_and_no_button() -> None:
    here = Path(__file__).parents[2]
    texts = (here / "nportpy/console/static/texts.js").read_text()
    documents = (here / "docs/console.md").read_text()
    rows = documents.partition("### What is the host's")[2].partition("There is no button")[0]
    commands = re.findall(r"`(sudo [^`]+|timedatectl)`", rows)
    assert len(commands) == 5
    assert [command for command in commands if f'"{command}"' not in texts] == []


@pytest.mark.long
async def test_s17_c30_with_accounts_it_takes_the_right_and_another_session_confirms(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        path = str(tmp_path / "accounts.json")
        tokens = {
            name: {"Authorization": f"Bearer {changing.add_token(path, name, role, extras, None)}"}
            for name, role, extras in (
                ("viewer", Role.VIEWER, []),
                ("operator", Role.OPERATOR, []),
                ("editor", Role.VIEWER, [Extra.EDIT]),
                ("admin", Role.ADMIN, []),
            )
        }
        assert (await ask(at, "")).status == 401
        for name in ("viewer", "operator"):
            for asked, body in (("", None), ("/file", None), ("/history", None), ("/check", {}), ("/apply", {})):
                assert (await ask(at, asked, body, **tokens[name])).status == 403
        changes = [{"path": ["port", "a", "raw", "max_clients"], "value": 7}]
        answer = await ask(at, "/apply", {"changes": changes, "why": "x"}, If_Match=etag(at), **tokens["editor"])
        number = answer.json()["number"]
        assert (await ask(at, "", **tokens["admin"])).json()["trial"]["by"] == "editor"
        assert (await ask(at, "/confirm", {"number": number}, **tokens["operator"])).status == 403
        assert (await ask(at, "/confirm", {"number": number}, **tokens["admin"])).json()["by"] == "editor"
        # Each event once, with the file's hashes.
        events = [each for each in at.gateway._audit.recent.since(0) if each.get("event") == "config"]
        assert [(each["who"], each["action"], each["result"]) for each in events] == [
            ("editor", "apply", "done"), ("admin", "confirm", "done")
        ]  # fmt: skip
        assert events[0]["after"] == events[1]["after"] == at.tag
        await at.gateway.reload(load(str(at.file)))
        assert sum(each.get("event") == "config" for each in at.gateway._audit.recent.since(0)) == 2


async def test_s28_what_goes_back_by_itself_is_told(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        await apply(at, {"changes": [{"path": ["gateway", "name"], "value": "x"}], "window": 10}, If_Match=etag(at))
        await until(lambda: at.editor.trial is None, 20)
        events = [each for each in at.gateway._audit.recent.since(0) if each.get("event") == "config"]
        assert [(each["how"], each["result"], each["change"]) for each in events] == [
            ("local", "done", 2), ("clock", "timed out", 2)
        ]  # fmt: skip


async def test_c30_a_session_goes_on_where_the_console_has_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_COST", 4)
    monkeypatch.setattr(passwords, "NOBODY", passwords.hashed("nobody's"))
    async with edited(tmp_path) as at:
        changing.add(str(tmp_path / "accounts.json"), "anna", Role.ADMIN, [], "correct horse battery")
        gate = at.gateway._desk.gate
        assert gate is not None
        logins = gate.logins
        assert logins is not None
        account = logins.accounts.account("anna")
        assert account is not None
        session = logins.sessions.begin(account, asyncio.get_running_loop().time())
        mine = {"Cookie": f"nportpy={session}", "Sec_Fetch_Site": "same-origin"}
        text = at.text((f"127.0.0.1:{at.ports['http']}", f"127.0.0.1:{at.ports['spare']}"))
        number = (await apply(at, {"text": text}, If_Match=etag(at), **mine)).json()["number"]
        confirmed = await call(at.ports["spare"], f"{ROOT}/confirm", {"number": number}, **mine)
        assert (confirmed.status, confirmed.json()["by"]) == (200, "anna")
        assert at.file.read_text() == text


async def test_c25_a_gateway_that_was_started_with_devices() -> None:
    async with consoled() as at:
        document = (await at.call(ROOT)).json()
        assert (document["file"], document["text"], document["editable"]) == (None, "", False)
        assert "started with devices" in document["reason"]
        assert (await at.call(f"{ROOT}/history")).json() == {"entries": []}
        for path, body in (("/file", None), ("/check", {}), ("/confirm", {"number": 1})):
            assert (await at.call(ROOT + path, body)).status == 409
