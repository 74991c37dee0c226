"""Into a collector's file without a broker: each sample once, and what the file will not have waits in the archive."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from nportpy.edge import links
from nportpy.edge.collect.sqlite import SqliteStore
from nportpy.edge.collect.verify import verify
from nportpy.edge.links.base import Heard, Link, LinkError, Message, RefusedError
from nportpy.edge.settings import Confirm, UpstreamSettings
from tests.support.upstreams import Broker, Sending, sending


class File(Broker):
    """Takes the place of a broker: links lead to a file, `up` says whether one can be had."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.linked: Link | None = None

    async def connect(self, url: str, settings: UpstreamSettings, heard: Heard, will: Message) -> Link:  # type: ignore[override]
        if not self.up:
            raise LinkError("cut")
        self.linked = await links.connect(f"sqlite:{self.path}", settings, heard, will)
        return self.linked

    def drop(self, reason: str = "cut") -> None:
        assert self.linked is not None
        self.linked.lost.set_result(reason)

    def keys(self) -> list[tuple[str, int]]:
        with closing(sqlite3.connect(self.path)) as database:
            return database.execute("SELECT boot, seq FROM samples ORDER BY seq").fetchall()

    def late(self) -> int:
        with closing(sqlite3.connect(self.path)) as database:
            return int(database.execute("SELECT count(*) FROM samples WHERE late").fetchone()[0])


async def cut_and_mended(at: Sending, file: File) -> None:
    await asyncio.sleep(1.0)
    await at.feed(30.0)
    file.up = False
    file.drop()
    await at.feed(20.0)
    file.up = True
    await at.feed(80.0)
    await at.settle()


@pytest.mark.parametrize("confirm", list(Confirm))
@pytest.mark.long
async def test_each_sample_is_stored_once_over_an_outage(tmp_path: Path, confirm: Confirm) -> None:
    file = File(tmp_path / "collect.db")
    async with sending(tmp_path, file, overlap=5.0, confirm=confirm) as at:
        await cut_and_mended(at, file)
        assert file.keys() == sorted(at.all)
        status = at.upstream.status()
        assert status.sent_live + status.sent_late > len(at.all)  # an overlap came twice and was known
        assert 200 < file.late() < status.sent_late
    verdict = await verify(SqliteStore(str(file.path), read_only=True))
    assert verdict.complete
    assert not verdict.dead_letters
    assert verdict.reports[0].node == ("here", "pi")


async def test_a_file_that_another_program_has_is_a_link_that_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "collect.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE theirs (x)")
    async with sending(tmp_path, File(path)) as at:
        await at.feed(10.0)
        status = at.upstream.status()
        assert not status.up
        assert "another program's database" in status.reason
        assert status.backlog > 50
        path.unlink()
        await asyncio.sleep(60.0)
        await at.settle()
        assert at.upstream.status().up


async def test_a_second_one_on_the_same_file_is_refused(tmp_path: Path) -> None:
    file = File(tmp_path / "collect.db")
    async with sending(tmp_path, file):
        await asyncio.sleep(1.0)
        with pytest.raises(LinkError, match="another collector has it"):
            await file.connect("", UpstreamSettings("b", ("sqlite:",)), lambda *_: None, Message("state", b""))


async def test_what_cannot_be_made_is_a_link_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LinkError, match="file"):
        await File(tmp_path / "file" / "c.db").connect("", UpstreamSettings("b", ()), print, Message("state", b""))


async def test_what_is_no_batch_is_kept_as_a_dead_letter_and_answers_go_nowhere(tmp_path: Path) -> None:
    file = File(tmp_path / "collect.db")
    link = await file.connect("", UpstreamSettings("b", (), "here", "pi"), print, Message("state", b""))
    try:
        await link.publish(Message("live", b"nonsense"))
        await link.publish(Message("answer", b"{}"))
    except RefusedError:
        pytest.fail("a message that cannot be understood must not stop those behind it")
    finally:
        await link.close()
    assert (await verify(SqliteStore(str(file.path), read_only=True))).dead_letters == 1
