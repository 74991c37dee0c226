"""UDP: the line in datagrams, and datagrams for the line."""

import asyncio
import errno
import random
from ipaddress import IPv4Network, ip_address
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.linesettings import Flow, LineSettings
from nportpy.modes.udp import UdpMode
from nportpy.modes.udp_base import Accept, Range, UdpSettings
from nportpy.network.addresses import Endpoint, listen_datagrams, local_endpoint
from nportpy.network.datagrams import is_from
from nportpy.network.service import Direction
from nportpy.port.loopback import Cable
from nportpy.protocols.packing import Packing, PackingSettings
from nportpy.throttle import Throttle
from tests.support.datagrams import Peer, peers, sending
from tests.support.lines import Client as Listening
from tests.support.lines import running
from tests.support.serving import settle, until

LOOP = ip_address("127.0.0.1")

# Ranges.


def test_a_range_is_every_address_in_it() -> None:
    four = Range(ip_address("192.0.2.254"), ip_address("192.0.3.1"), 4001)
    assert [str(address) for address in four.addresses()] == ["192.0.2.254", "192.0.2.255", "192.0.3.0", "192.0.3.1"]
    low = Range(ip_address("::1"), ip_address("::2"), 4001)
    assert [address.version for address in low.addresses()] == [6, 6]
    local = ip_address("fe80::1%eth0")
    assert Range(local, local, 4001).addresses() == (local,)


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        ("192.0.2.1", "::1", "not of one kind"),
        ("192.0.2.2", "192.0.2.1", "192.0.2.1 comes before"),
        ("192.0.2.0", "192.0.2.64", "65 addresses"),
        ("::", "ffff::", "are more than 64"),
    ],
)
def test_what_is_no_range(first: str, last: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Range(ip_address(first), ip_address(last), 4001)


def test_the_widest_range() -> None:
    assert len(Range(ip_address("192.0.2.0"), ip_address("192.0.2.63"), 1).addresses()) == 64


# Both ways.


@pytest.mark.real
async def test_datagrams_go_both_ways() -> None:
    async with peers() as (peer,), sending(peer.range) as udp:
        for number in range(50):
            udp.cable.far.write(b"from the line %d" % number)
            await peer.hears(b"from the line %d" % number)
            peer.send(b"<%02d>" % number, udp.here)
            await until(lambda: len(udp.cable.heard) == 4 * (number + 1))  # noqa: B023 - awaited in its own round
        assert set(peer.origins) == {("127.0.0.1", udp.here.port)}
        status = udp.mode.status()
        assert (status.port, status.service, status.listen) == ("meters", "udp", (str(udp.here),))
        (seen,) = status.clients
        assert (seen.address, seen.port, seen.state, seen.received) == ("127.0.0.1", peer.port, "open", 200)
        assert status.results == {"accepted": 1}


async def test_all_destinations_hear_the_line() -> None:
    async with peers(3) as some:
        wide = Peer("127.0.0.9")
        same = [Peer(f"127.0.0.{number}", wide.port) for number in range(10, 13)]
        ranges = [peer.range for peer in some] + [Range(ip_address("127.0.0.9"), ip_address("127.0.0.12"), wide.port)]
        async with sending(*ranges, listen=(Endpoint("0.0.0.0", 0),)) as udp:
            for word in (b"one", b"two"):
                udp.cable.far.write(word)
                for peer in (*some, wide, *same):
                    await peer.hears(word)
            assert not udp.results
        for peer in (wide, *same):
            peer.sock.close()


async def test_datagrams_stay_whole_and_in_order_among_senders() -> None:
    async with peers(4) as four, sending() as udp:
        for number in range(50):
            for peer in four:
                peer.send(b"<%d:%02d>" % (peer.port, number) * 10, udp.here)
        await until(lambda: len(udp.cable.heard) == sum(4 * [50 * 10 * len(b"<%d:%02d>" % (four[0].port, 0))]))
        for peer in four:
            places = [udp.cable.heard.index(b"<%d:%02d>" % (peer.port, number) * 10) for number in range(50)]
            assert places == sorted(places)


@pytest.mark.parametrize("size", [0, 1, 1472, 1473, 9000, 65507])
async def test_datagrams_of_any_size_go_to_the_line(size: int) -> None:
    sent = random.Random(size).randbytes(size)
    async with peers() as (peer,), sending() as udp:
        peer.send(sent, udp.here)
        peer.send(b"end", udp.here)
        await udp.line_hears(sent + b"end")


async def test_what_the_line_says_at_once_is_cut() -> None:
    sent = random.Random(1).randbytes(4000)
    async with peers() as (peer,), sending(peer.range) as udp:
        udp.cable.far.write(sent)
        await peer.hears(sent[:1472], sent[1472:2944], sent[2944:])
    async with peers() as (peer,), sending(peer.range, max_datagram=1) as udp:
        udp.cable.far.write(b"abc")
        await peer.hears(b"a", b"b", b"c")


@pytest.mark.parametrize(
    ("listening", "destination"), [("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("::", "::1"), ("::1", "::1")]
)
async def test_addresses_of_both_kinds(listening: str, destination: str) -> None:
    async with (
        peers(host=destination) as (peer,),
        sending(peer.range, listen=(Endpoint(listening, 0),), accept=Accept.DESTINATIONS) as udp,
    ):
        udp.cable.far.write(b"x")
        await peer.hears(b"x")
        assert peer.origins[0][:2] == (destination, udp.here.port)
        peer.send(b"y", udp.here, destination)
        await udp.line_hears(b"y")


async def test_several_listeners_each_for_its_kind(caplog: pytest.LogCaptureFixture) -> None:
    async with peers() as (four,), peers(host="::1") as (six,):
        listen = (Endpoint("::1", 0), Endpoint("127.0.0.1", 0))
        async with sending(four.range, six.range, listen=listen) as udp:
            udp.cable.far.write(b"x")
            await four.hears(b"x")
            await six.hears(b"x")
            four.send(b"4", udp.mode.endpoints[1])
            six.send(b"6", udp.mode.endpoints[0])
            await until(lambda: sorted(udp.cable.heard) == sorted(b"46"))
        assert not caplog.records
        async with sending(four.range, six.range, listen=listen[:1]) as udp:
            udp.cable.far.write(b"y")
            await six.hears(b"y")
        assert [record.message for record in caplog.records] == ["no address to send from"]


async def test_garbage_is_for_the_line() -> None:
    awkward = [b"\xff\xfb\x2c", b"", bytes(1400), random.Random(2).randbytes(1400), b"\0\1\0\0\0\6\1\3\0\0\0\1"]
    async with peers() as (peer,), sending() as udp:
        for each in awkward:
            peer.send(each, udp.here)
        await udp.line_hears(b"".join(awkward))


# Who may send.


async def test_who_is_not_allowed_is_not_heard(caplog: pytest.LogCaptureFixture) -> None:
    async with peers() as (peer,), peers(host="127.0.0.2") as (other,):
        rings = ((IPv4Network("127.0.0.0/30"),), (IPv4Network("127.0.0.1/32"),))
        async with sending(allow=rings, listen=(Endpoint("0.0.0.0", 0),)) as udp:
            for _ in range(5):
                other.send(b"no", udp.here, "127.0.0.1")
            peer.send(b"yes", udp.here, "127.0.0.1")
            await udp.line_hears(b"yes")
            assert udp.results == {"refused_allow": 5, "accepted": 1}
    assert [record.message for record in caplog.records] == ["client refused"]


async def test_only_destinations_are_heard_if_so_set() -> None:
    async with (
        peers(2) as (peer, neighbour),
        peers(host="127.0.0.2") as (other,),
        sending(peer.range, accept=Accept.DESTINATIONS, listen=(Endpoint("0.0.0.0", 0),)) as udp,
    ):
        other.send(b"no", udp.here, "127.0.0.1")
        peer.send(b"yes", udp.here, "127.0.0.1")
        neighbour.send(b"too", udp.here, "127.0.0.1")  # the port is no matter
        await udp.line_hears(b"yestoo")
        assert udp.results == {"refused_allow": 1, "accepted": 2}


async def test_what_we_sent_does_not_come_back_to_the_line() -> None:
    """A broadcast comes back to the machine that sent it."""
    with listen_datagrams(Endpoint("127.0.0.1", 0)) as sock:
        port = local_endpoint(sock).port
    for host in ("127.0.0.1", "0.0.0.0", "::"):
        async with peers() as (peer,), sending(Range(LOOP, LOOP, port), listen=(Endpoint(host, port),)) as udp:
            udp.cable.far.write(b"out")
            await settle()
            peer.send(b"in", udp.here, "127.0.0.1")
            await udp.line_hears(b"in")
            assert udp.results == {"accepted": 1}


def test_whose_datagrams_are_our_own() -> None:
    with listen_datagrams(Endpoint("0.0.0.0", 0)) as sock:
        port = local_endpoint(sock).port
        assert is_from(sock, ("127.0.0.77", port))
        assert not is_from(sock, ("127.0.0.77", port + 1))
        assert not is_from(sock, ("203.0.113.77", port))
    with listen_datagrams(Endpoint("::", 0)) as sock:
        port = local_endpoint(sock).port
        assert is_from(sock, ("::1", port, 0, 0))
        assert is_from(sock, ("::ffff:127.0.0.1", port, 0, 0))
        assert not is_from(sock, ("2001:db8::77", port, 0, 0))
    with listen_datagrams(Endpoint("127.0.0.5", 0)) as sock:
        assert is_from(sock, sock.getsockname())
        assert not is_from(sock, ("127.0.0.6", sock.getsockname()[1]))


async def test_the_sender_that_has_been_silent_longest_is_forgotten() -> None:
    async with peers(40) as many, sending() as udp:
        for number, peer in enumerate(many[:32]):
            peer.send(b"x", udp.here)
            await until(lambda: len(udp.cable.heard) == number + 1)  # noqa: B023 - awaited in its own round
        many[0].send(b"x", udp.here)
        for peer in many[32:]:
            peer.send(b"x", udp.here)
        await until(lambda: len(udp.cable.heard) == 41)
        kept = {sender.peer.port for sender in udp.mode.sessions}
        assert kept == {peer.port for peer in (many[0], *many[9:])}
        assert udp.results == {"accepted": 40, "kicked": 8}


# Answers to who spoke last.


async def test_the_line_answers_who_spoke_last() -> None:
    async with peers(2) as (one, two), sending(reply_to_last=True, reply_time=10.0) as udp:
        udp.cable.far.write(b"to nobody")
        await settle()
        one.send(b"1", udp.here)
        await udp.line_hears(b"1")
        udp.cable.far.write(b"to one")
        await one.hears(b"to one")
        two.send(b"2", udp.here)
        await udp.line_hears(b"12")
        udp.cable.far.write(b"to two")
        await two.hears(b"to two")
        await settle(9)
        udp.cable.far.write(b"still")
        await two.hears(b"still")
        await settle(2)
        udp.cable.far.write(b"too late")
        await settle()
        assert not one.look()
        assert not two.look()
        assert [sender.sent for sender in udp.mode.sessions] == [6, 11]


async def test_nobody_is_answered_unless_so_set() -> None:
    async with peers(2) as (peer, other):
        async with sending() as udp:
            peer.send(b"x", udp.here)
            await udp.line_hears(b"x")
            udp.cable.far.write(b"y")
            await settle()
            assert not peer.look()
        async with sending(other.range, reply_to_last=True) as udp:
            peer.send(b"x", udp.here)
            await udp.line_hears(b"x")
            udp.cable.far.write(b"y")
            await other.hears(b"y")
            assert not peer.look()


@pytest.mark.parametrize(("listening", "asked"), [("0.0.0.0", "127.0.0.5"), ("::", "127.0.0.5"), ("::", "::1")])
async def test_an_answer_comes_from_the_address_that_was_asked(listening: str, asked: str) -> None:
    async with (
        peers(host="::1" if ":" in asked else "127.0.0.1") as (peer,),
        sending(listen=(Endpoint(listening, 0),), reply_to_last=True) as udp,
    ):
        peer.sock.connect((asked, udp.here.port))  # so that it hears nothing but from there
        peer.sock.send(b"x")
        await udp.line_hears(b"x")
        udp.cable.far.write(b"y")
        await peer.hears(b"y")


# What the network does not take.


async def test_what_sending_meets_is_counted_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class Failing:
        def __init__(self, number: int) -> None:
            self.number = number

        def sendto(self, *_: object) -> int:
            raise OSError(self.number, "it said")

    numbers = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENOBUFS, errno.EAGAIN, errno.EMSGSIZE, errno.EPERM)
    async with peers() as (peer,), sending(peer.range) as udp:
        targets = udp.mode._targets
        targets[:0] = [(Failing(number).sendto, ("192.0.2.9", 9)) for number in numbers]
        for _ in range(3):
            udp.cable.far.write(b"x")
            await peer.hears(b"x")
        assert udp.results == {"unsent": 18}
    assert [record.message for record in caplog.records] == ["datagram not sent"] * 6


async def test_a_destination_where_nobody_listens() -> None:
    async with peers(2) as (gone, peer), sending(gone.range, peer.range) as udp:
        gone.sock.close()
        for word in (b"a", b"b", b"c"):
            udp.cable.far.write(word)
            await peer.hears(word)


async def test_an_answer_to_who_has_gone(caplog: pytest.LogCaptureFixture) -> None:
    async with peers(2) as (gone, peer), sending(reply_to_last=True) as udp:
        gone.send(b"x", udp.here)
        await udp.line_hears(b"x")
        gone.sock.close()
        for _ in range(3):
            udp.cable.far.write(b"y")
            await settle()

        class Failing:
            def sendmsg(self, *_: object) -> int:
                raise OSError(errno.EHOSTUNREACH, "No route to host")

        udp.mode.sessions[0].sock = Failing()  # type: ignore[assignment]  # all that is asked of it
        udp.cable.far.write(b"y")
        await until(lambda: udp.results.get("unsent"))
        peer.send(b"z", udp.here)
        await udp.line_hears(b"xz")
    assert [record.message for record in caplog.records] == ["datagram not sent"]


async def test_what_receiving_meets_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async with peers() as (peer,), sending() as udp:

        class Failing:
            def recvmsg(self, *_: object) -> int:
                raise OSError(errno.ECONNREFUSED, "Connection refused")

        udp.mode._read(Failing())  # type: ignore[arg-type]  # all that is asked of it
        with monkeypatch.context() as patched:
            patched.setattr(udp.mode, "_take", lambda *_: 1 / 0)
            peer.send(b"x", udp.here)
            await settle()
        peer.send(b"y", udp.here)
        await udp.line_hears(b"y")


async def test_a_bug_costs_one_datagram(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async with peers() as (peer,), sending(peer.range) as udp:
        with monkeypatch.context() as patched:
            patched.setattr(udp.mode, "_send_whole", lambda _: 1 / 0)
            udp.cable.far.write(b"x")
            await settle()
        udp.cable.far.write(b"y")
        await peer.hears(b"y")
    assert [record.message for record in caplog.records] == ["sending failed"]


# The line.


@pytest.mark.real
async def test_a_flood_towards_a_line_that_takes_nothing_is_bounded_and_counted() -> None:
    cable = Cable()
    line = LineSettings(115200, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
    async with peers() as (peer,), sending(cable=cable, line_settings=line) as udp:
        cable.far.set_modem_lines(rts=False)
        datagrams = [b"%07d:" % number + bytes(992) for number in range(3000)]
        for number, each in enumerate(datagrams):
            peer.send(each, udp.here)
            if number % 10 == 0:
                await asyncio.sleep(0)
        await until(lambda: udp.results.get("refused_full"))
        assert udp.line.unsent() < 100_000
        cable.far.set_modem_lines(rts=True)
        await until(lambda: len(cable.heard) == 1000 * (3000 - udp.results["refused_full"]), within=30)
        whole = [cable.heard[start : start + 1000] for start in range(0, len(cable.heard), 1000)]
        assert whole == sorted(set(whole) & set(datagrams))
        peer.send(b"end", udp.here)
        await until(lambda: cable.heard.endswith(b"end"))
        dropped = udp.results["refused_full"]
    assert udp.mode.overrun == dropped  # as it was, though the sockets are closed


async def test_what_comes_while_the_device_is_away_is_refused() -> None:
    async with peers() as (peer,), sending(peer.range) as udp:
        udp.cable.unplug()
        await until(lambda: not udp.line.up)
        for _ in range(5):
            peer.send(b"stale", udp.here)
        await until(lambda: udp.results.get("refused_down") == 5)
        udp.cable.plug()
        await until(lambda: udp.line.up)
        peer.send(b"fresh", udp.here)
        await udp.line_hears(b"fresh")
        udp.cable.far.write(b"x")
        await peer.hears(b"x")


async def test_a_device_that_is_lost_while_the_line_is_full() -> None:
    cable = Cable()
    line = LineSettings(115200, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
    async with peers() as (peer,), sending(cable=cable, line_settings=line) as udp:
        cable.far.set_modem_lines(rts=False)
        for _ in range(100):
            peer.send(bytes(1000), udp.here)
        await until(lambda: udp.mode._full)
        cable.unplug()
        await until(lambda: udp.results.get("refused_down"))
        cable.far.set_modem_lines(rts=True)
        cable.plug()
        await until(lambda: udp.line.up)
        await settle()
        peer.send(b"fresh", udp.here)
        await until(lambda: cable.heard.endswith(b"fresh"))


async def test_a_neighbour_on_the_line_is_not_disturbed() -> None:
    async with peers() as (peer,), sending(peer.range) as udp:
        other = Listening()
        udp.line.stream.join(other)
        udp.cable.far.write(b"for both")
        await peer.hears(b"for both")
        assert bytes(other.heard) == b"for both"
        udp.line.stream.write(other, b"raw ")
        peer.send(b"udp", udp.here)
        await udp.line_hears(b"raw udp")
        udp.line.stream.leave(other)


# Packing.


async def test_packing_puts_together_what_comes_without_a_gap() -> None:
    cable = Cable(paced=True)
    line = LineSettings(1200)
    packing = PackingSettings(Packing.GAP)
    async with peers() as (peer,), sending(peer.range, cable=cable, line_settings=line, packing=packing) as udp:
        for word in (b"first frame", b"second"):
            cable.far.write(word)
            await peer.hears(word)
        cable.far.write(b"cut sho")
        await settle(2 * line.character_time)
        cable.unplug()
        await until(lambda: peer.look())
        assert b"cut sho".startswith(peer.datagrams[0])
        cable.plug()
        await until(lambda: udp.line.up)
        peer.datagrams.clear()
        cable.far.write(b"again")
        await peer.hears(b"again")


async def test_what_is_packed_is_cut_and_the_rest_leaves_in_the_end() -> None:
    async with peers() as (peer,):
        async with sending(peer.range, packing=PackingSettings(length=10), max_datagram=8) as udp:
            udp.cable.far.write(b"0123456789abc")
            await peer.hears(b"01234567", b"89")
            udp.line.configure(LineSettings(19200))
            await settle()
        await peer.hears(b"abc")


async def test_force_transmit_sends_what_no_delimiter_ends() -> None:
    packing = PackingSettings(delimiters=b"\n", force_transmit=1.0)
    async with peers() as (peer,), sending(peer.range, packing=packing) as udp:
        udp.cable.far.write(b"a")
        await settle(0.9)
        udp.cable.far.write(b"b\n")
        await peer.hears(b"ab\n")
        udp.cable.far.write(b"c")
        await settle(0.5)
        assert not peer.look()
        await peer.hears(b"c")


# One way.


async def test_to_the_line_only() -> None:
    async with peers() as (peer,), sending(peer.range, direction=Direction.TO_LINE) as udp:
        udp.cable.far.write(b"unheard")
        peer.send(b"x", udp.here)
        await udp.line_hears(b"x")
        await settle()
        assert not peer.look()


async def test_to_the_network_only() -> None:
    """Who speaks is learned all the same."""
    async with peers() as (peer,), sending(reply_to_last=True, direction=Direction.TO_NETWORK) as udp:
        peer.send(b"hello", udp.here)
        await until(lambda: udp.mode.sessions)
        udp.cable.far.write(b"data")
        await peer.hears(b"data")
        assert not udp.cable.heard


# The end.


@pytest.mark.real
async def test_hushed_it_takes_nothing_and_sends_on_though_its_sockets_are_closed() -> None:
    async with peers() as (peer,), sending(peer.range) as udp:
        udp.mode.hush()
        for sock in udp.mode._sockets:
            sock.close()
        peer.send(b"too late", udp.here)
        udp.cable.far.write(b"answer")
        await peer.hears(b"answer")
        await settle()
        assert not udp.cable.heard
        assert udp.mode.accepted() == 0


async def test_hushed_while_the_line_is_full_it_takes_nothing_when_there_is_room() -> None:
    cable = Cable()
    line = LineSettings(115200, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
    async with peers() as (peer,), sending(cable=cable, line_settings=line) as udp:
        cable.far.set_modem_lines(rts=False)
        for _ in range(100):
            peer.send(bytes(1000), udp.here)
        await until(lambda: udp.mode._full)
        udp.mode.hush()
        cable.far.set_modem_lines(rts=True)
        await until(lambda: not udp.line.unsent())
        await settle()
        assert len(cable.heard) < 70_000


async def test_hushed_before_it_began() -> None:
    async with running(Cable()) as line:
        with listen_datagrams(Endpoint("127.0.0.1", 0)) as sock:
            mode = UdpMode(line, "udp", UdpSettings(listen=(local_endpoint(sock),)), [sock], Throttle())
            mode.hush()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(mode.run())
                await settle(1)
                assert not line.stream.clients
                mode.stop()


@given(st.binary(min_size=1, max_size=5000), st.integers(1, 2000))
def test_cutting_neither_loses_nor_adds(data: bytes, most: int) -> None:
    sent: list[bytes] = []

    async def cut() -> None:
        async with running(Cable()) as line:
            mode = UdpMode(line, "udp", UdpSettings(listen=(), max_datagram=most), [], Throttle())
            with patch.object(mode, "_send_whole", sent.append):
                mode.line_data(data)

    asyncio.run(cut())
    assert b"".join(sent) == data
    assert all(0 < len(each) <= most for each in sent)
