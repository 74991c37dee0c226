"""RFC 2217 clients on a line: telnet, the order of data and requests, break and suspend, clients that misbehave."""

import asyncio
import socket

import pytest

from nportpy.linesettings import Flow, LineSettings, ModemLines, Parity
from nportpy.modes.rfc2217_base import WhoControls
from nportpy.network.service import Direction
from nportpy.port.loopback import Cable
from nportpy.protocols import rfc2217
from nportpy.protocols.packing import PackingSettings
from nportpy.protocols.rfc2217 import ModemState, NotifyModemstate, PurgeData, SetBaudrate, SetControl, Signature
from tests.support.serving import TelnetClient, com, plan, raw, serving, settle, until

LINE = LineSettings(9600, 8, Parity.EVEN)
ALL_UP = ModemState.CTS | ModemState.DSR | ModemState.CD


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


@pytest.mark.parametrize("control", list(WhoControls))
async def test_b1_a_break_key_is_a_break_whoever_controls_the_line(control: WhoControls) -> None:
    """Plain telnet: the client knows no option 44, and refuses or ignores all others."""
    cable = Cable()
    async with serving(plan("cable", com(control=control, max_clients=4)), cables=[cable]) as served:
        for controls in (False, True):
            if controls:
                other = await served.telnet()
                assert await other.ask(SetControl(4)) == SetControl(6)
            client = await served.telnet(agrees=False)
            cable.listener.heard.clear()
            began = asyncio.get_running_loop().time()
            client.send_telnet(b"before\xff\xf3after")
            await until(lambda: cable.near is not None and cable.near.breaking)
            assert cable.heard == b"before"
            await until(lambda: cable.heard == b"beforeafter")
            assert 0.24 < asyncio.get_running_loop().time() - began < 0.3
        assert served.line().settings.baudrate == 115200


async def test_b1_who_may_not_write_may_not_break() -> None:
    cable = Cable()
    async with serving(plan("cable", com(direction=Direction.TO_NETWORK)), cables=[cable]) as served:
        client = await served.telnet(agrees=False)
        client.send_telnet(b"\xff\xf3x")
        await settle(0.5)
        assert cable.far.counts.breaks == 0


async def test_b1_a_break_key_does_not_end_the_break_of_another_client() -> None:
    cable = Cable()
    async with serving(plan("cable", com(max_clients=4)), cables=[cable]) as served:
        other = await served.telnet()
        assert await other.ask(SetControl(5)) == SetControl(5)
        client = await served.telnet(agrees=False)
        client.send_telnet(b"\xff\xf3")
        await settle(0.5)
        assert cable.near is not None
        assert cable.near.breaking
        assert await other.ask(SetControl(6)) == SetControl(6)
        assert cable.far.counts.breaks == 1


@pytest.mark.real
async def test_b2_a_synch_loses_no_byte() -> None:
    cable = Cable()
    async with serving(plan("cable", com(max_clients=4)), cables=[cable]) as served:
        for order in range(3):
            cable.listener.heard.clear()
            with socket.create_connection(("127.0.0.1", served.port("rfc2217"))) as sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                await asyncio.sleep(0.05)
                for letters in (b"AB", b"EF"):
                    if order == 0:
                        sock.sendall(letters)
                        sock.send(b"\xff\xf2", socket.MSG_OOB)
                        sock.sendall(bytes(byte + 2 for byte in letters))
                    elif order == 1:  # all at once
                        sock.send(letters + b"\xff\xf2", socket.MSG_OOB)
                        sock.sendall(bytes(byte + 2 for byte in letters))
                    else:  # the IAC by itself, as telnet does it
                        sock.sendall(letters + b"\xff")
                        sock.send(b"\xf2", socket.MSG_OOB)
                        sock.sendall(bytes(byte + 2 for byte in letters))
                await until(lambda: len(cable.heard) >= 8)
                assert cable.heard == b"ABCDEFGH"


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
@pytest.mark.long
async def test_a_flood_that_is_not_fetched_stays_bounded(flood: bytes) -> None:
    cable, other = Cable(), Cable("other")
    plans = plan("cable", com(control=WhoControls.ANY)), plan("other", raw())
    async with serving(*plans, cables=[cable, other]) as served:
        client = await served.telnet(agrees=False, reading=False)
        neighbour = await served.raw(port="other")
        data = flood * (200_000 // len(flood))
        client.send_telnet(data)
        most = 0
        for _ in range(100):
            other.far.write(b"x")
            neighbour.send(b"y")
            await settle(0.02)
            if clients := served.service("rfc2217").clients:
                most = max(most, clients[0].waiting)
        assert most < 200_000
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

        session = next(iter(served.gateway._ports.values())).services.running[1].runs.sessions[0]
        monkeypatch.setattr(session, "_codec", None)
        with caplog.at_level("CRITICAL"):
            cable.far.write(b"\xffhello")
            await until(lambda: client.lost)
        await neighbour.hears(b"\xffhello")
        await other.hears(b"\xffhello")
        session = next(iter(served.gateway._ports.values())).services.running[1].runs.sessions[0]
        monkeypatch.setattr(session, "_obey", broken)
        with caplog.at_level("CRITICAL"):
            other.request(SetBaudrate(1200))
            await until(lambda: other.lost)
        assert served.results("rfc2217") == {"accepted": 2, "error": 2}
        neighbour.send(b"alive")
        await until(lambda: cable.heard == b"alive")


async def test_one_way_is_of_data_only() -> None:
    cable = Cable()
    async with serving(plan("cable", com(direction=Direction.TO_NETWORK), line=LINE), cables=[cable]) as served:
        client = await served.telnet()
        client.send(b"plain")
        client.send(b"\xff escaped")
        assert await client.ask(SetBaudrate(4800)) == SetBaudrate(4800)
        cable.far.write(b"heard")
        await client.hears(b"heard")
        assert cable.heard == b""
        assert served.service("rfc2217").clients[0].received == 14
    cable = Cable()
    async with serving(plan("cable", com(direction=Direction.TO_LINE), line=LINE), cables=[cable]) as served:
        client = await served.telnet()
        cable.far.write(b"unheard")
        assert await client.ask(SetBaudrate(4800)) == SetBaudrate(4800)
        client.send(b"sent")
        await until(lambda: cable.heard == b"sent")
        assert not client.heard
        assert served.line().unheard == 7


async def test_a_purge_reaches_what_waits_to_be_a_segment() -> None:
    cable = Cable()
    packing = PackingSettings(length=4)
    async with serving(plan("cable", com(packing=packing), line=LINE), cables=[cable]) as served:
        client, second = await served.telnet(), await served.telnet()
        for purged, value in ((False, rfc2217.PurgeValue.TRANSMIT), (True, rfc2217.PurgeValue.RECEIVE)):
            cable.far.write(b"abc")
            await settle()
            await second.ask(PurgeData(rfc2217.PurgeValue.BOTH))  # it does not control the line
            await client.ask(PurgeData(value))
            cable.far.write(b"defg")
            await client.hears(b"defg" if purged else b"abcd")
            await client.ask(PurgeData(rfc2217.PurgeValue.BOTH))
            client.heard.clear()


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
