"""Mode E before HDLC, and the wrapper on TCP, against simulated meters."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from nportpy.errors import LineDown
from nportpy.linesettings import LineSettings
from nportpy.meters.dlms.client import DlmsClient
from nportpy.meters.dlms.errors import AuthenticationRefused, MeterSilent, NoHdlc
from nportpy.meters.dlms.places import parse
from nportpy.meters.dlms.settings import Opening
from nportpy.meters.dlms.transport import OverLine, OverTcp
from nportpy.network.addresses import Endpoint
from nportpy.simulator.cosem.line import MeterLine
from nportpy.simulator.cosem.opening import Confirms, OpeningSettings, TunedModeE
from nportpy.simulator.cosem.wrapper import listening
from nportpy.simulator.iec62056.meter import Meter as TextMeter
from tests.meters.dlms.support import LN, SN, conversing, mt880, zmd
from tests.meters.iec62056.meter import run
from tests.support.wired import WiredLine

ENERGY = parse("1.8.0")
MODE_E = replace(SN, opening=Opening.MODE_E)


def behind_a_sign_on(opening: OpeningSettings | None = None, *, echo: bool = False) -> WiredLine:
    device = TunedModeE(MeterLine([zmd()]), opening or OpeningSettings())
    return WiredLine(device, LineSettings(9600), echo=echo)


@pytest.mark.parametrize("confirms", Confirms)
@pytest.mark.parametrize("echo", [False, True])
def test_mode_e_then_hdlc_at_the_speed_of_the_meter(confirms: Confirms, echo: bool) -> None:
    line = behind_a_sign_on(OpeningSettings(confirms=confirms), echo=echo)

    async def polls(client: DlmsClient) -> None:
        for _ in range(3):
            (result,) = await client.read([ENERGY])
            assert (result.reason, result.unit) == ("", 30)
            assert line.settings == line.home  # put back between the calls
            await asyncio.sleep(60)

    conversing(line, polls, MODE_E)
    assert sum(each.startswith(b"/?") for each in line.sent_frames) == 1  # the association is kept


def test_mode_e_after_a_session_that_was_left_open() -> None:
    line = behind_a_sign_on()

    async def crashed() -> None:
        first = DlmsClient(MODE_E, OverLine(line.lease), "first")
        await first.read([ENERGY])
        with pytest.raises(MeterSilent):  # it is in HDLC, and hears no sign-on
            await DlmsClient(MODE_E, OverLine(line.lease), "second").read([ENERGY])
        await asyncio.sleep(125)
        (result,) = await DlmsClient(MODE_E, OverLine(line.lease), "second").read([ENERGY])
        assert result.reason == ""

    run(crashed)


def test_mode_e_again_after_its_inactivity_time() -> None:
    line = behind_a_sign_on()

    async def polls(client: DlmsClient) -> None:
        await client.read([ENERGY])
        await asyncio.sleep(400)
        (result,) = await client.read([ENERGY])
        assert result.reason == ""

    conversing(line, polls, MODE_E)


def test_a_meter_behind_mode_e_with_an_address() -> None:
    opening = OpeningSettings(device_address=b"94407512")
    assert (
        conversing(
            behind_a_sign_on(opening),
            lambda client: client.read([ENERGY]),
            replace(MODE_E, sign_on_address="94407512"),
        )[0].reason
        == ""
    )
    with pytest.raises(MeterSilent, match="12345678"):
        conversing(
            behind_a_sign_on(opening),
            lambda client: client.read([ENERGY]),
            replace(MODE_E, sign_on_address="12345678"),
        )


def test_a_meter_without_hdlc_says_how_to_read_it() -> None:
    line = WiredLine(TextMeter(None, lines=["1.8.0(1*kWh)"], spoils=None, started=0.0), LineSettings(9600))
    with pytest.raises(NoHdlc, match="read it as iec62056"):
        conversing(line, lambda client: client.read([ENERGY]), MODE_E)


# Over TCP, on real sockets and the usual clock.


@contextlib.asynccontextmanager
async def over_tcp(settings: object = LN, meter: object = None) -> AsyncIterator[DlmsClient]:
    async with listening(meter or mt880()) as (host, port):  # type: ignore[arg-type]
        client = DlmsClient(settings, OverTcp(Endpoint(host, port)), "meter")  # type: ignore[arg-type]
        try:
            yield client
        finally:
            await client.close()


def test_the_wrapper_reads_lists_and_profiles() -> None:
    async def reading() -> None:
        for meter, settings in ((mt880(), LN), (zmd(), SN)):
            async with over_tcp(settings, meter) as client:
                (result,) = await client.read([ENERGY])
                assert (result.reason, result.unit) == ("", 30)
                assert len(await client.objects()) > 30

    asyncio.run(reading())


def test_a_connection_that_the_meter_ended_is_made_again() -> None:
    async def reading() -> None:
        async with listening(mt880()) as (host, port):
            relays: list[asyncio.StreamWriter] = []

            async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                there_reader, there_writer = await asyncio.open_connection(host, port)
                relays.extend((writer, there_writer))

                async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
                    with contextlib.suppress(OSError):
                        while data := await source.read(4096):
                            sink.write(data)
                    sink.transport.abort()

                await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer))

            server = await asyncio.start_server(relay, "127.0.0.1", 0)
            there = server.sockets[0].getsockname()
            client = DlmsClient(LN, OverTcp(Endpoint("127.0.0.1", there[1])), "meter")
            for _ in range(3):
                (result,) = await client.read([ENERGY])
                assert result.reason == ""
                for each in relays:
                    each.transport.abort()
                    with contextlib.suppress(OSError):
                        await each.wait_closed()
                relays.clear()
            await client.close()
            server.close()

    asyncio.run(reading())


def test_nobody_there_and_a_wrong_client_and_a_wrong_password() -> None:
    async def refused() -> None:
        with pytest.raises(LineDown, match=r"127\.0\.0\.1:9: "):
            await DlmsClient(LN, OverTcp(Endpoint("127.0.0.1", 9)), "meter").read([ENERGY])
        async with over_tcp(replace(LN, client=99, response=0.2)) as client:
            with pytest.raises(MeterSilent, match="client 99"):
                await client.read([ENERGY])
        async with over_tcp(replace(LN, secret=b"nonsense")) as client:
            with pytest.raises(AuthenticationRefused):
                await client.read([ENERGY])

    asyncio.run(refused())


def test_another_protocol_is_said() -> None:
    async def refused() -> None:
        async def web(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(web, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Exception, match="no DLMS over TCP"):
            await DlmsClient(LN, OverTcp(Endpoint("127.0.0.1", port)), "meter").read([ENERGY])
        server.close()

    asyncio.run(refused())
