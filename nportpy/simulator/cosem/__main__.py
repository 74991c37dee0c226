"""`python -m nportpy.simulator.cosem`: a simulated DLMS meter on TCP, by the wrapper."""

import asyncio
import time
from datetime import UTC, datetime

import click

from nportpy.simulator.cosem.frames import Address
from nportpy.simulator.cosem.making import meters
from nportpy.simulator.cosem.meter import Meter, MeterSettings
from nportpy.simulator.cosem.script import load
from nportpy.simulator.cosem.wrapper import PORT, listening
from nportpy.simulator.lines import MetersWanted


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("kind", type=click.Choice(["zmd", "mt880"]), default="mt880")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where it listens.")
@click.option("--port", default=PORT, show_default=True, help="0: any that is free.")
@click.option("--script", metavar="FILE", default="", help="What goes wrong: nportpy/simulator/cosem/script.py.")
def main(kind: str, host: str, port: int, script: str) -> None:
    """A DLMS meter on TCP, by short names (zmd) or by logical names (mt880). Ctrl-C ends it."""
    common = MeterSettings(Address(1), start=datetime.now(UTC), started=time.monotonic())
    (meter,) = meters(MetersWanted(kind == "zmd", kind == "mt880"), common)
    if script:
        load(script).attach(meter)
    try:
        asyncio.run(_serve(meter, host, port))
    except KeyboardInterrupt:
        pass
    except OSError as error:
        raise click.ClickException(str(error)) from error


async def _serve(meter: Meter, host: str, port: int) -> None:
    async with listening(meter, host, port) as address:
        click.echo(f"listening on {address[0]}:{address[1]}")
        await asyncio.Event().wait()


if __name__ == "__main__":
    main(prog_name="python -m nportpy.simulator.cosem")
