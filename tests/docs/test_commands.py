"""Every command of the documents: each nportpy command line is one that click takes, and what can run here runs.

What stands in a block of `sh` is run, line by line, in a sandbox: simulated lines under the names of devices, a gateway
under the addresses that the documents use. A block under `<!-- not run: REASON -->` is not, nor is a line whose program
changes the machine; both lists are below, with their reasons. Options are checked in any case.
"""

import re
import shlex
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from nportpy.cli import main
from tests.docs.documents import DOCUMENTS, Block, Command, blocks, commands, indented_commands, spans
from tests.docs.sandbox import Sandbox, sandbox

pytestmark = [pytest.mark.process, pytest.mark.slow]

NOT_RUN = {
    "packaging": "tests/packaging does it, in roots of Debian",
    "traffic": "it shows what happens, for as long as somebody looks: tests/peers/test_wireshark.py",
    "hours": "it takes as long as it says",
    "elsewhere": "it takes certificates and a gateway that has them: tests/network/test_tls_targets.py",
    "editing": "it takes a gateway whose file may be changed: tests/cli/test_config.py",
    "user": "it puts a file into a user's home; tests/peers does, into another",
}
"""Reasons of blocks that are not run."""

ELSEWHERE = {
    "apt": "installs packages; .ci/run does",
    "pip": "installs packages; make test does",
    "make": "is what runs this",
    "sudo": "needs rights over the machine",
    "systemctl": "needs systemd as process 1; tests/peers has the unit checked",
    "journalctl": "needs systemd as process 1",
    "nats": "asks a broker; tests/peers/test_subscribers.py reads from one",
}
"""Programs whose lines are not run, and who runs or checks them."""

PEERS = ("curl", "nc", "sqlite3")
"""Programs of other people that the documents use."""

ENDLESS = {
    r"nportpy serve": "serving",
    r"nportpy (attach|monitor|collect -c)|nportpy\.simulator| --every ": "",
}
"""What goes on until Ctrl-C, and the word that tells that it is under way; any word if none is named."""

BLOCKS = [block for document in DOCUMENTS for block in blocks(document, "sh")]


def runs(block: Block) -> Iterator[str]:
    """The lines of a block that are run."""
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0] not in ELSEWHERE:
            yield line


def needs(block: Block) -> set[str]:
    return {name for line in runs(block) for name in PEERS if re.search(rf"(^|[|;&] *){name} ", line)}


def parametrized(block: Block) -> object:
    marks = [pytest.mark.peer] if needs(block) else []
    return pytest.param(block, id=str(block), marks=marks)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with sandbox(tmp_path_factory.mktemp("docs")) as made:
        yield made


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_click_takes_every_command(block: Block) -> None:
    for command in commands(block):
        parse(command)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_click_takes_every_command_between_words(document: Path) -> None:
    for command in spans(document):
        parse(command)


def parse(command: Command) -> None:
    """Have click read a command line as `nportpy` would, and do nothing.

    That a file is not here is no fault of the document.
    """
    group: click.Command = main
    context = click.Context(main, info_name="nportpy")
    words = list(command.words)
    while isinstance(group, click.Group) and words and not words[0].startswith("-"):
        found = group.get_command(context, words[0])
        assert found, f"{command.where}: no command {words[0]}"
        group = found
        context = click.Context(group, parent=context, info_name=words.pop(0))
    try:
        group.make_context(context.info_name, words, parent=context.parent)
    except (click.exceptions.Exit, click.exceptions.NoArgsIsHelpError):
        pass  # --help and --version, and a name alone
    except click.UsageError as error:
        unfinished = command.partial and isinstance(error, click.MissingParameter | click.BadOptionUsage)
        if "does not exist" not in error.message and not unfinished:
            pytest.fail(f"{command.where}: {error.format_message()}")


@pytest.mark.parametrize("block", [parametrized(block) for block in BLOCKS if not block.mark and any(runs(block))])
def test_commands_run(block: Block, here: Sandbox) -> None:
    for name in needs(block):
        if not shutil.which(name):
            pytest.skip(f"no {name} here")
    here = here.within(block)
    for line in runs(block):
        text = here.translated(line)
        word = next((word for pattern, word in ENDLESS.items() if re.search(pattern, text)), None)
        if word is not None:
            until_it_speaks(text, word, here)
        else:
            done = here.run(text)
            assert done.returncode == 0, f"{block}: {line}\n{done.stdout}{done.stderr}"


def until_it_speaks(line: str, word: str, here: Sandbox) -> None:
    """Start what does not end by itself, wait for a word of it, and end it as Ctrl-C does."""
    with here.start(line) as process:
        assert process.stdout is not None
        said = [""]
        while not said[-1] or word not in said[-1]:
            said.append(process.stdout.readline())
            assert said[-1], f"{line} ends: {''.join(said)}"
        assert "Error" not in "".join(said), said
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode in (0, 130, -signal.SIGINT), f"{line}: {process.returncode}"


def test_marks_are_those_that_are_explained() -> None:
    for block in BLOCKS:
        assert not block.mark or block.mark.removeprefix("not run: ") in NOT_RUN, f"{block}: {block.mark}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_commands_stand_in_blocks_of_sh(document: Path) -> None:
    found = list(indented_commands(document))
    assert not found, "\n".join([*found, "put ```sh above and ``` below, so that they are run"])
