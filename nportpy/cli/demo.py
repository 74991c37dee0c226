"""`nportpy demo`: a gateway on three simulated lines, and what to try with programs that people have.

It reads the meters on two of them itself, keeps what it reads and sends it on: demo_edge.py; demo_cut.py makes an
outage on the way.
"""

import asyncio
import logging
import os
import select
import signal
import struct
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import NamedTuple

import click
import uvloop
from rich.console import Console
from rich.live import Live
from rich.text import Text

from nportpy.cli.demo_edge import Chain, DemoError, Say, Watch, chain, check_broker
from nportpy.cli.options import parsed
from nportpy.client.connection import connect
from nportpy.client.readings import take, wanted_values
from nportpy.client.target import Target
from nportpy.config.devices import FirstPorts
from nportpy.config.edge_values import broker_url
from nportpy.config.values import duration
from nportpy.edge.collect.stores import StoreError
from nportpy.errors import LineError, ListenError, NportpyError, ProtocolError
from nportpy.gateway.plans import GatewaySettings, PortPlan
from nportpy.gateway.running import Gateway
from nportpy.linesettings import LineSettings
from nportpy.modbus.settings import BusSettings, RoutingSettings
from nportpy.modes.modbus_base import ModbusSettings
from nportpy.modes.raw_base import RawSettings
from nportpy.modes.rfc2217_base import Rfc2217Settings
from nportpy.network.addresses import Endpoint
from nportpy.port.base import PortSettings
from nportpy.protocols.modbus.addresses import parse_range
from nportpy.protocols.modbus.values import Order, ValueType
from nportpy.services import logs
from nportpy.services.http_base import HttpSettings
from nportpy.services.logs import LogSettings
from nportpy.simulator.client import UNIT, Reading, read_raw, read_rfc2217
from nportpy.simulator.process import simulated_lines
from nportpy.status import GatewayStatus

HOST = "127.0.0.1"
METER = LineSettings.parse(9600, "8E1")
ECHO = LineSettings.parse(115200, "8N1")
METERS = LineSettings.parse(9600, "8N1")
PORT = click.IntRange(1, 65534)
ANSWER_TIME = 5.0
"""Seconds that the meter has for an answer."""
TRIES = 3
"""How often the meter is asked in one way."""
CHECK_TIME = 30.0
"""Seconds that --check may take once the gateway runs, and the outage beside."""
CHECK_OUTAGE = 3.0
"""Seconds that --check cuts the way to the upstream, unless told otherwise."""
CHECK_SAMPLES = 20
"""Samples that --check wants to see stored before that."""
BEFORE_OUTAGE = 10.0
"""Seconds that --outage waits."""
REFRESH = 1.0
"""Seconds between two pictures on a terminal, and between two lines during an outage."""
PLAIN_EVERY = 10
"""Of so many such lines one is shown at other times."""
BARS = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
CHART = 50
"""Values in the chart."""

TRY = """\
nportpy serves three simulated RS-485 lines. Ctrl-C ends it.

  meter   {meter}, a Modbus RTU meter, unit 1
          Modbus TCP {meter_modbus}   raw TCP {meter_raw}   RFC 2217 {meter_rfc2217}
  echo    {echo}, sends everything back
          raw TCP {echo_raw}   RFC 2217 {echo_rfc2217}
  meters  {meters}, four DLMS meters: two ZMD by short names, two MT880 by logical ones
          raw TCP {meters_raw}   RFC 2217 {meters_rfc2217}
  emon, mains, feeder
          three meters as stations: read by the gateway itself, archived,
          and sent to {upstream}

Try, in another terminal:

# the meter's energy counter in kWh, by the address in its manual
{python} -m nportpy read {host}:{meter_modbus} 41001 --type float32

# its currents, every two seconds; more of these at once cost the line nothing
{python} -m nportpy read {host}:{meter_modbus} 41053-41058 --type float32 --every 2s

# the same with a Modbus program that other people wrote
mbpoll -m tcp -p {meter_modbus} -a 1 -t 4:float -B -r 1053 -c 3 -1 {host}

# which units there are
{python} -m nportpy scan {host}:{meter_modbus} --units 1-5

# the two DLMS meters that are nobody's station, on the line on which the gateway reads the others
{python} -m nportpy objects raw://{host}:{meters_raw} --referencing short --server 1/17
{python} -m nportpy read raw://{host}:{meters_raw} 32.7.0 52.7.0 72.7.0 1.8.0 --protocol dlms --server 1/60

# the echo, raw
printf 'hello\\n' | nc -q1 {host} {echo_raw}

# the energy counter, raw: a Modbus RTU request; bytes 4 to 7 of the answer are kWh, a big-endian float
printf '\\001\\003\\003\\350\\000\\002\\104\\173' | nc -q1 {host} {meter_raw} | xxd

# the same with pyserial, which sets the line's speed and parity as well
{python} - <<'END'
import serial, struct
with serial.serial_for_url("rfc2217://{host}:{meter_rfc2217}", 9600, parity="E", timeout=2) as line:
    line.write(bytes.fromhex("010303e80002447b"))
    print("%.3f kWh" % struct.unpack(">f", line.read(9)[3:7]))
END

# with a Modbus program that wants a serial device
socat pty,link=/tmp/nportpy-meter,raw,echo=0 tcp:{host}:{meter_raw} & sleep 1
mbpoll -m rtu -b 9600 -P even -a 1 -t 4:float -B -r 1053 -c 3 -1 /tmp/nportpy-meter; kill $!

# a terminal on the echo; Ctrl-] ends it
{python} -m serial.tools.miniterm rfc2217://{host}:{echo_rfc2217} {echo.baudrate}
"""

TRY_HTTP = """
# in a browser: lines, a monitor that explains each frame, a chart that moves
http://{host}:{http}/

# what the gateway counts
curl -s http://{host}:{http}/metrics | grep ^nportpy_

# what it has read of the meter itself, and how much of that is archived and sent
curl -s http://{host}:{http}/readings
curl -s http://{host}:{http}/api/v1/archive
"""

TRY_STORED = """
# what has been stored at the other end; `late` is what came after an outage
sqlite3 -readonly {database} "SELECT time, tag, value, unit, late FROM readings ORDER BY seq DESC LIMIT 9"
"""


class _Wish(NamedTuple):
    """What was asked for: a check, a broker's URL, seconds of an outage."""

    check: bool
    broker: str
    outage: float | None

    @property
    def cuts(self) -> bool:
        """Whether the way to the upstream will be cut."""
        return self.check or self.outage is not None


def _url_of(*schemes: str) -> Callable[[str], str]:
    return lambda text: broker_url(text, schemes, "of such a broker")


def _outage(text: str) -> float:
    return duration(text, "1s", "1h")


@click.command()
@click.option("--check", is_flag=True, help="Read the meter in all ways, lose and fill a gap, say what came, and end.")
@click.option("--mqtt", "mqtt", metavar="URL", callback=parsed(_url_of("mqtt", "mqtts")), help="Send to this broker.")
@click.option("--nats", "nats", metavar="URL", callback=parsed(_url_of("nats", "tls")), help="Send to this JetStream.")
@click.option("--outage", metavar="TIME", callback=parsed(_outage), help="Cut the way there for so long, as in 30s.")
@click.option("--modbus-port", type=PORT, default=5020, show_default=True, help="TCP port of Modbus TCP.")
@click.option(
    "--raw-port", type=PORT, default=4001, show_default=True, help="TCP port of the meter, raw; next: echo, meters."
)
@click.option("--rfc2217-port", type=PORT, default=5001, show_default=True, help="TCP port of the meter, RFC 2217.")
@click.option("--http-port", type=PORT, default=9550, show_default=True, help="TCP port of HTTP.")
@click.option("--free-ports", is_flag=True, hidden=True, help="Listen where the kernel likes, and without HTTP.")
def demo(
    check: bool,
    mqtt: str | None,
    nats: str | None,
    outage: float | None,
    modbus_port: int,
    raw_port: int,
    rfc2217_port: int,
    http_port: int,
    free_ports: bool,
) -> None:
    """Serve three simulated RS-485 lines and say what to try with them.

    A Modbus meter at 9600 8E1 on TCP ports 5020 (Modbus TCP), 4001 (raw) and 5001 (RFC 2217), an echo at 115200 8N1 on
    4002 and 5002, four DLMS meters at 9600 8N1 on 4003 and 5003, and HTTP on 9550, on this machine alone; options
    choose others. Nothing needs to be connected: characters take as long as on a wire.

    The gateway reads the meters itself, too, archives what it reads, and sends it into a SQLite file, or
    to a broker that is named, from where it is collected into that file. With --outage the way there is cut for a
    while, ten seconds from the start, and the gap is seen to be filled. All files are in a temporary directory.
    """
    logs.configure(LogSettings(level="warning"))
    ports = FirstPorts(raw_port, rfc2217_port, modbus_port, http_port)
    if free_ports:
        ports = FirstPorts(0, 0, 0, 0)
    elif (
        len({first + number for first in (raw_port, rfc2217_port) for number in range(3)} | {modbus_port, http_port})
        < 8
    ):
        raise click.UsageError("each service needs TCP ports of its own, raw TCP and RFC 2217 three in a row")
    if mqtt and nats:
        raise click.UsageError("--mqtt and --nats exclude each other")
    wish = _Wish(check, mqtt or nats or "", outage)
    done = False
    reasons: Sequence[str] = ()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            if wish.broker:
                check_broker(wish.broker)
            logging.getLogger("nportpy.audit").propagate = False  # the page has it; what is done here, the demo does
            if wish.cuts:  # that it is away is known, and shown
                logging.getLogger("nportpy.edge.trouble").setLevel(logging.ERROR)
            done = runner.run(_demo(wish, ports))
        except* (LineError, ListenError, DemoError, StoreError) as group:
            reasons = _reasons(group)
    if reasons:  # raised in the clause, Python before 3.11.4 would wrap it in a group
        raise click.ClickException("; ".join(reasons))
    sys.exit(0 if done else 1)


async def _demo(wish: _Wish, ports: FirstPorts) -> bool:
    """Run the demo until it is done or told to end; whether all went well."""
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="nportpy-demo-"))
        meter, echo, meters = (os.path.join(folder, name) for name in ("meter", "echo", "meters"))
        # These wait, but there is nothing yet that they could hold up.
        stack.enter_context(simulated_lines(METER, meters=[meter]))
        stack.enter_context(simulated_lines(ECHO, echoes=[echo]))
        stack.enter_context(simulated_lines(METERS, zmds=[meters, meters], mt880s=[meters, meters]))
        async with asyncio.TaskGroup() as tasks, chain(folder, wish.broker, tasks, outage=wish.cuts) as kept:
            settings = _settings(meter, echo, meters, ports, kept)
            gateway = Gateway(settings, strict=True, connect=kept.cut.connect)
            work: asyncio.Task[bool] | None = None

            def end() -> None:
                gateway.stop()
                if work is not None:  # while the gateway writes out what it has, there are no stations to show any more
                    work.cancel()

            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, end)
            async with kept.collecting(tasks):
                watch = Watch(gateway, kept)
                doing = (
                    _check(gateway, settings, watch, wish) if wish.check else _show(gateway, watch, kept, ports, wish)
                )
                work = tasks.create_task(doing, name="demo")
                await gateway.run()
                work.cancel()
        if not work.cancelled() and wish.check and work.result():
            return await _prove(kept)
    if not work.cancelled():
        return work.result()
    if wish.check:
        click.echo("Error: told to end before the meter was read", err=True)
    return not wish.check


def _settings(meter: str, echo: str, meters: str, ports: FirstPorts, kept: Chain) -> GatewaySettings:
    def listen(first: int, number: int = 0) -> tuple[Endpoint, ...]:
        return (Endpoint(HOST, first and first + number),)

    def plan(name: str, device: str, line: LineSettings, number: int) -> PortPlan:
        raw = RawSettings(listen=listen(ports.raw, number))
        rfc2217 = Rfc2217Settings(listen=listen(ports.rfc2217, number))
        return PortPlan(name, PortSettings(device, line), raw=(raw,), rfc2217=(rfc2217,))

    modbus = ModbusSettings(listen=listen(ports.modbus), routing=RoutingSettings.whole("meter"))
    metered = replace(plan("meter", meter, METER, 0), bus=BusSettings(), modbus=(modbus,))
    return GatewaySettings(
        name="demo",
        ports=(metered, plan("echo", echo, ECHO, 1), plan("meters", meters, METERS, 2)),
        http=HttpSettings(((HOST, ports.http),)) if ports.http else None,
        edge=kept.settings,
    )


async def _running(gateway: Gateway) -> dict[str, int]:
    """Wait until the lines are up; the TCP port of each service, by names as in `meter raw`."""
    await gateway.ready.wait()
    while any(line.state != "up" for line in gateway.status().lines):  # noqa: ASYNC110 - a status is all there is
        await asyncio.sleep(0.02)
    services = gateway.status().services
    return {f"{service.port} {service.service}": int(service.listen[0].rpartition(":")[2]) for service in services}


async def _check(gateway: Gateway, settings: GatewaySettings, watch: Watch, wish: _Wish) -> bool:
    """Read the meter in three ways, then have it polled, archived and sent through an outage; whether that worked."""
    outage = wish.outage or CHECK_OUTAGE
    doing = "the meter is read"
    try:
        async with asyncio.timeout(CHECK_TIME + outage):
            await _read_in_three_ways(await _running(gateway))
            doing = "samples are stored"
            await watch.until(CHECK_SAMPLES)
            click.echo(f"polled by the gateway: {watch.values()}")
            doing = "the DLMS meters are read"
            await watch.until_cosem()
            for line in watch.cosem_values():
                click.echo(f"polled by the gateway: {line}")
            click.echo(f"archived {watch.kept()}; upstream {watch.sent()}; stored {watch.stored()}")
            doing = "the gap is filled"
            await watch.outage(outage, click.echo)
            doing = "the rest is stored"
            assert settings.edge is not None
            await gateway.reload(replace(settings, edge=replace(settings.edge, stations=())))
            await watch.drain()
    except TimeoutError as error:
        reason = watch.upstream.reason if gateway.ready.is_set() else ""
        late = f"not done in {CHECK_TIME + outage:g} s, waiting until {doing}" + (f" ({reason})" if reason else "")
        click.echo(f"Error: {str(error) or late}", err=True)
        return False
    except (OSError, NportpyError) as error:
        click.echo(f"Error: {error}", err=True)
        return False
    finally:
        gateway.stop()
    return True


async def _read_in_three_ways(ports: dict[str, int]) -> None:
    for kind, read in (("raw", read_raw), ("rfc2217", read_rfc2217)):
        port = ports[f"meter {kind}"]
        reading = await _read_again(read, port)
        click.echo(f"{reading} ({kind}, TCP port {port})")
    port = ports["meter modbus"]
    click.echo(f"{await _read_modbus(port)} (modbus, TCP port {port})")


async def _read_again(read: Callable[[str, int, LineSettings], Reading], port: int) -> Reading:
    """Ask as masters do, more than once: on a board that has other work an answer may come too late, or torn."""
    for _ in range(TRIES - 1):
        with suppress(OSError, ProtocolError):
            return await asyncio.to_thread(read, HOST, port, METER)
    return await asyncio.to_thread(read, HOST, port, METER)


async def _prove(kept: Chain) -> bool:
    """Compare what was archived with what was stored, sample by sample; whether it is the same."""
    proof = await kept.proof()
    click.echo(str(proof), err=not proof.complete)
    return proof.complete


async def _read_modbus(port: int) -> Reading:
    """What the meter says over Modbus TCP."""
    wanted = wanted_values((parse_range("41001"), parse_range("41053-41058")), ValueType.parse("float32"))
    client = await connect(Target(Endpoint(HOST, port), rtu=False), METER, ANSWER_TIME)
    try:
        readings = await take(client, UNIT, wanted, Order.ABCD, gap=0)
    finally:
        await client.close()
    for reading in readings:
        if reading.fault:
            raise ProtocolError(reading.fault)
    energy, *currents = (struct.unpack(">f", reading.data)[0] for reading in readings)
    return Reading(energy, tuple(currents))


async def _show(gateway: Gateway, watch: Watch, kept: Chain, first: FirstPorts, wish: _Wish) -> bool:
    """Say what to try, then show what happens: on a terminal as a picture that lives, else in lines."""
    ports = await _running(gateway)
    known = {name.replace(" ", "_"): port for name, port in ports.items()}
    text = (TRY + TRY_HTTP if first.http else TRY) + TRY_STORED
    places = {"database": kept.database, "upstream": kept.upstream, "http": first.http}
    click.echo(text.format(host=HOST, python=sys.executable, meter=METER, echo=ECHO, meters=METERS, **known, **places))
    console = Console()
    async with asyncio.TaskGroup() as tasks:
        cutting = asyncio.Event()
        if console.is_terminal:
            with Live(console=console, auto_refresh=False, transient=True) as live:
                say = partial(_say, lambda line: live.console.print(line, highlight=False, markup=False))
                tasks.create_task(_cut(watch, wish.outage, cutting, say), name="outage")
                await _live(gateway, watch, kept, live)
        tasks.create_task(_cut(watch, wish.outage, cutting, partial(_say, _put)), name="outage")
        await _lines(watch, cutting)
    return True


async def _cut(watch: Watch, seconds: float | None, cutting: asyncio.Event, say: Say) -> None:
    """The outage, if there is to be one; `cutting` is set meanwhile."""
    if seconds:
        await watch.until(CHECK_SAMPLES)
        await asyncio.sleep(BEFORE_OUTAGE)
        cutting.set()
        await watch.outage(seconds, say)
        cutting.clear()


async def _live(gateway: Gateway, watch: Watch, kept: Chain, live: Live) -> None:
    powers: deque[float] = deque(maxlen=CHART)
    while True:
        if (power := watch.power()) is not None:
            powers.append(power)
        lines = [
            *_line_states(gateway.status()),
            f"emon {'up' if watch.station.up else 'away'}, {watch.values()}",
            f"power {_chart(powers)}",
            *watch.cosem_values(),
            f"archive {watch.kept()}",
            f"upstream {watch.sent()}",
            f"stored {watch.stored()} in {kept.database}",
        ]
        live.update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"), refresh=True)
        await asyncio.sleep(REFRESH)


async def _lines(watch: Watch, cutting: asyncio.Event) -> None:
    count = 0
    while True:
        if cutting.is_set() or count % PLAIN_EVERY == 0:
            _say(_put, f"{watch.values()} | archive {watch.kept()} | upstream {watch.sent()} | stored {watch.stored()}")
        if count % PLAIN_EVERY == 0:
            for line in watch.cosem_values():
                _say(_put, line)
        count += 1
        await asyncio.sleep(REFRESH)


def _say(put: Say, line: str) -> None:
    put(f"{datetime.now().astimezone():%H:%M:%S}  {line}")


def _put(line: str) -> None:
    """Write a line if somebody reads: whoever does not must not hold up the gateway."""
    if select.select([], [sys.stdout], [], 0)[1]:
        click.echo(line)


def _line_states(status: GatewayStatus) -> list[str]:
    """A line of text for each line of the gateway."""
    lines = []
    for line in status.lines:
        clients = sum(len(service.clients) for service in status.services if service.port == line.name)
        lines.append(f"{line.name} {line.state}, clients {clients}, bytes out {line.sent}, in {line.received}")
    return lines


def _chart(values: Collection[float]) -> str:
    """A column for each value, from the lowest to the highest of them."""
    if not values:
        return "nothing yet"
    low, high = min(values), max(values)
    step = (high - low) / len(BARS) or 1.0
    bars = "".join(BARS[min(int((value - low) / step), len(BARS) - 1)] for value in values)
    return f"{bars} {low:.2f} to {high:.2f} kW"


def _reasons(group: BaseExceptionGroup[Exception]) -> Sequence[str]:
    """What the errors say, however deep they lie."""
    reasons: list[str] = []
    for error in group.exceptions:
        reasons += _reasons(error) if isinstance(error, BaseExceptionGroup) else [str(error)]
    return reasons
