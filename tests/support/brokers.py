"""Brokers and databases that nobody here wrote, on loopback: started, killed and started again by a test.

Each keeps its port and its files from one start to the next, so that a killed one comes back as itself:

    async with mosquitto(tmp_path) as broker:
        ... broker.url ...
        await broker.kill()
        await broker.start()

Only processes that were started here are ended. PostgreSQL refuses to run as root: there it runs as `postgres` or
`nobody`, in a folder of theirs.
"""

import asyncio
import atexit
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from pathlib import Path

import pytest

from tests.support.free_ports import free_port

_READY_TIME = 30.0
_STOP_TIME = 10.0
_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/17/bin")


def found(program: str, package: str) -> str:
    """Path of a program; the test is skipped where there is none."""
    path = shutil.which(program) or shutil.which(program, path=os.pathsep.join(_FOLDERS))
    if path is None:
        pytest.skip(f"{program} (Debian: {package}) is not here")
    return path


class Server:
    """One process with a port, its output in a file.

    Attributes:
        port: on 127.0.0.1.
        url: what a client calls it.
        folder: its files.
    """

    def __init__(self, name: str, command: Sequence[str], folder: Path, port: int, url: str, user: str = "") -> None:
        """Not started. `user`: who it runs as, where that is not whoever starts it."""
        self.name, self.command, self.folder, self.port, self.url, self.user = name, command, folder, port, url, user
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Of the process, which runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def output(self) -> str:
        """What it has said since it was first started."""
        return (self.folder / f"{self.name}.log").read_text(errors="replace")

    async def start(self) -> None:
        """Start it, and wait until it takes connections."""
        with open(self.folder / f"{self.name}.log", "ab") as output:  # noqa: ASYNC230
            self._process = await asyncio.create_subprocess_exec(
                *_as_user(self.user), *self.command, stdout=output, stderr=output
            )
        async with asyncio.timeout(_READY_TIME):
            while not await self.ready():
                assert self._process.returncode is None, f"{self.name} has ended: {self.output[-2000:]}"
                await asyncio.sleep(0.05)

    async def ready(self) -> bool:
        """Whether it takes connections."""
        try:
            async with asyncio.timeout(2.0):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except (OSError, TimeoutError):
            return False
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True

    async def stop(self) -> None:
        """End it in order."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """As the power goes."""
        await self._end(signal.SIGKILL)

    def pause(self) -> None:
        """It is there and does nothing: its connections stay, and nobody answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """After `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    async def _end(self, how: signal.Signals) -> None:
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(how)
            try:
                async with asyncio.timeout(_STOP_TIME):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        self._process = None


def _as_user(user: str) -> tuple[str, ...]:
    """What to put before a command (uvloop's subprocesses know no users)."""
    if not user:
        return ()
    entry = pwd.getpwnam(user)
    return "setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"


@asynccontextmanager
async def _started(server: Server) -> AsyncIterator[Server]:
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


# MQTT.


@asynccontextmanager
async def mosquitto(folder: Path, config: str = "", port: int = 0) -> AsyncIterator[Server]:
    """A broker for MQTT 5 and 3.1.1. `config` is added to its file, at the listener's end.

    Sessions and queues are kept in `folder` when it is stopped; a kill costs what came since the last autosave.
    """
    program = found("mosquitto", "mosquitto")
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240
    file = folder / "mosquitto.conf"
    user = "user root\n" if os.geteuid() == 0 else ""  # else it becomes `mosquitto`, who cannot enter this folder
    file.write_text(
        f"{user}persistence true\npersistence_location {folder}/\nmax_queued_messages 0\n"
        f"listener {port} 127.0.0.1\nallow_anonymous true\n{config}\n"
    )
    async with _started(
        Server("mosquitto", (program, "-c", str(file)), folder, port, f"mqtt://127.0.0.1:{port}")
    ) as server:
        yield server


# NATS.


def nats_server(folder: Path, name: str = "n1", config: str = "", routes: Mapping[str, int] | None = None) -> Server:
    """A server of NATS with JetStream, not started. `routes`: names and route ports of the cluster, this one's too."""
    program = found("nats-server", "nats-server")
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        f"server_name: {name}",
        f'listen: "127.0.0.1:{port}"',
        f'jetstream {{ store_dir: "{folder / "jetstream"}", max_mem: 256MB, max_file: 8GB }}',
    ]
    if routes:
        urls = ", ".join(f'"nats://127.0.0.1:{each}"' for other, each in routes.items() if other != name)
        lines.append(f'cluster {{ name: nportpy, listen: "127.0.0.1:{routes[name]}", routes: [{urls}] }}')
    file = folder / f"{name}.conf"
    file.write_text("\n".join([*lines, config, ""]))
    return Server(name, (program, "-c", str(file)), folder, port, f"nats://127.0.0.1:{port}")


@asynccontextmanager
async def nats(folder: Path, config: str = "") -> AsyncIterator[Server]:
    """One node with JetStream."""
    async with _started(nats_server(folder, config=config)) as server:
        yield server


@asynccontextmanager
async def nats_cluster(folder: Path, size: int = 3) -> AsyncIterator[list[Server]]:
    """Several nodes with routes between them, ready when JetStream has a leader.

    Their URLs with commas between are what an upstream takes.
    """
    routes = {f"n{number}": free_port() for number in range(1, size + 1)}
    servers = [nats_server(folder / name, name, routes=routes) for name in routes]
    async with AsyncExitStack() as stack:
        for server in servers:
            stack.push_async_callback(server.stop)
        await asyncio.gather(*(server.start() for server in servers))
        async with asyncio.timeout(_READY_TIME):
            while not any("JetStream cluster new metadata leader" in server.output for server in servers):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        yield servers


# Databases.


class Postgres(Server):
    """A cluster of PostgreSQL; `url` leads to its database `postgres` as its superuser."""

    async def ready(self) -> bool:
        """Whether it has recovered and takes connections: the protocol's own answer, not only TCP's."""
        done = await asyncio.create_subprocess_exec(
            *(found("pg_isready", "postgresql"), "-q", "-h", "127.0.0.1", "-p", str(self.port)),
            *("-U", "nportpy", "-d", "postgres"),
        )
        return await done.wait() == 0

    async def kill(self) -> None:
        """As the power goes. Its children notice by themselves; until they have, it could not be started again."""
        pid = self.pid
        children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]  # noqa: ASYNC240
        await super().kill()
        async with asyncio.timeout(_STOP_TIME):
            while any(os.path.exists(f"/proc/{each}") for each in children):  # noqa: ASYNC110, ASYNC240
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """Without waiting for its clients."""
        await self._end(signal.SIGINT)


@asynccontextmanager
async def postgres(config: str = "") -> AsyncIterator[Postgres]:
    """A fresh PostgreSQL on loopback, in a folder of its own that is removed. `config` is added to postgresql.conf."""
    initdb, program = found("initdb", "postgresql"), found("postgres", "postgresql")
    user = _database_user()
    folder = Path(tempfile.mkdtemp(prefix="nportpy-postgres-"))
    try:
        if user:
            os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        data, port = folder / "data", free_port()
        subprocess.run(["cp", "-a", _empty_cluster(initdb, user), data], check=True)  # noqa: ASYNC221
        with open(data / "postgresql.conf", "a") as file:  # noqa: ASYNC230
            file.write(
                f"listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{folder}'\n{config}\n"
            )
        url = f"postgresql://nportpy@127.0.0.1:{port}/postgres"
        server = Postgres("postgres", (program, "-D", str(data)), folder, port, url, user)
        async with _started(server):
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@cache
def _empty_cluster(initdb: str, user: str) -> Path:
    """What every cluster begins as: copied in a fifth of the time that it takes to be made."""
    folder = Path(tempfile.mkdtemp(prefix="nportpy-postgres-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if user:
        os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    data = folder / "data"
    subprocess.run(
        [*_as_user(user), initdb, "-D", data, "-U", "nportpy", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"],
        stdout=subprocess.DEVNULL, cwd=folder, check=True,
    )  # fmt: skip
    return data


def _database_user() -> str:
    """Who runs PostgreSQL; empty: whoever runs the tests."""
    if os.geteuid() != 0:
        return ""
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    pytest.skip("PostgreSQL does not run as root, and there is neither postgres nor nobody")


@asynccontextmanager
async def influxd(folder: Path) -> AsyncIterator[Server]:
    """InfluxDB 1.x."""
    program = found("influxd", "influxdb")
    port, folder = free_port(), folder / "influxdb"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "influxdb.conf"
    file.write_text(
        f'reporting-disabled = true\nbind-address = "127.0.0.1:{free_port()}"\n'
        f'[meta]\ndir = "{folder}/meta"\n[data]\ndir = "{folder}/data"\nwal-dir = "{folder}/wal"\n'
        f'[http]\nbind-address = "127.0.0.1:{port}"\nlog-enabled = false\n[monitor]\nstore-enabled = false\n'
    )
    command = (program, "-config", str(file))
    async with _started(Server("influxd", command, folder, port, f"influx+http://127.0.0.1:{port}")) as server:
        yield server


@asynccontextmanager
async def victoria_metrics(folder: Path) -> AsyncIterator[Server]:
    """VictoriaMetrics, one node."""
    program = found("victoria-metrics", "victoria-metrics")
    port, folder = free_port(), folder / "victoria-metrics"
    folder.mkdir(parents=True, exist_ok=True)
    command = (program, f"-httpListenAddr=127.0.0.1:{port}", f"-storageDataPath={folder / 'data'}")
    async with _started(Server("victoria-metrics", command, folder, port, f"influx+http://127.0.0.1:{port}")) as server:
        yield server
