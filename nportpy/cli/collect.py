"""`nportpy collect`: the other end. What nodes send is taken from brokers and kept in a database."""

import asyncio
import json
import logging
import signal
import sys

import click
import uvloop

from nportpy.config import fault_lines
from nportpy.config.collect_build import DEFAULT_PATH, load
from nportpy.edge.collect.collector import Collector
from nportpy.edge.collect.metrics import serving
from nportpy.edge.collect.settings import CollectSettings
from nportpy.edge.collect.stores import StoreError, store_for
from nportpy.edge.collect.verify import verdict_lines, verdict_table, verify
from nportpy.errors import ConfigError, ListenError
from nportpy.services import logs
from nportpy.services.notify import Supervisor

log = logging.getLogger("nportpy.collect")


@click.command()
@click.option(
    "-c", "--config", "path", default=DEFAULT_PATH, show_default=True, metavar="FILE", help="The collector's file."
)
@click.option("--verify", "verifying", is_flag=True, help="Compare what nodes have with what is stored, and end.")
@click.option("--json", "as_json", is_flag=True, help="With --verify: an object, for programs.")
def collect(path: str, verifying: bool, as_json: bool) -> None:
    """Take what gateways send from a broker, and keep it in PostgreSQL or SQLite.

    Nothing is acknowledged to the broker before it is on the disk, and what comes twice is stored once. Several
    collectors with one `group` share the work.

    --verify tells for each node how many samples it has and how many of them are stored, and lists the holes; the exit
    code is 1 if there are any.

    \b
        nportpy collect -c ./collect.toml
        nportpy collect --verify
    """  # noqa: D301 - click wants the character
    if as_json and not verifying:
        raise click.UsageError("--json goes with --verify")
    try:
        settings = load(path)
    except ConfigError as error:
        for line in fault_lines(error):
            click.echo(line, err=True)
        sys.exit(2)
    try:
        if verifying:
            _verify(settings, as_json=as_json)
            return
        logs.configure(settings.log)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(settings))
    except (StoreError, ListenError) as error:
        raise click.ClickException(str(error)) from None
    except asyncio.CancelledError:
        sys.exit(1)


def _verify(settings: CollectSettings, *, as_json: bool) -> None:
    verdict = asyncio.run(verify(store_for(settings.store, read_only=True)))
    if as_json:
        click.echo(json.dumps(verdict_table(verdict), indent=2))
    else:
        for line in verdict_lines(verdict):
            click.echo(line)
    sys.exit(0 if verdict.complete else 1)


async def _run(settings: CollectSettings) -> None:
    collector = Collector(settings, store_for(settings.store))
    supervisor = Supervisor()
    this = asyncio.current_task()
    assert this is not None

    def stop() -> None:
        supervisor.stopping()
        if collector.stopping:
            log.warning("told to stop a second time: at once, then")
            this.cancel()
        collector.stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    with serving(collector, settings.metrics):
        supervisor.ready("collecting")
        await collector.run()
