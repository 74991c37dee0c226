"""A candidate is checked, tried for a while, and kept or taken back; the file is the old one until it is confirmed."""

import asyncio
import errno
import json
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from nportpy import atomicfile
from nportpy.editing import files
from nportpy.editing.candidate import Candidate, Changes
from nportpy.editing.editor import Editor, Faulty, Stale
from nportpy.editing.history import MOST, Entry, Fate, History
from nportpy.errors import EditError, Fault, LineError

OLD, NEW = "old = 1\n", "new = 2\n"


class Fake:
    """A gateway that goes over to anything, and a checker that finds the word bad bad."""

    def __init__(self) -> None:
        self.settings: Any = "old"
        self.went: list[Any] = []
        self.refuses: object = None
        self.tells: list[Fate] = []
        self.changing = asyncio.Lock()

    def now(self) -> Any:
        return self.settings

    async def go_over(self, settings: Any, still: Callable[[], bool] = lambda: True) -> None:
        async with self.changing:
            if not still():
                return
            await asyncio.sleep(0.5)
            if settings == self.refuses:
                raise LineError("it does not want to")
            self.went.append(settings)
            self.settings = settings

    def tried(self, entry: Entry) -> None:
        self.tells.append(entry.fate)

    def check(self, path: str, text: str, changes: Changes, base: str) -> Candidate:
        if "bad" in text:
            return Candidate(text, (Fault("x", "is bad", line=1),), (f"{path}:1: x: is bad",))
        return Candidate(text, settings=text.partition(" ")[0])


class At:
    def __init__(self, file: Path, gateway: Fake, editor: Editor) -> None:
        self.file = file
        self.gateway = gateway
        self.editor = editor

    @property
    def tag(self) -> str:
        return files.tag(self.file.read_bytes())

    async def apply(self, text: str = NEW, **more: Any) -> Entry:
        trial = await self.editor.apply(text, self.tag, **({"by": "anna", "why": "more speed"} | more))
        return trial.entry

    async def ended(self) -> Fate:
        while self.editor.trial is not None or self.editor.last is None:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.1)
        return self.editor.last.fate

    async def fates(self) -> list[tuple[int, Fate]]:
        return [(each.number, each.fate) for each in await self.editor.history()]


@asynccontextmanager
async def edited(path: Path, *, on: bool = True) -> AsyncIterator[At]:
    file = path / "nportpy.toml"
    if not file.exists():
        file.write_text(OLD)
    gateway = Fake()
    editor = Editor(str(file), gateway.check, gateway)
    async with asyncio.TaskGroup() as tasks:
        await editor.switch(on, tasks)
        try:
            yield At(file, gateway, editor)
        finally:
            await editor.stop()


async def test_c30_confirmed(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        entry = await at.apply()
        assert at.file.read_text() == OLD
        await asyncio.sleep(30)
        assert at.gateway.went == ["new"]
        assert at.editor.status() is not None
        kept = await at.editor.confirm(entry.number, by="bert")
        assert kept.fate is Fate.CONFIRMED
        assert at.file.read_text() == NEW
        await asyncio.sleep(4000)
        assert at.gateway.went == ["new"]
        assert await at.fates() == [(2, Fate.CONFIRMED), (1, Fate.FOUND)]
        assert sorted(os.listdir(tmp_path)) == ["nportpy.toml", "nportpy.toml.history"]


@pytest.mark.parametrize("window", [10.0, 60.0, 3600.0])
async def test_c30_not_confirmed_in_time(tmp_path: Path, window: float) -> None:
    async with edited(tmp_path) as at:
        entry = await at.apply(window=window)
        await asyncio.sleep(window - 1)
        assert at.gateway.went == ["new"]
        assert await at.ended() is Fate.TIMED_OUT
        assert at.gateway.went == ["new", "old"]
        assert at.file.read_text() == OLD
        with pytest.raises(EditError, match="change 2 is not being tried"):
            await at.editor.confirm(entry.number, by="bert")
        assert await at.fates() == [(2, Fate.TIMED_OUT), (1, Fate.FOUND)]


async def test_c30_taken_back(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        entry = await at.apply()
        await asyncio.sleep(0)  # it goes over
        await at.editor.take_back(entry.number, by="bert")
        assert await at.ended() is Fate.TAKEN_BACK
        assert at.gateway.went == ["new", "old"]
        assert at.file.read_text() == OLD


async def test_c30_the_file_is_read_anew_meanwhile(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        await at.apply()
        await asyncio.sleep(5)
        at.editor.overtake()
        await at.gateway.go_over("third")
        assert await at.ended() is Fate.OVERTAKEN
        assert at.gateway.went == ["new", "third"]


async def test_c30_what_is_read_anew_while_a_change_is_applied_is_what_the_gateway_goes_back_to(tmp_path: Path) -> None:
    async with edited(tmp_path) as at, asyncio.TaskGroup() as tasks:
        at.editor.overtake()
        tasks.create_task(at.gateway.go_over("third"))
        await at.apply()
        assert at.gateway.settings == "old"
        assert await at.ended() is Fate.TIMED_OUT
        assert at.gateway.went == ["third", "new", "third"]


async def test_c30_what_is_overtaken_before_its_turn_is_not_gone_over_to(tmp_path: Path) -> None:
    async with edited(tmp_path) as at, asyncio.TaskGroup() as tasks:
        await at.apply()  # nothing of it has begun
        at.editor.overtake()
        await at.gateway.go_over("third")
        assert await at.ended() is Fate.OVERTAKEN
        tasks.create_task(at.gateway.go_over("fourth"))  # a reload of before
        await asyncio.sleep(0)
        await at.apply("fifth = 5\n")
        await asyncio.sleep(0.1)  # it waits for its turn
        at.editor.overtake()
        await at.gateway.go_over("sixth")
        assert await at.ended() is Fate.OVERTAKEN
        assert at.gateway.went == ["third", "fourth", "sixth"]


async def test_c30_what_is_read_anew_right_after_a_change_is_taken_back_holds(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        entry = await at.apply()
        await asyncio.sleep(1)
        await at.editor.take_back(entry.number, by="bert")
        at.editor.overtake()
        await at.gateway.go_over("third")
        assert await at.ended() is Fate.TAKEN_BACK
        assert at.gateway.went == ["new", "third"]


async def test_c30_a_gateway_that_cannot_go_over(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        at.gateway.refuses = "new"
        await at.apply()
        assert await at.ended() is Fate.FAILED
        assert at.gateway.went == ["old"]


async def test_c30_a_gateway_that_cannot_go_back_lives_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with edited(tmp_path) as at:
        at.gateway.refuses = "old"
        await at.apply()
        assert await at.ended() is Fate.TIMED_OUT
        assert "the gateway cannot go back to what it was before a change" in caplog.text
        assert at.file.read_text() == OLD
        assert (await at.fates())[0] == (2, Fate.TIMED_OUT)
        assert [name for name in os.listdir(tmp_path) if name.startswith(".")] == []
        at.gateway.refuses = None
        entry = await at.apply("third = 3\n")
        await at.editor.confirm(entry.number, by="anna")
        assert at.gateway.went == ["new", "third"]


async def test_c30_a_gateway_that_cannot_go_over_to_what_is_confirmed_lives_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = atomicfile.Prepared.commit
    async with edited(tmp_path) as at:
        loop = asyncio.get_running_loop()

        async def read_anew() -> None:
            at.editor.overtake()
            at.gateway.refuses = "new"

        def overtaken(self: atomicfile.Prepared) -> None:
            commit(self)
            if not self._path.endswith(".json"):
                asyncio.run_coroutine_threadsafe(read_anew(), loop).result(10)

        entry = await at.apply()
        await asyncio.sleep(1)
        monkeypatch.setattr(atomicfile.Prepared, "commit", overtaken)
        await at.editor.confirm(entry.number, by="anna")
        assert "cannot go over to a change that is confirmed" in caplog.text
        assert at.file.read_text() == NEW
        assert (await at.fates())[0] == (2, Fate.CONFIRMED)


async def test_c30_who_confirms_early_waits_until_the_gateway_has_gone_over(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        entry = await at.apply()
        kept = await at.editor.confirm(entry.number, by="bert")
        assert (kept.fate, at.gateway.went) == (Fate.CONFIRMED, ["new"])
        at.gateway.refuses = "third"
        entry = await at.apply("third = 3\n")
        with pytest.raises(EditError, match="is not being tried"):
            await at.editor.confirm(entry.number, by="bert")
        assert await at.ended() is Fate.FAILED
        assert at.file.read_text() == NEW


async def test_c30_the_gateway_ends_in_the_window(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        await at.apply()
        await asyncio.sleep(1)
    assert at.file.read_text() == OLD
    assert at.gateway.went == ["new"]
    assert [each.fate for each in History(str(at.file)).all()] == [Fate.INTERRUPTED, Fate.FOUND]
    assert sorted(os.listdir(tmp_path)) == ["nportpy.toml", "nportpy.toml.history"]


async def test_c30_the_gateway_was_killed_in_the_window(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "nportpy.toml"
    file.write_text(OLD)
    killed = atomicfile.Prepared(str(file), NEW.encode())
    os.close(killed._file)  # as the system does
    History(str(file)).add(NEW, Fate.TRYING, by="anna", why="", time=0.0)
    async with edited(tmp_path) as at:
        assert await at.fates() == [(1, Fate.INTERRUPTED)]
        assert "a change was not confirmed before the gateway ended" in caplog.text
        assert sorted(os.listdir(tmp_path)) == ["nportpy.toml", "nportpy.toml.history"]
        await at.apply()


async def test_c30_killed_between_the_renaming_and_the_history_it_is_confirmed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "nportpy.toml"
    file.write_text(NEW)
    History(str(file)).add(NEW, Fate.TRYING, by="anna", why="", time=0.0)
    async with edited(tmp_path) as at:
        assert await at.fates() == [(1, Fate.CONFIRMED)]
        assert "was not confirmed" not in caplog.text


async def test_c31_a_disk_that_is_full_when_it_is_written_what_came_of_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with edited(tmp_path) as at:
        entry = await at.apply()
        await asyncio.sleep(1)
        with monkeypatch.context() as patched:
            patched.setattr(History, "mark", full)
            assert (await at.editor.confirm(entry.number, by="anna")).fate is Fate.CONFIRMED
        assert "history of the file cannot be kept" in caplog.text
        assert at.file.read_text() == NEW
        assert (await at.fates())[0] == (2, Fate.TRYING)
        await at.apply("third = 3\n")
        assert await at.fates() == [(3, Fate.TRYING), (2, Fate.CONFIRMED), (1, Fate.FOUND)]


async def test_c30_one_at_a_time(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        await at.apply()
        with pytest.raises(EditError, match="change 2 by anna is to be confirmed first"):
            await at.apply("third = 3\n")


async def test_c29_a_file_that_was_changed_meanwhile(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        base = at.tag
        at.file.write_text("theirs = 3\n")
        with pytest.raises(Stale) as caught:
            await at.editor.apply(NEW, base, by="anna", why="")
        assert caught.value.text == "theirs = 3\n"
        assert at.gateway.went == []
        entry = await at.apply()
        at.file.write_text("theirs = 4\n")
        with pytest.raises(Stale):
            await at.editor.confirm(entry.number, by="anna")
        assert at.file.read_text() == "theirs = 4\n"
        assert await at.ended() is Fate.TIMED_OUT
        assert at.file.read_text() == "theirs = 4\n"


async def test_c29_of_two_who_apply_at_once_one_is_told(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        base = at.tag
        found = await asyncio.gather(
            *(at.editor.apply(text, base, by="x", why="") for text in (NEW, "third = 3\n")), return_exceptions=True
        )
        assert sorted(isinstance(each, EditError) for each in found) == [False, True]


async def test_c26_a_candidate_with_faults_changes_nothing(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        with pytest.raises(Faulty) as caught:
            await at.apply("bad = 1\n")
        assert caught.value.candidate.said == (f"{at.file}:1: x: is bad",)
        with pytest.raises(EditError, match="larger than 1 MiB"):
            await at.apply("#" * (files.LARGEST + 1))
        assert at.gateway.went == []
        assert await at.fates() == []


async def test_c25_off(tmp_path: Path) -> None:
    async with edited(tmp_path, on=False) as at:
        assert "switched off" in at.editor.why_not()
        with pytest.raises(EditError, match="switched off"):
            await at.apply()
    editor = Editor(None, None, Fake())
    assert "no configuration file" in editor.why_not()
    with pytest.raises(EditError, match="no configuration file"):
        await editor.read()
    with pytest.raises(EditError, match="no configuration file"):
        await editor.check("x = 1\n")


@pytest.mark.parametrize("call", ["rename", "fsync", "mkdir"])
async def test_c32_a_full_disk_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with edited(tmp_path) as at:
        with monkeypatch.context() as patched:
            patched.setattr(os, call, full)
            with pytest.raises(EditError, match="No space left"):
                await at.apply()
        assert at.gateway.went == []
        assert at.file.read_text() == OLD
        assert [name for name in os.listdir(tmp_path) if name.startswith(".")] == []
        entry = await at.apply()
        await asyncio.sleep(1)
        with monkeypatch.context() as patched:
            patched.setattr(os, "rename", full)
            with pytest.raises(EditError, match="not confirmed"):
                await at.editor.confirm(entry.number, by="anna")
        assert at.file.read_text() == OLD
        await at.editor.confirm(entry.number, by="anna")  # there is room again
        assert at.file.read_text() == NEW


@pytest.mark.parametrize("call", ["open", "fsync"])
async def test_c32_a_folder_that_fails_does_not_leave_a_file_that_nobody_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    real, folders = getattr(os, call), 0

    def fail(what: Any, *more: Any, **named: Any) -> Any:
        nonlocal folders
        if os.path.isdir(what if call == "open" else f"/proc/self/fd/{what}"):
            folders += 1
            if folders == 1:
                raise OSError(errno.EMFILE, "Too many open files")
        return real(what, *more, **named)

    async with edited(tmp_path) as at:
        entry = await at.apply()
        await asyncio.sleep(1)
        with monkeypatch.context() as patched:
            patched.setattr(os, call, fail)
            if call == "open":
                with pytest.raises(EditError, match="Too many open files; it is not confirmed"):
                    await at.editor.confirm(entry.number, by="anna")
                assert at.file.read_text() == OLD
            await at.editor.confirm(entry.number, by="anna")
        assert ("after a loss of power" in caplog.text) == (call == "fsync")
        assert at.file.read_text() == NEW
        assert at.gateway.went == ["new"]
        assert (await at.fates())[0] == (2, Fate.CONFIRMED)


async def test_c32_who_confirms_and_goes_has_confirmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit, writes, goes = atomicfile.Prepared.commit, threading.Event(), threading.Event()

    def slow(self: atomicfile.Prepared) -> None:
        if not self._path.endswith(".json"):  # the history's are exchanged likewise
            writes.set()
            goes.wait(10)
        commit(self)

    monkeypatch.setattr(atomicfile.Prepared, "commit", slow)
    async with edited(tmp_path) as at:
        entry = await at.apply()
        await asyncio.sleep(1)
        async with asyncio.TaskGroup() as tasks:
            confirming = tasks.create_task(at.editor.confirm(entry.number, by="anna"))
            await asyncio.to_thread(writes.wait, 10)
            confirming.cancel()
            await asyncio.wait([confirming])
            goes.set()
        assert await at.ended() is Fate.CONFIRMED
        assert (at.file.read_text(), at.gateway.went) == (NEW, ["new"])


async def test_c31_twenty_are_kept(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        for number in range(25):
            entry = await at.apply(f"n = {number}\n", why=f"the {number}th", by="anna")
            await at.editor.confirm(entry.number, by="anna")
        entries = await at.editor.history()
        assert len(entries) == MOST
        assert [each.text for each in entries[:2]] == ["n = 24\n", "n = 23\n"]
        assert (entries[0].why, entries[0].by, entries[0].tag) == ("the 24th", "anna", at.tag)
        old = await at.editor.entry(entries[-1].number)
        entry = await at.apply(old.text)
        await at.editor.confirm(entry.number, by="anna")
        assert at.file.read_text() == old.text
        with pytest.raises(EditError, match="no change 1 in"):
            await at.editor.entry(1)


async def test_c31_what_somebody_else_wrote_is_kept_too(tmp_path: Path) -> None:
    async with edited(tmp_path) as at:
        entry = await at.apply()
        await at.editor.confirm(entry.number, by="anna")
        at.file.write_text("theirs = 3\n")
        await at.apply("mine = 4\n")
        found = [(each.fate, each.text) for each in await at.editor.history()]
        assert found[:2] == [(Fate.TRYING, "mine = 4\n"), (Fate.FOUND, "theirs = 3\n")]


def test_c31_who_may_not_read_the_file_may_not_read_its_history(tmp_path: Path) -> None:
    file = tmp_path / "nportpy.toml"
    file.write_text(OLD)
    for mode, folder in ((0o600, 0o700), (0o640, 0o750), (0o644, 0o755)):
        file.chmod(mode)
        history = History(str(file))
        entry = history.add(NEW, Fate.FOUND, by="", why="", time=0.0)
        place = Path(history.folder)
        assert place.stat().st_mode & 0o777 == folder
        assert (place / f"{entry.number:06}.json").stat().st_mode & 0o777 == mode
        for each in place.iterdir():
            each.unlink()
        place.rmdir()


def test_c31_what_is_damaged_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "nportpy.toml"
    file.write_text(OLD)
    history = History(str(file))
    history.add(NEW, Fate.FOUND, by="", why="", time=0.0)
    for name, text in (("000002.json", "{"), ("000003.json", "[]"), ("000004.json", '{"fate": "found"}'), ("x", "")):
        (Path(history.folder) / name).write_text(text)
    wrong = json.loads((Path(history.folder) / "000001.json").read_text()) | {"text": 5}
    (Path(history.folder) / "000005.json").write_text(json.dumps(wrong))
    assert [each.number for each in history.all()] == [1]
