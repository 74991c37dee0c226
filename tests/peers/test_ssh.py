"""S35: the recipe of docs/security.md with OpenSSH's own server: one port, and nothing else."""

import asyncio
import contextlib
import getpass
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nportpy.port.loopback import Cable
from tests.support.free_ports import free_port
from tests.support.serving import Client, connect, plan, raw, serving, until

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"

pytestmark = [
    pytest.mark.peer,
    pytest.mark.real("asyncio"),
    pytest.mark.skipif(not os.path.exists(SSHD) or not shutil.which("ssh"), reason="no sshd here"),
]

SERVER = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/client.pub
PermitRootLogin prohibit-password
PidFile none
StrictModes no
UsePAM no
Subsystem sftp internal-sftp
"""


def recipe(user: str, port: int) -> str:
    """The block of the document, for this user and port."""
    block = re.search(r"^    Match User serial\n(?:        .*\n)+", DOCUMENT.read_text(), re.MULTILINE)
    assert block is not None
    return block[0].replace("User serial", f"User {user}").replace("127.0.0.1:4001", f"127.0.0.1:{port}")


@dataclass(frozen=True, slots=True)
class Server:
    """An sshd that lets this user reach one port."""

    port: int
    folder: Path

    def command(self, *more: str) -> list[str]:
        options = ("BatchMode=yes", "StrictHostKeyChecking=no", "ExitOnForwardFailure=yes", "IdentitiesOnly=yes")
        known = f"UserKnownHostsFile={self.folder}/known"
        words = [each for option in (*options, known) for each in ("-o", option)]
        return ["ssh", "-F", "none", "-i", f"{self.folder}/client", "-p", str(self.port), *words, *more, "127.0.0.1"]

    async def runs(self, *more: str, say: str = "", stdin: bytes = b"") -> tuple[int, str]:
        """The end of a client's run, and what it said."""
        command = [*self.command(*more), *([say] if say else [])]
        process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        async with asyncio.timeout(20):
            output, _ = await process.communicate(stdin)
        return process.returncode or 0, output.decode(errors="replace")

    @contextlib.asynccontextmanager
    async def forwarding(self, to: str) -> AsyncIterator[int]:
        """A port here from which a client would have the server lead there."""
        port = free_port()
        process = await asyncio.create_subprocess_exec(
            *self.command("-N", "-L", f"127.0.0.1:{port}:{to}"), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            await _answering(port)
            yield port
        finally:
            process.terminate()
            await process.wait()


async def _answering(port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await writer.wait_closed()
                return
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def sshd(folder: Path, to: int, *, by_recipe: bool = True) -> AsyncIterator[Server]:
    port = free_port()
    _prepare(folder, port, recipe(getpass.getuser(), to) if by_recipe else "")
    process = await asyncio.create_subprocess_exec(
        *(SSHD, "-D", "-e", "-f", str(folder / "sshd_config")), stderr=subprocess.DEVNULL
    )
    try:
        await _answering(port)
        yield Server(port, folder)
    finally:
        process.terminate()
        await process.wait()


def _prepare(folder: Path, port: int, more: str) -> None:
    for name in ("host", "client"):
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(key, check=True, timeout=20)
    (folder / "sshd_config").write_text(SERVER.format(port=port, folder=folder) + more)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it locks itself in


async def test_s35_one_port_can_be_reached_and_nothing_else(tmp_path: Path) -> None:
    cable, other = Cable(), Cable(name="other")
    plans = plan("cable", raw()), plan("other", raw())
    async with serving(*plans, cables=[cable, other]) as served:
        open_to_it, shut = served.port(port="cable"), served.port(port="other")
        async with sshd(tmp_path, open_to_it) as server:
            async with server.forwarding(f"127.0.0.1:{open_to_it}") as here:
                client = await connect(Client, here)
                client.send(b"to the line")
                await until(lambda: b"to the line" in cable.heard)
                cable.far.write(b"from the line")
                await client.hears(b"from the line")
                await client.close()
            for place in (f"127.0.0.1:{shut}", f"[::1]:{open_to_it}", f"127.0.0.1:{server.port}", "/run/nothing"):
                async with server.forwarding(place) as here:
                    client = await connect(Client, here)
                    await until(lambda client=client: client.lost)  # type: ignore[misc]
                    assert not client.heard, place
            assert not served.service(port="other").results


NOTHING_ELSE = {
    "a command": ((), "echo canary-$((6*7))"),
    "a terminal": (("-tt",), "echo canary-$((6*7))"),
    "a shell": ((), ""),
    "files": (("-s",), "sftp"),
    "a port there": (("-N", "-R", "0:127.0.0.1:1"), ""),
    "a tunnel": (("-N", "-w", "0:0"), ""),
}


@pytest.mark.parametrize("what", NOTHING_ELSE)
async def test_s35_the_account_is_good_for_nothing_else(tmp_path: Path, what: str) -> None:
    options, said = NOTHING_ELSE[what]
    async with sshd(tmp_path, free_port()) as server:
        code, output = await server.runs(*options, say=said, stdin=b"echo canary-$((6*7))\n")
    assert code != 0, output
    assert "canary-42" not in output
    assert "SSH_FXP" not in output
    assert "Permission denied" not in output, "the key is right: it is the recipe that says no"


async def test_s35_without_the_recipe_it_would_be(tmp_path: Path) -> None:
    """What the tests above look for would be seen."""
    async with sshd(tmp_path, 1, by_recipe=False) as server:
        assert "canary-42" in (await server.runs(say="echo canary-$((6*7))"))[1]
