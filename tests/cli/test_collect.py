"""`nportpy collect`: what it says and how it ends. The command at work is in tests/peers."""

import asyncio
import json
from pathlib import Path

from click.testing import CliRunner, Result

from nportpy.cli import main
from tests.support.collecting import KEPT, Node, collected


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["collect", *arguments])


async def running(*arguments: str) -> Result:
    """The command, beside this loop."""
    return await asyncio.to_thread(run, *arguments)


def config(folder: Path, text: str = "") -> str:
    path = folder / "collect.toml"
    path.write_text(f'[source.a]\nurl = "mqtt://127.0.0.1:1"\n[store]\npath = "{folder / KEPT}"\n{text}')
    return str(path)


def test_a_fault_in_the_file_is_exit_code_2(tmp_path: Path) -> None:
    done = run("-c", config(tmp_path, "commit = 1\n"))
    assert done.exit_code == 2
    assert ":5: store.commit = 1" in done.stderr
    assert run("-c", str(tmp_path / "none")).exit_code == 2
    assert run("--json").exit_code == 2


def test_verify_without_a_database_says_so(tmp_path: Path) -> None:
    done = run("--verify", "-c", config(tmp_path))
    assert done.exit_code == 1
    assert "there is no such file" in done.stderr


async def test_verify_lists_holes(tmp_path: Path) -> None:
    node, other = Node(), Node("other", "b2")
    async with collected(tmp_path) as (queue, _):
        queue.send(node.more(10), other.more(5))
        node.samples(7)
        queue.send(node.more(3), node.state(), other.state())
        await queue.empty()
    done = await running("--verify", "-c", config(tmp_path))
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[1].split() == ["here/other", "5", "1-5", "5", "0", "0"]
    assert lines[2].split() == ["here/pi", "20", "1-20", "13", "7", "0"]
    assert lines[3] == "  hole 11-17"
    assert lines[4] == "2 nodes have 25 samples, 18 are stored, 7 are missing"
    found = json.loads((await running("--verify", "--json", "-c", config(tmp_path))).stdout)
    assert (found["complete"], found["nodes"][1]["holes"]) == (False, [[11, 17]])


async def test_verify_is_content_when_everything_is_there(tmp_path: Path) -> None:
    node = Node(oldest=101, newest=100)
    async with collected(tmp_path) as (queue, _):
        queue.send(node.more(10), node.state())
        await queue.empty()
    done = await running("--verify", "-c", config(tmp_path))
    assert done.exit_code == 0
    assert done.stdout.splitlines()[1].split() == ["here/pi", "10", "101-110", "10", "0", "100"]
