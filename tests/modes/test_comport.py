"""What RFC 2217 requests do to a line: the option table over a real socket, modem lines and errors, who controls."""

import asyncio
from dataclasses import replace

import pytest

from nportpy import __version__
from nportpy.linesettings import Flow, LineSettings, ModemLines, Parity, StopBits
from nportpy.modes.rfc2217_base import WhoControls
from nportpy.port.loopback import Cable
from nportpy.protocols.rfc2217 import (
    LineState,
    ModemState,
    NotifyLinestate,
    NotifyModemstate,
    PurgeData,
    SetBaudrate,
    SetControl,
    SetDatasize,
    SetLinestateMask,
    SetModemstateMask,
    SetParity,
    SetStopsize,
)
from tests.support.serving import com, plan, raw, serving, settle, until

LINE = LineSettings(9600, 8, Parity.EVEN)
ALL_UP = ModemState.CTS | ModemState.DSR | ModemState.CD

# What is asked of a line at 9600 8E1, DTR and RTS up, and what is answered: always the value in effect.
ANSWERS: list[tuple[str, bytes, bytes]] = [
    ("signature", b"\x00", b"\x64" + f"nportpy {__version__} cable".encode()),
    ("baud?", b"\x01\0\0\0\0", b"\x65\0\0\x25\x80"),
    ("baud 115200", b"\x01\0\x01\xc2\x00", b"\x65\0\x01\xc2\x00"),
    ("baud 65317, with a 255 in it", b"\x01\0\0\xff\x25", b"\x65\0\0\xff\x25"),
    ("baud 2^31, which is none", b"\x01\x80\0\0\0", b"\x65\0\0\x25\x80"),
    ("baud that the driver refuses", b"\x01\0\0\0\x07", b"\x65\0\0\x25\x80"),
    ("baud of two bytes", b"\x01\x25\x80", b"\x65\0\0\x25\x80"),
    ("baud of no byte", b"\x01", b"\x65\0\0\x25\x80"),
    ("baud by Cisco's code", b"\x01\x0a", b"\x65\x0a"),
    ("baud by a code that is none", b"\x01\x63", b"\x65\x08"),
    ("size?", b"\x02\x00", b"\x66\x08"),
    ("size 7", b"\x02\x07", b"\x66\x07"),
    ("size 5", b"\x02\x05", b"\x66\x05"),
    ("size 9", b"\x02\x09", b"\x66\x08"),
    ("size of no byte", b"\x02", b"\x66\x08"),
    ("parity?", b"\x03\x00", b"\x67\x03"),
    ("parity none", b"\x03\x01", b"\x67\x01"),
    ("parity odd", b"\x03\x02", b"\x67\x02"),
    ("parity mark", b"\x03\x04", b"\x67\x04"),
    ("parity space", b"\x03\x05", b"\x67\x05"),
    ("parity 9", b"\x03\x09", b"\x67\x03"),
    ("stop?", b"\x04\x00", b"\x68\x01"),
    ("stop 2", b"\x04\x02", b"\x68\x02"),
    ("stop 1.5 with 8 bits", b"\x04\x03", b"\x68\x01"),
    ("stop 9", b"\x04\x09", b"\x68\x01"),
    ("flow?", b"\x05\x00", b"\x69\x01"),
    ("flow none", b"\x05\x01", b"\x69\x01"),
    ("flow XON/XOFF", b"\x05\x02", b"\x69\x02"),
    ("flow hardware", b"\x05\x03", b"\x69\x03"),
    ("break?", b"\x05\x04", b"\x69\x06"),
    ("break on", b"\x05\x05", b"\x69\x05"),
    ("break off", b"\x05\x06", b"\x69\x06"),
    ("dtr?", b"\x05\x07", b"\x69\x08"),
    ("dtr on", b"\x05\x08", b"\x69\x08"),
    ("dtr off", b"\x05\x09", b"\x69\x09"),
    ("rts?", b"\x05\x0a", b"\x69\x0b"),
    ("rts on", b"\x05\x0b", b"\x69\x0b"),
    ("rts off", b"\x05\x0c", b"\x69\x0c"),
    ("inbound flow?", b"\x05\x0d", b"\x69\x0e"),
    ("inbound flow none", b"\x05\x0e", b"\x69\x0e"),
    ("inbound flow XON/XOFF", b"\x05\x0f", b"\x69\x0f"),
    ("inbound flow hardware without the other", b"\x05\x10", b"\x69\x0e"),
    ("flow DCD, which no driver has", b"\x05\x11", b"\x69\x01"),
    ("inbound flow DTR without the other", b"\x05\x12", b"\x69\x0e"),
    ("flow DSR", b"\x05\x13", b"\x69\x13"),
    ("control 20", b"\x05\x14", b"\x69\x01"),
    ("control of no byte", b"\x05", b"\x69\x01"),
    ("line state?", b"\x06", b"\x6a\x60"),
    ("line state? with a value", b"\x06\x00", b"\x6a\x60"),
    ("line state? with too much", b"\x06\x00\x00", b"\x6a\x60"),
    ("modem state?", b"\x07", b"\x6b\xb0"),
    ("modem state? with a value", b"\x07\xff", b"\x6b\xb0"),
    ("modem state? with too much", b"\x07\x00\x00", b"\x6b\xb0"),
    ("line state mask", b"\x0a\xff", b"\x6e\xff"),
    ("line state mask of no byte", b"\x0a", b"\x6e\x00"),
    ("modem state mask", b"\x0b\x0f", b"\x6f\x0f"),
    ("modem state mask of no byte", b"\x0b", b"\x6f\xff"),
    ("purge received", b"\x0c\x01", b"\x70\x01"),
    ("purge unsent", b"\x0c\x02", b"\x70\x02"),
    ("purge both", b"\x0c\x03", b"\x70\x03"),
    ("purge 9", b"\x0c\x09", b"\x70\x09"),
]


@pytest.mark.parametrize(("payload", "answer"), [case[1:] for case in ANSWERS], ids=[case[0] for case in ANSWERS])
async def test_every_request_is_answered_with_the_value_in_effect(payload: bytes, answer: bytes) -> None:
    cable = Cable()
    cable.refused_baudrates = {7}
    async with serving(plan("cable", com(), line=LINE), cables=[cable]) as served:
        client = await served.telnet()
        client.raw.clear()
        await client.ask(payload)
        wire = client.codec.encode_subnegotiation(44, answer)
        assert bytes(client.raw).startswith(wire)
        assert cable.near is not None
        # The same question afterwards has the same answer: what was said is in effect.
        question = {0x65: b"\x01\0\0\0\0", 0x66: b"\x02\0", 0x67: b"\x03\0", 0x68: b"\x04\0"}.get(answer[0])
        if question and answer[1:2] not in (b"\x0a", b"\x08"):
            client.raw.clear()
            await client.ask(question)
            assert bytes(client.raw) == wire


async def test_what_has_no_answer_has_none() -> None:
    cable = Cable()
    async with serving(plan("cable", com(), line=LINE), cables=[cable]) as served:
        client = await served.telnet()
        client.raw.clear()
        for payload in (b"", b"\x08", b"\x09", b"\x32\x01", b"\xff", b"\x00a client's name", b"\x0c"):
            client.subnegotiate(payload)
        client.send_telnet(b"\xff\xfa\xff\xf0\xff\xfa\x18\x01\xff\xf0")  # suboptions of no option and of another one
        await settle()
        assert bytes(client.raw) == b""
        assert await client.ask(SetBaudrate(0)) == SetBaudrate(9600)


async def test_settings_reach_the_driver_and_no_ops_do_not() -> None:
    cable = Cable()
    async with serving(plan("cable", com(), line=LINE), cables=[cable]) as served:
        client = await served.telnet()
        moved = list(cable.moved)
        for message in (SetBaudrate(9600), SetDatasize(8), SetParity(3), SetStopsize(1), SetControl(1), SetControl(14)):
            assert await client.ask(message) == message
        for message in (SetControl(6), SetControl(8), SetControl(11)):
            assert await client.ask(message) == message
        assert cable.configured == []
        assert cable.moved == moved
        for message in (SetBaudrate(1200), SetDatasize(5), SetParity(2), SetStopsize(3), SetControl(3)):
            assert await client.ask(message) == message
        assert cable.configured[-1] == LineSettings(
            1200, 5, Parity.ODD, StopBits.ONE_AND_HALF, Flow.RTSCTS, Flow.RTSCTS
        )
        assert len(cable.configured) == 5
        assert await client.ask(SetDatasize(8)) == SetDatasize(8)
        assert await client.ask(SetStopsize(0)) == SetStopsize(2)  # of one and a half a UART makes two


async def test_cisco_form_does_not_stick() -> None:
    cable = Cable()
    async with serving(plan("cable", com(), line=LINE), cables=[cable]) as served:
        client = await served.telnet()
        assert await client.ask(b"\x01\x0f") == SetBaudrate(230400, one_byte=True)
        assert await client.ask(SetBaudrate(0)) == SetBaudrate(230400)


# Modem lines and errors.


async def test_modem_lines_are_told_within_100_ms_and_by_mask() -> None:
    cable = Cable()
    async with serving(plan("cable", com()), cables=[cable]) as served:
        client, deaf = await served.telnet(), await served.telnet()
        assert await deaf.ask(SetModemstateMask(ModemState(0))) == SetModemstateMask(ModemState(0))
        await settle()
        heard_before = len(deaf.answers)
        for change, told in (
            ({"rts": False}, ModemState.DSR | ModemState.CD | ModemState.DELTA_CTS),
            ({"rts": True}, ALL_UP | ModemState.DELTA_CTS),
            ({"dtr": False}, ModemState.CTS | ModemState.DELTA_DSR | ModemState.DELTA_CD),
        ):
            began = asyncio.get_running_loop().time()
            cable.far.set_modem_lines(**change)
            assert (await client.told(NotifyModemstate)).bits == told
            assert asyncio.get_running_loop().time() - began < 0.1
        cable.ring = ModemLines.RI
        assert (await client.told(NotifyModemstate)).bits == ModemState.CTS | ModemState.RI
        cable.ring = ModemLines(0)
        assert (await client.told(NotifyModemstate)).bits == ModemState.CTS | ModemState.TRAILING_EDGE_RI
        assert len(deaf.answers) == heard_before
        assert await deaf.ask(NotifyModemstate()) == NotifyModemstate(ModemState.CTS)


async def test_lines_are_watched_only_while_somebody_asked() -> None:
    cable = Cable()
    async with serving(plan("cable", com(), raw()), cables=[cable]) as served:
        await served.raw()
        await settle(0.2)
        calls = cable.calls
        await asyncio.sleep(60)
        assert cable.calls == calls
        client = await served.telnet()
        await asyncio.sleep(1)
        assert cable.calls > calls + 10
        await client.close()
        await until(lambda: not served.service("rfc2217").clients)
        calls = cable.calls
        await asyncio.sleep(60)
        assert cable.calls == calls


@pytest.mark.parametrize(
    ("error", "bit"),
    [
        ("overrun", LineState.OVERRUN_ERROR),
        ("buffer_overrun", LineState.OVERRUN_ERROR),
        ("parity", LineState.PARITY_ERROR),
        ("frame", LineState.FRAMING_ERROR),
        ("breaks", LineState.BREAK_DETECT),
    ],
)
async def test_line_errors_are_told_by_mask(error: str, bit: LineState) -> None:
    cable = Cable()
    async with serving(plan("cable", com()), cables=[cable]) as served:
        client, deaf = await served.telnet(), await served.telnet()
        mask = LineState.OVERRUN_ERROR | LineState.PARITY_ERROR | LineState.FRAMING_ERROR | LineState.BREAK_DETECT
        assert await client.ask(SetLinestateMask(mask)) == SetLinestateMask(mask)
        await settle()
        count = len(deaf.answers)
        assert cable.near is not None
        began = asyncio.get_running_loop().time()
        cable.near.count(**{error: 3})
        assert (await client.told(NotifyLinestate)).bits == bit
        assert asyncio.get_running_loop().time() - began < 0.1
        assert len(deaf.answers) == count


async def test_an_empty_transmitter_and_data_are_told_if_asked_for() -> None:
    cable = Cable()
    line = LineSettings(115200, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
    async with serving(plan("cable", com(), line=line), cables=[cable]) as served:
        client = await served.telnet()
        empty = LineState.TRANSFER_HOLDING_REGISTER_EMPTY | LineState.TRANSFER_SHIFT_REGISTER_EMPTY
        await client.ask(SetLinestateMask(empty | LineState.DATA_READY))
        await client.ask(SetModemstateMask(ModemState(0)))
        cable.far.set_modem_lines(rts=False)
        client.send(b"x")
        assert (await client.told(NotifyLinestate)).bits == LineState(0)
        cable.far.set_modem_lines(rts=True)
        assert (await client.told(NotifyLinestate)).bits == empty
        cable.far.write(b"x")
        assert (await client.told(NotifyLinestate)).bits == empty | LineState.DATA_READY


async def test_a_lost_device_shows_as_lost_carrier() -> None:
    cable = Cable()
    async with serving(plan("cable", com(when_down="hold")), cables=[cable]) as served:
        client = await served.telnet()
        cable.unplug()
        lost = ModemState.DELTA_CTS | ModemState.DELTA_DSR | ModemState.DELTA_CD
        assert (await client.told(NotifyModemstate)).bits == lost
        cable.plug()
        assert (await client.told(NotifyModemstate)).bits == ALL_UP | lost


async def test_a_line_without_modem_lines_shows_a_device_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    cable = Cable()
    async with serving(plan("cable", com()), cables=[cable]) as served:
        assert cable.near is not None
        monkeypatch.setattr(cable.near, "report", replace(cable.near.report, modem_lines=False))
        monkeypatch.setattr(cable.near, "modem_lines", lambda: None)
        monkeypatch.setattr(cable.near, "set_modem_lines", lambda **_levels: None)
        client = await served.telnet()
        assert client.answers == [NotifyModemstate(ALL_UP)]
        for value in (9, 12, 8, 11):
            assert await client.ask(SetControl(value)) == SetControl(value)
            assert await client.ask(SetControl(7 if value in (8, 9) else 10)) == SetControl(value)


# Who controls.


async def test_the_first_client_controls_and_hands_over() -> None:
    cable = Cable()
    async with serving(plan("cable", com(), line=LINE), cables=[cable]) as served:
        first, second = await served.telnet(), await served.telnet()
        assert [client.controls for client in served.service("rfc2217").clients] == [True, False]
        assert await second.ask(SetBaudrate(1200)) == SetBaudrate(9600)
        assert await second.ask(SetControl(9)) == SetControl(8)
        assert await second.ask(SetControl(5)) == SetControl(6)
        assert await second.ask(PurgeData(1)) == PurgeData(1)
        assert await first.ask(SetBaudrate(2400)) == SetBaudrate(2400)
        await until(lambda: second.answers[-1] == SetBaudrate(2400))
        await first.close()
        await until(lambda: len(served.service("rfc2217").clients) == 1)
        assert served.service("rfc2217").clients[0].controls
        assert await second.ask(SetBaudrate(0)) == SetBaudrate(2400)  # nothing changes with the hand-over
        assert await second.ask(SetBaudrate(1200)) == SetBaudrate(1200)


async def test_a_client_that_has_said_its_last_hands_over_and_still_hears_at_its_speed() -> None:
    """pyserial that closes and comes back at once with another speed must not find itself in the way."""
    cable = Cable()
    async with serving(plan("cable", com(), line=LINE), cables=[cable]) as served:
        first = await served.telnet()
        assert await first.ask(SetBaudrate(2400)) == SetBaudrate(2400)
        first.half_close()
        await until(lambda: served.service("rfc2217").clients[0].state == "half-closed")
        assert served.line().settings.baudrate == 2400
        cable.far.write(b"late answer")
        await first.hears(b"late answer")
        second = await served.telnet()
        assert await second.ask(SetBaudrate(1200)) == SetBaudrate(1200)
        await until(lambda: len(served.service("rfc2217").clients) == 1, within=30)
        assert served.line().settings.baudrate == 1200
        await second.close()
        await until(lambda: served.line().settings == LINE, within=30)


async def test_any_client_controls() -> None:
    cable = Cable()
    async with serving(plan("cable", com(control=WhoControls.ANY), line=LINE), cables=[cable]) as served:
        first, second = await served.telnet(), await served.telnet()
        assert await first.ask(SetBaudrate(1200)) == SetBaudrate(1200)
        assert await second.ask(SetBaudrate(2400)) == SetBaudrate(2400)
        await second.close()
        await until(lambda: len(served.service("rfc2217").clients) == 1)
        assert served.line().settings.baudrate == 2400


async def test_nobody_controls() -> None:
    cable = Cable()
    async with serving(plan("cable", com(control=WhoControls.NONE), line=LINE), cables=[cable]) as served:
        client = await served.telnet()
        moved = list(cable.moved)
        assert await client.ask(SetBaudrate(1200)) == SetBaudrate(9600)
        assert await client.ask(SetControl(9)) == SetControl(8)
        client.send_telnet(b"\xff\xf3after")
        await until(lambda: cable.heard == b"after")
        assert (cable.configured, cable.moved) == ([], moved)
        assert cable.far.counts.breaks == 1  # telnet's own break needs no control (B1)


async def test_others_are_told_of_changes_to_what_they_have_used() -> None:
    """Only that: pyserial dies of an answer to a request that it has never made."""
    cable = Cable()
    async with serving(plan("cable", com(max_clients=4), raw(), line=LINE), cables=[cable]) as served:
        first, user, newcomer = await served.telnet(), await served.telnet(), await served.telnet()
        await served.raw()
        await user.ask(SetBaudrate(0))
        await user.ask(SetControl(7))
        count, silent = len(user.answers), len(newcomer.answers)
        own = len(first.answers)
        await first.ask(SetBaudrate(1200))
        await first.ask(SetParity(1))
        await first.ask(SetControl(9))
        await settle()
        assert user.answers[count:] == [SetBaudrate(1200), SetControl(9)]
        assert newcomer.answers[silent:] == []
        assert first.answers[own:] == [SetBaudrate(1200), SetParity(1), SetControl(9)]


async def test_the_configured_settings_come_back_with_the_last_controlling_client() -> None:
    """And not before its bytes have left at the speed that it has set: 4 KB take longer than linger."""
    cable = Cable(paced=True)
    async with serving(plan("cable", com(), raw(), line=LINE), cables=[cable]) as served:
        await served.raw()
        client = await served.telnet()
        moved = list(cable.moved)
        await client.ask(SetBaudrate(4800))
        client.send(bytes(4000))
        await until(lambda: served.line().sent == 4000)
        await client.reset()
        await until(lambda: not served.service("rfc2217").clients)
        await until(lambda: len(cable.heard) > 3900, within=20)
        assert served.line().settings.baudrate == 4800
        await until(lambda: served.line().settings == LINE)
        assert len(cable.heard) == 4000
        assert cable.moved == moved


async def test_dtr_and_rts_stay_when_clients_come_and_go() -> None:
    cable = Cable()
    async with serving(plan("cable", com(half_close=0.0)), cables=[cable]) as served:
        await settle()
        moved = list(cable.moved)
        for _ in range(3):
            client = await served.telnet()
            await client.close()
        assert cable.moved == moved
        client = await served.telnet()
        await client.ask(SetControl(9))
        await client.close()
        await settle(1)
        assert len(cable.moved) == len(moved) + 1
        client = await served.telnet()
        assert await client.ask(SetControl(7)) == SetControl(9)
