"""The client against simulated meters that others wrote from the references alone, on a wire with its time.

`field` numbers are rows of "What goes wrong in the field" of the reference.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from nportpy.errors import LeaseEnded, LineDown, ProtocolError
from nportpy.meters.dlms.client import DlmsClient
from nportpy.meters.dlms.errors import (
    AnswerTooLong,
    AssociationRefused,
    AuthenticationRefused,
    ConnectionLost,
    MeterSilent,
    ServiceRefused,
)
from nportpy.meters.dlms.objects import Attribute, CosemObject, Result
from nportpy.meters.dlms.places import parse
from nportpy.meters.dlms.settings import Authentication, Ciphering, DlmsSettings, Referencing
from nportpy.meters.dlms.transport import OverLine
from nportpy.simulator.cosem.acse import Conformance
from nportpy.simulator.cosem.frames import Address
from nportpy.simulator.cosem.link import LinkSettings, UaForm
from nportpy.simulator.cosem.meter import MeterSettings
from nportpy.simulator.cosem.mt880 import CONFORMANCE, KEYS
from tests.meters.dlms.support import (
    LN,
    PUBLIC,
    SN,
    Mt880Settings,
    ZmdSettings,
    conversing,
    fault,
    frames,
    mt880,
    wired,
    zmd,
)
from tests.meters.iec62056.meter import run
from tests.support.wired import WiredLine

ENERGY, VOLTAGE, CLOCK = (parse(each) for each in ("1.8.0", "32.7.0", "0.0.1.0.0.255"))
SIX = [parse(f"{code}.7.0") for code in (32, 52, 72, 31, 51, 71)]


def read(line: WiredLine, wanted: Sequence[Attribute] = (ENERGY, VOLTAGE), settings: DlmsSettings = LN) -> list[Result]:
    return conversing(line, lambda client: client.read(wanted), settings)


def good(results: Sequence[Result]) -> bool:
    return all(not each.reason and isinstance(each.value, int) for each in results)


def with_link(**keys: object) -> Mt880Settings:
    return Mt880Settings(meter=MeterSettings(Address(1, 0), link=LinkSettings(**keys)))  # type: ignore[arg-type]


# What it reads.


def test_values_with_scaler_and_unit_by_logical_names() -> None:
    energy, voltage, clock = read(wired(), (ENERGY, VOLTAGE, CLOCK))
    assert (energy.scaler, energy.unit, energy.class_id) == (0, 30, 3)
    assert isinstance(energy.scaled, Decimal)
    assert (voltage.scaler, voltage.unit) == (-1, 35)
    assert Decimal(200) < Decimal(str(voltage.scaled)) < Decimal(260)
    assert isinstance(clock.value, bytes)
    assert clock.class_id == 8


def test_values_with_scaler_and_unit_by_short_names() -> None:
    energy, voltage, raw = read(wired(zmd()), (ENERGY, VOLTAGE, parse("0x00B8")), SN)
    assert (energy.scaler, energy.unit, energy.class_id) == (0, 30, 3)
    assert (voltage.scaler, voltage.unit) == (-1, 35)
    assert (raw.value, raw.scaler, raw.reason) == (energy.value, None, "")


def test_a_short_name_alone_needs_no_object_list() -> None:
    line = wired(zmd())
    assert good(read(line, [parse("0x00B8")], SN))
    assert frames(line, "aarq") == 1
    assert len(line.sent_frames) == 5  # DISC, SNRM, AARQ, Read, DISC


def test_a_demand_register_has_its_scaler_elsewhere() -> None:
    (result,) = read(wired(zmd()), [parse("1.4.0")], SN)
    assert (result.class_id, result.scaler, result.unit) == (5, 0, 27)


def test_without_scalers_none_is_asked_for() -> None:
    line = wired()
    results = conversing(line, lambda client: client.read([ENERGY], scaled=False))
    assert (results[0].scaler, results[0].unit, results[0].reason) == (None, None, "")


def test_several_are_asked_for_at_once_and_scalers_once() -> None:
    line = wired()

    async def twice(client: DlmsClient) -> tuple[int, int]:
        await client.read(SIX)
        first = len(line.sent_frames)
        assert good(await client.read(SIX))
        return first, len(line.sent_frames) - first

    _, second = conversing(line, twice)
    assert second == 1


def test_without_lists_each_is_asked_for_and_the_association_stays() -> None:
    for line, settings in (
        (wired(), replace(LN, lists=False)),
        (wired(mt880(Mt880Settings(conformance=CONFORMANCE & ~Conformance.MULTIPLE))), LN),
    ):

        async def twice(client: DlmsClient, line: WiredLine = line) -> int:
            await client.read(SIX)
            before = len(line.sent_frames)
            await client.read(SIX)
            return len(line.sent_frames) - before

        assert conversing(line, twice, settings) == 6
        assert frames(line, "aarq") == 1


def test_lists_go_by_the_size_of_the_meters_pdu() -> None:
    small = mt880(Mt880Settings(pdu_size=90))
    line = wired(small)
    assert good(read(line, SIX))
    assert good(read(wired(), SIX, replace(LN, list_size=2)))


def test_an_association_is_kept_between_polls_and_costs_no_sign_on() -> None:
    line = wired()

    async def polls(client: DlmsClient) -> None:
        for _ in range(10):
            assert good(await client.read([ENERGY, VOLTAGE]))
            await asyncio.sleep(60)

    conversing(line, polls)
    assert (frames(line, "snrm"), frames(line, "aarq")) == (1, 1)
    assert line.leases >= 10


def test_after_the_inactivity_time_it_associates_at_once() -> None:
    line = wired()

    async def polls(client: DlmsClient) -> float:
        await client.read([ENERGY])
        await asyncio.sleep(500)
        began = asyncio.get_running_loop().time()
        assert good(await client.read([ENERGY]))
        return asyncio.get_running_loop().time() - began

    assert conversing(line, polls) < 1.0
    assert frames(line, "aarq") == 2


def test_the_object_list_of_both() -> None:
    for line, settings in ((wired(), LN), (wired(zmd()), SN), (wired(zmd(ZmdSettings(blocks=True))), SN)):

        async def objects(client: DlmsClient) -> list[CosemObject]:
            found = await client.objects()
            assert await client.objects() == found
            return found

        found = conversing(line, objects, settings)
        by_name = {each.obis: each for each in found}
        assert by_name[ENERGY.obis].class_id == 3
        assert (by_name[ENERGY.obis].base_name is None) is (settings is LN)
        assert len(found) > 30


def test_a_class_that_was_guessed_wrong_is_looked_up() -> None:
    """1.0.0.4.2 is data here, and 1.6.0 an extended register; another meter has its average in a register."""
    ratio, maximum, absent = read(wired(), [parse(each) for each in ("1.0.0.4.2.255", "1.6.0", "1.4.0")])
    assert (ratio.value, ratio.class_id) == (1, 1)
    assert maximum.class_id == 4
    assert absent.code == 4
    assert "no such object" in absent.reason
    (found,) = read(wired(), [Attribute(ENERGY.obis, 2, 1)])  # of class 1, says the user
    assert found.code == 9


def test_unknown_objects_are_results_and_others_are_read() -> None:
    for line, settings in ((wired(), LN), (wired(zmd()), SN)):
        known, unknown = read(line, [ENERGY, parse("1.0.99.99.0.255/3")], settings)
        assert known.reason == ""
        assert (unknown.code, unknown.value) == (4, None)
        assert "object undefined" in unknown.reason


# Who it is.


@pytest.mark.parametrize(
    ("client", "way"),
    [(3, Authentication.MD5), (4, Authentication.SHA1), (6, Authentication.SHA256)],
)
def test_high_level_security(client: int, way: Authentication) -> None:
    settings = replace(LN, client=client, authentication=way)
    assert good(read(wired(), settings=settings))
    with pytest.raises(AuthenticationRefused, match="our proof"):
        read(wired(), settings=replace(settings, secret=b"87654321"))


def keys(**changes: object) -> Ciphering:
    given: dict[str, object] = {
        "system_title": b"NPO\0\0\0\0\1",
        "encryption_key": KEYS.encryption,
        "authentication_key": KEYS.authentication,
    }
    return Ciphering(**{**given, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "ciphering",
    [
        keys(authenticated=False, encrypted=False),
        keys(),
        keys(authenticated=False),
        keys(encrypted=False),
    ],
)
def test_gmac_and_ciphered_messages(ciphering: Ciphering) -> None:
    settings = replace(LN, client=5, authentication=Authentication.GMAC, secret=b"", ciphering=ciphering)
    line = wired()
    assert good(read(line, SIX, settings))
    if ciphering.encrypted:
        assert not any(b"\xe6\xe6\x00\xc0" in each for each in line.sent_frames)


def test_wrong_keys_are_refused_and_say_so() -> None:
    wrong = keys(encryption_key=bytes(16), authenticated=False, encrypted=False)
    settings = replace(LN, client=5, authentication=Authentication.GMAC, secret=b"", ciphering=wrong)
    with pytest.raises(AuthenticationRefused, match="key is wrong"):
        read(wired(), settings=settings)


def test_field_14_a_wrong_password_is_said_once() -> None:
    line = wired()
    with pytest.raises(AuthenticationRefused, match="password or key is wrong") as caught:
        read(line, settings=replace(LN, secret=b"wrong-one"))
    assert frames(line, "aarq") == 1
    assert "wrong-one" not in str(caught.value)
    assert [each for each in line.sent_frames if b"wrong-one" in each] == line.secrets


def test_a_client_that_needs_a_password_says_so() -> None:
    with pytest.raises(AuthenticationRefused, match="wants a password"):
        read(wired(), settings=replace(PUBLIC, client=1))


def test_wrong_referencing_is_no_matter_of_passwords() -> None:
    with pytest.raises(AssociationRefused, match="short or logical") as caught:
        read(wired(zmd()), settings=replace(SN, referencing=Referencing.LOGICAL))
    assert not isinstance(caught.value, AuthenticationRefused)


def test_who_was_refused_leaves_the_line_to_others() -> None:
    line = wired()
    with pytest.raises(AuthenticationRefused):
        read(line, settings=replace(LN, secret=b"wrong-one"))
    assert frames(line, "disc") == 2  # before SNRM, and after the refusal


# What goes wrong in the field.


def test_field_1_an_echo_is_no_answer() -> None:
    assert good(read(wired(echo=True)))


def test_field_1_nothing_but_echoes_is_said() -> None:
    line = wired(script=fault("deaf"), echo=True)
    with pytest.raises(MeterSilent, match="echo"):
        read(line)


@pytest.mark.parametrize("lower", [60, 0])
def test_field_2_and_3_silence_names_server_and_client(lower: int) -> None:
    with pytest.raises(MeterSilent, match=rf"server 1/{lower}, client 1\) does not answer: nothing came"):
        read(wired(), settings=replace(LN, lower=lower))


@pytest.mark.parametrize("narrow", [True, False])
def test_field_2_the_width_of_the_address_is_found(narrow: bool) -> None:
    meter = mt880(Mt880Settings(meter=MeterSettings(Address(1, 0, 4), narrow=narrow)))
    assert good(read(wired(meter)))


def test_a_four_byte_address() -> None:
    meter = mt880(Mt880Settings(meter=MeterSettings(Address(1, 1234))))
    assert good(read(wired(meter), settings=replace(LN, lower=1234)))


def test_field_4_a_refused_frame_costs_a_new_association() -> None:
    line = wired(script=fault("reject-frame", frames="i", every=5))

    async def polls(client: DlmsClient) -> None:
        for _ in range(6):
            assert good(await client.read([ENERGY, VOLTAGE]))

    conversing(line, polls)
    assert frames(line, "aarq") > 1


def test_field_5_d8_now_and_then_is_one_new_association() -> None:
    line = wired(script=fault("refuse-service", services="get", every=6))

    async def polls(client: DlmsClient) -> None:
        for _ in range(20):
            assert good(await client.read([ENERGY, VOLTAGE]))

    conversing(line, polls)
    assert 1 < frames(line, "aarq") < 8


def test_field_6_results_of_the_meter_have_their_meaning() -> None:
    line = wired(script=fault("refuse-value", names="1.0.32.7.0.255", attributes="2", result=11))
    energy, voltage = read(line)
    assert energy.reason == ""
    assert (voltage.code, voltage.value) == (11, None)
    assert "another client or a password" in voltage.reason


def test_field_7_no_right_to_the_profile() -> None:
    (result,) = read(wired(), [parse("7:1.0.99.1.0.255/3")], PUBLIC)
    assert result.code == 13
    assert "no right" in result.reason


def test_field_8_rubbish_ends_and_is_counted() -> None:
    line = wired(script=fault("junk", random=500))
    assert good(read(line))


def test_field_8_a_wrong_speed_is_rubbish() -> None:
    class Babble:
        """Somebody who never stops."""

        def feed(self, data: bytes, now: float) -> Sequence[object]:
            from nportpy.simulator.device import Answer

            return [Answer(b"\x55\x7e\xa0" * 4000)]

        def silence(self, now: float) -> Sequence[object]:
            return ()

        def counts(self) -> dict[str, int]:
            return {}

    with pytest.raises(MeterSilent, match="no frames: speed or parity are wrong"):
        read(WiredLine(Babble()))


@pytest.mark.parametrize("seconds", ["200ms", "1500ms"])
def test_field_9_pauses_inside_an_answer(seconds: str) -> None:
    line = wired(script=fault("pause", pause=seconds, after=20, frames="i,rr", every=2))
    settings = replace(LN, gap=2.0)
    assert good(read(line, SIX, settings))


def test_field_13_scalers_are_read_once_for_each_object() -> None:
    line = wired(script=fault("refuse-value", names="1.0.32.7.0.255", attributes="3", result=2, limit=1))

    async def twice(client: DlmsClient) -> tuple[Result, Result]:
        return (await client.read([VOLTAGE]))[0], (await client.read([VOLTAGE]))[0]

    first, second = conversing(line, twice)
    assert "scaler cannot be read: result 2" in first.reason  # a number without it would be wrong tenfold
    assert (second.reason, second.scaler) == ("", -1)


def test_field_15_another_meter_has_other_short_names() -> None:
    first, second = zmd(), zmd(ZmdSettings(serial="94407599", first_name=0x1000))
    line = wired(first)

    async def swapped(client: DlmsClient) -> tuple[int | None, int | None]:
        await client.read([ENERGY], scaled=True)
        before = next(each.base_name for each in await client.objects() if each.obis == ENERGY.obis)
        line._wire._device.meters = (second,)  # type: ignore[attr-defined]
        await asyncio.sleep(300)
        (result,) = await client.read([ENERGY])
        assert result.reason == ""
        return before, next(each.base_name for each in await client.objects() if each.obis == ENERGY.obis)

    assert conversing(line, swapped, SN) == (0x00B0, 0x1000)


def test_field_16_no_parameters_and_no_pdu_size() -> None:
    bare = mt880(with_link(bare_only=True))
    assert good(read(wired(bare)))  # ours are the defaults, so there is nothing to say
    assert good(read(wired(mt880(with_link(bare_only=True))), settings=replace(LN, information=256)))
    line = wired(zmd(ZmdSettings(zero_pdu_only=True)))
    assert good(read(line, settings=SN))
    assert frames(line, "aarq") == 2

    async def again(client: DlmsClient) -> None:
        await client.read([ENERGY])
        await asyncio.sleep(500)
        await client.read([ENERGY])

    line = wired(zmd(ZmdSettings(zero_pdu_only=True)))
    conversing(line, again, SN)
    assert frames(line, "aarq") == 3  # what was found out is kept


def test_field_18_a_session_that_a_crash_left_open() -> None:
    line = wired()

    async def crashed() -> None:
        client = DlmsClient(LN, OverLine(line.lease), "first")
        await client.read([ENERGY])  # and is never closed
        assert good(await DlmsClient(LN, OverLine(line.lease), "second").read([ENERGY]))
        with pytest.raises(MeterSilent):
            await DlmsClient(PUBLIC, OverLine(line.lease), "third").read([ENERGY])
        await asyncio.sleep(130)
        assert good(await DlmsClient(PUBLIC, OverLine(line.lease), "third").read([ENERGY]))

    run(crashed)


# The link and the line.


@pytest.mark.parametrize("every", [2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("kind", ["missing", "deaf", "bad-crc", "twice", "junk"])
def test_whatever_is_lost_or_spoilt_nothing_wrong_is_read(kind: str, every: int) -> None:
    for meter, settings in ((mt880(), LN), (zmd(), SN)):
        if (kind, every) == ("deaf", 2):
            return  # each repeat would be the one that is not heard
        line = wired(meter, script=fault(kind, frames="i,rr", every=every))

        async def polls(client: DlmsClient) -> None:
            before = 0
            for _ in range(4):
                energy, voltage = await client.read([ENERGY, VOLTAGE])
                assert isinstance(energy.value, int)
                assert energy.value >= before
                assert (energy.unit, voltage.unit) == (30, 35)
                before = energy.value

        conversing(line, polls, settings)


@pytest.mark.parametrize("times", [1, 3, 20])
def test_a_busy_meter_is_asked_again(times: int) -> None:
    assert good(read(wired(script=fault("busy", times=times, frames="i"))))


def test_a_meter_that_stays_busy_is_given_up() -> None:
    with pytest.raises(ConnectionLost, match="stays busy"):
        read(wired(script=fault("busy", times=1000, frames="i")))


@pytest.mark.parametrize("every", [1, 4, 5])
def test_a_meter_that_starts_anew_costs_a_new_association(every: int) -> None:
    line = wired(script=fault("reboot", frames="i", every=every))

    reasons: set[str] = set()

    async def polls(client: DlmsClient) -> list[bool]:
        done = []
        for _ in range(6):
            try:
                done.append(good(await client.read([ENERGY, VOLTAGE])))
            except ConnectionLost as error:
                reasons.add(str(error).rpartition(": ")[2])
                done.append(False)
        return done

    done = conversing(line, polls)
    assert all(done) is (every > 1)
    assert reasons <= {"the meter says that it is not connected (DM)"}


@pytest.mark.parametrize("add", [-1, 1, 3])
def test_a_wrong_n_s_is_not_taken(add: int) -> None:
    line = wired(script=fault("wrong-sequence", add=add, frames="i", every=3))

    async def polls(client: DlmsClient) -> None:
        for _ in range(4):
            energy, voltage = await client.read([ENERGY, VOLTAGE])
            assert (energy.unit, voltage.unit) == (30, 35)

    conversing(line, polls)


def test_notifications_are_no_answers() -> None:
    assert good(read(wired(script=fault("push", frames="i"))))


def test_block_numbers_that_jump_are_no_answer() -> None:
    line = wired(script=fault("block-jump", services="get"))
    with pytest.raises(ProtocolError, match="block"):
        conversing(line, lambda client: client.objects())


@pytest.mark.parametrize("form", UaForm)
def test_every_form_of_ua(form: UaForm) -> None:
    assert good(read(wired(mt880(with_link(ua=form))), SIX, replace(LN, information=250)))


@pytest.mark.parametrize("window", [1, 3, 7])
def test_windows(window: int) -> None:
    meter = mt880(with_link(window=window, information=64))
    settings = replace(LN, window=window, information=64)
    assert len(conversing(wired(meter), lambda client: client.objects(), settings)) > 30
    ignoring = mt880(with_link(ignored_window=3))
    assert len(conversing(wired(ignoring), lambda client: client.objects())) > 30


def test_without_block_transfer_and_with_general_blocks() -> None:
    whole = Mt880Settings(conformance=CONFORMANCE & ~Conformance.BLOCKS_GET, pdu_size=20_000)
    with pytest.raises(ServiceRefused, match="pdu_size = 0"):
        conversing(wired(mt880(whole)), lambda client: client.objects())
    assert len(conversing(wired(mt880(whole)), lambda client: client.objects(), replace(LN, pdu_size=0))) > 30
    general = mt880(Mt880Settings(conformance=CONFORMANCE | Conformance.GENERAL_BLOCKS))
    settings = replace(LN, conformance=0x207E1F)
    assert len(conversing(wired(general), lambda client: client.objects(), settings)) > 30


def test_an_answer_longer_than_allowed_ends() -> None:
    with pytest.raises(AnswerTooLong):
        conversing(wired(), lambda client: client.objects(), replace(LN, max_size=1000))
    with pytest.raises(AnswerTooLong):
        conversing(wired(zmd()), lambda client: client.objects(), replace(SN, max_size=1000))


def test_two_meters_on_a_line_keep_their_associations() -> None:
    one, other = mt880(), mt880(Mt880Settings(serial="72211944"))
    line = wired(one, other)

    async def both() -> None:
        first = DlmsClient(LN, OverLine(line.lease), "one")
        second = DlmsClient(replace(LN, lower=60), OverLine(line.lease), "other")
        for _ in range(5):
            results = await asyncio.gather(first.read([ENERGY]), second.read([ENERGY]))
            assert good([*results[0], *results[1]])
            assert results[0][0].value != results[1][0].value
            await asyncio.sleep(30)

    run(both)
    assert frames(line, "aarq") == 2


def test_it_gives_way_before_every_frame() -> None:
    line = wired()
    conversing(line, lambda client: client.objects())
    assert line.ways_given == len(line.sent_frames)


def test_calls_at_once_wait_for_each_other() -> None:
    line = wired()

    async def together(client: DlmsClient) -> None:
        for results in await asyncio.gather(*(client.read([ENERGY, VOLTAGE]) for _ in range(4))):
            assert good(results)

    conversing(line, together)
    assert frames(line, "aarq") == 1


@pytest.mark.parametrize("nth", range(1, 16))
def test_a_line_lost_at_every_frame_starts_over(nth: int) -> None:
    line = wired()

    async def losing() -> None:
        client = DlmsClient(LN, OverLine(line.lease), "meter")
        write = line.write

        def breaking(data: bytes, *, secret: bool = False) -> None:
            if len(line.sent_frames) == nth:
                (line.lose if nth % 2 else line.run_out)()
            write(data, secret=secret)

        line.write = breaking  # type: ignore[method-assign]
        try:
            for _ in range(8):
                await client.read([ENERGY, VOLTAGE])
        except (LineDown, LeaseEnded):
            pass
        line.write = write  # type: ignore[method-assign]
        line.error = None
        assert good(await client.read([ENERGY, VOLTAGE]))
        line.lose()
        await client.close()  # says nothing

    run(losing)


@pytest.mark.parametrize("after", [0.05, 0.3, 0.6, 0.9])
def test_a_call_that_is_cancelled_leaves_the_next_one_whole(after: float) -> None:
    line = wired()

    async def cancelling(client: DlmsClient) -> None:
        async def for_ever() -> None:
            while True:
                await client.read(SIX)

        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(for_ever(), after)
            results = await client.read([ENERGY, VOLTAGE])
            assert [each.unit for each in results] == [30, 35]

    conversing(line, cancelling)


def test_wrong_scalers_of_a_meter_are_what_it_says() -> None:
    """Nobody can know better; that they are cached does not make it worse."""
    line = wired(script=fault("wrong-scaler", add=1, names="1.0.1.8.0.255"))
    (energy,) = read(line, [ENERGY])
    assert energy.scaler == 1


@pytest.mark.parametrize("lists", [True, False])
def test_fifty_attributes_take_their_time_on_the_wire(lists: bool) -> None:
    line = wired(mt880(Mt880Settings(meter=MeterSettings(Address(1, 0), delay=0.0))))
    names = ("1.8", "2.8", "3.8", "32.7", "52.7", "72.7", "31.7", "51.7", "71.7", "1.7", "14.7", "13.7")
    wanted = [Attribute(parse(f"{name}.0").obis, number, 3) for name in names for number in (1, 2, 3)]
    wanted += [Attribute(parse("1.6.0").obis, number, 4) for number in range(1, 6)]
    wanted += [Attribute(parse("0.0.1.0.0.255").obis, number, 8) for number in range(1, 10)]

    async def timed(client: DlmsClient) -> float:
        await client.read([ENERGY])
        loop, wire = asyncio.get_running_loop(), line.wire_time
        began = loop.time()
        results = await client.read(wanted, scaled=False)
        assert len(results) == 50
        assert not [each.reason for each in results if each.reason]
        return (loop.time() - began) / (line.wire_time - wire)

    assert 1.0 <= conversing(line, timed, replace(LN, lists=lists)) < 1.15
