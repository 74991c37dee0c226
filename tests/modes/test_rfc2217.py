"""RFC 2217 clients on a line: the option table over a real socket, order, modem lines, who controls."""

import asyncio
from dataclasses import replace

import pytest

from nportpy import __version__
from nportpy.line.loopback import Cable
from nportpy.linesettings import Flow, LineSettings, ModemLines, Parity, StopBits
from nportpy.modes.rfc2217 import WhoControls
from nportpy.protocols import rfc2217
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
    Signature,
)
from tests.support.serving import TelnetClient, com, plan, raw, serving, settle, until

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


async def test_the_opening_is_negotiated_once() -> None:
    cable = Cable()
    async with serving(plan("cable", com()), cables=[cable]) as served:
        client = await served.telnet(agrees=False)
        await settle()
        will, do = b"\xff\xfb", b"\xff\xfd"
        assert bytes(client.raw) == b"".join(
            (will + b"\x03", will + b"\x01", will + b"\0", do + b"\x03", do + b"\0", do + b"\x2c")
        )
        client.raw.clear()
        client.send_telnet(do + b"\x03" + do + b"\x01" + do + b"\0" + will + b"\x03" + will + b"\0" + will + b"\x2c")
        client.send_telnet((do + b"\0" + will + b"\0") * 50)  # requests for what is so already
        await settle()
        assert bytes(client.raw) == b"\xff\xfa\x2c\x6b\xb0\xff\xf0"  # the modem state, and no answer to the others
        client.raw.clear()
        client.send_telnet(will + b"\x18" + do + b"\x22")
        await settle()
        assert bytes(client.raw) == b"\xff\xfe\x18\xff\xfc\x22"


async def test_a_client_need_not_wait_for_the_option() -> None:
    cable = Cable()
    async with serving(plan("cable", com(), line=LINE), cables=[cable]) as served:
        client = await served.telnet(agrees=False)
        client.send_telnet(b"\xff\xfa\x2c\x01\0\0\x12\xc0\xff\xf0")
        await until(lambda: b"\xff\xfa\x2c\x65\0\0\x12\xc0\xff\xf0" in client.raw)
        assert [settings.baudrate for settings in cable.configured] == [4800]


async def test_requests_in_pieces() -> None:
    cable = Cable()
    async with serving(plan("cable", com(), line=LINE), cables=[cable]) as served:
        client = await served.telnet()
        for byte in b"a\xff\xffb\xff\xfa\x2c\x01\0\0\xff\xff\x25\xff\xf0c":
            client.send_telnet(bytes((byte,)))
            await settle(0.002)
        await until(lambda: len(client.answers) > 1)
        assert client.answers[-1] == SetBaudrate(65317)
        await until(lambda: cable.heard == b"a\xffbc")


async def test_data_with_0xff_goes_both_ways() -> None:
    cable = Cable()
    async with serving(plan("cable", com()), cables=[cable]) as served:
        client = await served.telnet()
        everything = bytes(range(256)) * 100 + b"\xff" * 1001 + b"\r\0\r\n\r"
        client.send(everything)
        await until(lambda: cable.heard == everything)
        cable.far.write(everything)
        await client.hears(everything)
        assert (served.service("rfc2217").clients[0].received, served.service("rfc2217").clients[0].sent) == (
            len(everything),
            len(everything),
        )


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


# Order.


async def test_data_leave_before_what_was_asked_after_them() -> None:
    """One character takes 0.83 ms at 1200 8N1 and 10 times less at 12000."""
    cable = Cable(paced=True)
    line = LineSettings(1200)
    async with serving(plan("cable", com(), line=line), cables=[cable], drain=30.0) as served:
        client = await served.telnet()
        loop = asyncio.get_running_loop()
        began = loop.time()
        client.send_telnet(b"a" * 120 + b"\xff\xfa\x2c\x01\0\0\x2e\xe0\xff\xf0" + b"b" * 120)
        await until(lambda: len(client.answers) > 1)
        assert 0.99 < loop.time() - began < 1.12
        assert cable.heard.startswith(b"a" * 120)
        assert len(cable.heard) < 130
        await until(lambda: cable.heard == b"a" * 120 + b"b" * 120)
        assert 1.09 < loop.time() - began < 1.3


async def test_a_question_or_a_no_op_does_not_wait() -> None:
    cable = Cable(paced=True)
    async with serving(plan("cable", com(), line=LineSettings(300)), cables=[cable], drain=0.1) as served:
        client = await served.telnet()
        client.send(bytes(100))
        began = asyncio.get_running_loop().time()
        assert await client.ask(SetBaudrate(300)) == SetBaudrate(300)
        assert await client.ask(NotifyModemstate()) == NotifyModemstate(ALL_UP)
        assert await client.ask(PurgeData(2)) == PurgeData(2)
        assert asyncio.get_running_loop().time() - began < 0.1
        assert served.line().purged > 90


async def test_modem_lines_move_in_order_and_at_once() -> None:
    """As esptool resets a chip."""
    cable = Cable()
    async with serving(plan("cable", com()), cables=[cable]) as served:
        client = await served.telnet()
        cable.moved.clear()
        loop = asyncio.get_running_loop()
        sent = []
        for value, pause in ((9, 0.0), (11, 0.1), (8, 0.0), (12, 0.05), (9, 0.0)):
            sent.append(loop.time())
            client.request(SetControl(value))
            await asyncio.sleep(pause)
        await settle()
        lines = [(line, level) for _, line, level in cable.moved]
        # RTS was up already
        assert lines == [
            (ModemLines.DTR, False),
            (ModemLines.DTR, True),
            (ModemLines.RTS, False),
            (ModemLines.DTR, False),
        ]
        for (moved, _, _), asked in zip(cable.moved, [sent[0], *sent[2:]], strict=True):
            assert moved - asked < 0.002


async def test_a_stuck_line_does_not_hold_requests_for_ever() -> None:
    cable = Cable()
    line = LineSettings(115200, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
    async with serving(plan("cable", com(), line=line), cables=[cable], drain=0.1) as served:
        cable.far.set_modem_lines(rts=False)
        client = await served.telnet()
        client.send(b"stuck")
        began = asyncio.get_running_loop().time()
        assert await client.ask(SetControl(1)) == SetControl(1)
        assert 1.0 < asyncio.get_running_loop().time() - began < 1.2
        await until(lambda: cable.heard == b"stuck")


async def test_the_last_characters_in_a_uart_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in no queue that anybody could count."""
    cable = Cable()
    async with serving(plan("cable", com(), line=LineSettings(300)), cables=[cable]) as served:
        client = await served.telnet()
        loop = asyncio.get_running_loop()
        empty_at = loop.time() + 2.0
        assert cable.near is not None
        monkeypatch.setattr(cable.near, "sent", lambda: loop.time() >= empty_at)
        assert await client.ask(SetBaudrate(1200)) == SetBaudrate(1200)
        assert loop.time() >= empty_at


async def test_last_wishes_are_obeyed_after_the_client_has_gone() -> None:
    cable = Cable(paced=True)
    async with serving(plan("cable", com(half_close=0.0), line=LineSettings(1200)), cables=[cable]) as served:
        client = await served.telnet()
        cable.moved.clear()
        client.send_telnet(b"a" * 120 + b"\xff\xfa\x2c\x05\x0c\xff\xf0" + b"b" * 12)
        await settle()
        await client.close()
        await until(lambda: not served.service("rfc2217").clients)
        await until(lambda: cable.heard == b"a" * 120 + b"b" * 12)
        assert [(line, level) for _, line, level in cable.moved] == [(ModemLines.RTS, False)]


async def test_last_wishes_end_with_the_device_and_with_linger() -> None:
    cable = Cable()
    async with serving(plan("cable", com(half_close=0.0)), cables=[cable]) as served:
        client = await served.telnet()
        client.send_telnet(b"\xff\xf3" * 1000 + b"never")  # four minutes of breaks
        await settle()
        await client.reset()
        cable.far.write(b"x")  # a connection that is not read shows its end only so
        await settle(10)
        assert cable.heard == b""
        breaks = cable.far.counts.breaks
        assert 10 < breaks < 20
        client = await served.telnet()
        client.send_telnet(b"\xff\xf3" * 1000 + b"never")
        await settle(0.1)
        cable.unplug()
        await until(lambda: client.lost)
        cable.plug()
        await until(lambda: served.line().state == "up")
        await settle(5)
        assert cable.far.counts.breaks == breaks + 1
        assert cable.heard == b""


# Break, suspend, purge.


async def test_breaks() -> None:
    cable = Cable()
    async with serving(plan("cable", com()), cables=[cable]) as served:
        client = await served.telnet()
        assert cable.near is not None
        assert await client.ask(SetControl(5)) == SetControl(5)
        assert cable.near.breaking
        assert await client.ask(SetControl(4)) == SetControl(5)
        assert await client.ask(SetControl(6)) == SetControl(6)
        assert not cable.near.breaking
        began = asyncio.get_running_loop().time()
        client.send_telnet(b"before\xff\xf3after")
        await until(lambda: cable.near is not None and cable.near.breaking)
        assert cable.heard == b"before"
        await until(lambda: cable.heard == b"beforeafter")
        assert 0.24 < asyncio.get_running_loop().time() - began < 0.3
        assert not cable.near.breaking


async def test_a_break_ends_with_its_client() -> None:
    cable = Cable()
    async with serving(plan("cable", com()), cables=[cable]) as served:
        client = await served.telnet()
        await client.ask(SetControl(5))
        await client.close()
        await until(lambda: cable.near is not None and not cable.near.breaking)


async def test_suspend_stops_the_data_loses_nothing_and_never_touches_the_uart() -> None:
    cable = Cable()
    line = LineSettings(115200, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
    async with serving(plan("cable", com(), line=line), cables=[cable]) as served:
        cable.far.settings = line
        client = await served.telnet()
        client.subnegotiate(b"\x08")
        await settle()
        assert served.service("rfc2217").clients[0].state == "suspended"
        for _ in range(50):
            cable.far.write(b"x" * 1000)
            await settle()
        assert client.heard == b""
        assert await client.ask(SetControl(0)) == SetControl(3)  # it is our sending that stops
        assert served.service("rfc2217").clients[0].waiting < 10_000  # the line itself waits for a lone client
        client.subnegotiate(b"\x09")
        await client.hears(b"x" * 50_000)
        assert cable.configured == []
        assert served.service("rfc2217").clients[0].state == "open"


async def test_a_suspended_client_beside_another_is_dropped_at_its_allowance() -> None:
    cable = Cable()
    async with serving(plan("cable", com(allowance=50_000)), cables=[cable]) as served:
        suspended, other = await served.telnet(), await served.telnet()
        suspended.subnegotiate(b"\x08")
        await settle()
        for _ in range(60):
            cable.far.write(b"x" * 1000)
            await settle()
        await other.hears(b"x" * 60_000)
        await until(lambda: suspended.lost)
        assert served.results("rfc2217")["slow"] == 1
        assert served.service("rfc2217").dropped > 50_000


async def test_purge() -> None:
    cable = Cable()
    line = LineSettings(115200, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
    async with serving(plan("cable", com(), line=line), cables=[cable]) as served:
        cable.far.set_modem_lines(rts=False)
        client = await served.telnet()
        client.send(b"unsent")
        await until(lambda: served.line().unsent == 6)
        client.subnegotiate(b"\x08")
        cable.far.write(b"unheard")
        await settle()
        assert await client.ask(PurgeData(3)) == PurgeData(3)
        assert served.line().purged == 6
        cable.far.set_modem_lines(rts=True)
        client.subnegotiate(b"\x09")
        cable.far.write(b"fresh")
        await client.hears(b"fresh")
        assert cable.heard == b""


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
        assert (cable.configured, cable.moved, cable.far.counts.breaks) == ([], moved, 0)


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


# Clients that misbehave.


async def test_who_are_you() -> None:
    cable = Cable()
    async with serving(plan("cable", com(signature="meters, cellar")), cables=[cable]) as served:
        client = await served.telnet()
        assert await client.ask(Signature()) == Signature(b"meters, cellar")
        client.raw.clear()
        client.send_telnet(b"\xff\xf6")  # AYT: answered with no byte of the line
        await until(lambda: bytes(client.raw) == b"\xff\xf1")
        assert client.heard == b""


@pytest.mark.parametrize(
    "flood",
    [
        b"\xff\xfb\x2c\xff\xfc\x2c",
        b"\xff\xfd\x18\xff\xfb\x1f",
        b"\xff\xfa\xff\xf0",
        b"\xff\xfa\x2c" + b"x" * 5000,
        b"\xff\xfa\x2c\x00\xff\xf0",
        b"\xff\xf6",
        b"\xff",
        b"\xff\xf1a",
    ],
    ids=["on and off", "unknown options", "empty", "endless", "signatures", "ayt", "iac", "nop"],
)
async def test_a_flood_that_is_not_fetched_stays_bounded(flood: bytes) -> None:
    cable, other = Cable(), Cable("other")
    plans = plan("cable", com(control=WhoControls.ANY)), plan("other", raw())
    async with serving(*plans, cables=[cable, other]) as served:
        client = await served.telnet(agrees=False, reading=False)
        neighbour = await served.raw(port="other")
        data = flood * (400_000 // len(flood))
        client.send_telnet(data)
        most = 0
        for _ in range(100):
            other.far.write(b"x")
            neighbour.send(b"y")
            await settle(0.02)
            if clients := served.service("rfc2217").clients:
                most = max(most, clients[0].waiting)
        assert most < 400_000
        await neighbour.hears(b"x" * 100)
        assert other.heard == b"y" * 100
        client.transport.abort()


async def test_garbage_makes_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    cable = Cable()
    async with serving(plan("cable", com()), cables=[cable]) as served:
        with caplog.at_level("INFO"):
            client = await served.telnet()
            client.send_telnet(b"\xff\xfa\xff\xf0" * 10_000 + b"end")
            await until(lambda: cable.heard == b"end")
        assert [record.message for record in caplog.records].count("telnet garbage") == 1


async def test_a_bug_in_one_session_ends_that_session_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cable = Cable()
    async with serving(plan("cable", com(), raw()), cables=[cable]) as served:
        client, neighbour, other = await served.telnet(), await served.raw(), await served.telnet()

        def broken(*_arguments: object) -> None:
            raise ZeroDivisionError("a bug")

        session = next(iter(served.gateway._ports.values())).services[1].listener.sessions[0]
        monkeypatch.setattr(session, "_codec", None)
        with caplog.at_level("CRITICAL"):
            cable.far.write(b"\xffhello")
            await until(lambda: client.lost)
        await neighbour.hears(b"\xffhello")
        await other.hears(b"\xffhello")
        session = next(iter(served.gateway._ports.values())).services[1].listener.sessions[0]
        monkeypatch.setattr(session, "_obey", broken)
        with caplog.at_level("CRITICAL"):
            other.request(SetBaudrate(1200))
            await until(lambda: other.lost)
        assert served.results("rfc2217") == {"accepted": 2, "error": 2}
        neighbour.send(b"alive")
        await until(lambda: cable.heard == b"alive")


@pytest.mark.real
async def test_rfc2217_on_real_loops() -> None:
    cable = Cable()
    async with serving(plan("cable", com()), cables=[cable]) as served:
        client: TelnetClient = await served.telnet()
        assert await client.ask(SetBaudrate(4800)) == SetBaudrate(4800)
        client.send(b"\xff\r")
        await until(lambda: cable.heard == b"\xff\r")
        cable.far.write(b"\xff\r")
        await client.hears(b"\xff\r")
        client.request(rfc2217.SetControl(9))
        await until(lambda: [move[1:] for move in cable.moved[-1:]] == [(ModemLines.DTR, False)])
        await client.close()
