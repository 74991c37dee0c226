"""What the meters answer in an association, and who may make one."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nportpy.simulator.cosem import security
from nportpy.simulator.cosem.acse import AARQ, Conformance, Mechanism
from nportpy.simulator.cosem.data import Data, Source, array, decode, octets, structure
from nportpy.simulator.cosem.frames import Address
from nportpy.simulator.cosem.line import MeterLine
from nportpy.simulator.cosem.logical import GeneralBlock
from nportpy.simulator.cosem.meter import START, MeterSettings
from nportpy.simulator.cosem.mt880 import CONFORMANCE, KEYS, TITLE, Mt880Settings, mt880
from nportpy.simulator.cosem.objects import obis
from nportpy.simulator.cosem.readings import Readings
from nportpy.simulator.cosem.zmd import ZmdSettings, zmd
from tests.simulator.cosem.asking import LN_ASSOCIATE, LN_PASSWORD, SN_ASSOCIATE, SN_BLOCKS, Client

LIST = bytes.fromhex("C001C1000F0000280000FF0200")
CONTEXT = bytes.fromhex("A109060760857405080101")
SN_PASSWORD = bytes.fromhex(
    "6036A1090607608574050801028A0207808B0760857405080201AC0A80083030303030303030BE10040E01000000065F1F04001C0320FFFF"
)


def logical(client: int = 1, **settings: Any) -> Client:
    asking = Client(MeterLine([mt880(Mt880Settings(**settings))]), Address(1, 59).encode(), client)
    asking.connect()
    return asking


def reading(**settings: Any) -> Client:
    asking = logical(**settings)
    assert asking.ask(LN_PASSWORD)[:3] == bytes.fromhex("6129A1")
    return asking


def short(client: int = 16, apdu: bytes = SN_ASSOCIATE, **settings: Any) -> Client:
    asking = Client(MeterLine([zmd(ZmdSettings(**settings))]), client=client)
    asking.connect()
    assert asking.ask(apdu)[0] == 0x61
    return asking


def get(class_id: int, name: str, attribute: int) -> bytes:
    return b"\xc0\x01\xc1" + class_id.to_bytes(2, "big") + obis(name) + bytes((attribute, 0))


def value(asking: Client, class_id: int, name: str, attribute: int = 2) -> Data:
    answer = asking.ask(get(class_id, name, attribute))
    assert answer[:4] == bytes.fromhex("C401C100"), answer.hex()
    return decode(answer[4:])


def named(asking: Client, name: int) -> Data:
    answer = asking.ask(b"\x05\x01\x02" + name.to_bytes(2, "big"))
    assert answer[:3] == b"\x0c\x01\x00", answer.hex()
    return decode(answer[3:])


def blocks(asking: Client, question: bytes) -> tuple[bytes, int]:
    """The raw data of an answer in blocks, and how many there were."""
    answer, whole, number = asking.ask(question), b"", 0
    while True:
        number += 1
        source = Source(answer)
        assert source.take(3) == b"\xc4\x02\xc1"
        last = source.number()
        assert source.number(4) == number
        assert source.number() == 0
        whole += source.string()
        source.end()
        if last:
            return whole, number
        answer = asking.ask(b"\xc0\x02\xc1" + number.to_bytes(4, "big"))


# By logical names.


def test_scaler_unit_and_value_of_the_energy_and_the_voltages() -> None:
    asking = reading()
    assert value(asking, 3, "1.0.1.8.0", 3) == structure(Data(15, 0), Data(22, 30))  # type: ignore[arg-type]
    assert value(asking, 3, "1.0.1.8.0").value == 77_203_000
    for name in ("1.0.32.7.0", "1.0.52.7.0", "1.0.72.7.0"):
        assert value(asking, 3, name, 3) == structure(Data(15, -1), Data(22, 35))  # type: ignore[arg-type]
        assert 2200 < value(asking, 3, name).value < 2400


def test_values_live() -> None:
    asking = reading()
    seen = []
    for now in (0.0, 60.0, 119.0):
        asking.now = now
        seen.append((value(asking, 3, "1.0.32.7.0").value, value(asking, 3, "1.0.1.8.0").value))
    assert len({voltage for voltage, _ in seen}) == 3
    energies = [energy for _, energy in seen]
    assert energies == sorted(set(energies))
    again = reading()
    again.now = 119.0
    assert (value(again, 3, "1.0.32.7.0").value, value(again, 3, "1.0.1.8.0").value) == seen[-1]


def test_the_clock() -> None:
    asking = reading()
    assert value(asking, 8, "0.0.1.0.0").value.hex() == "07ea0b1506123a0fffffc400"
    asking.now = 105.0
    assert value(asking, 8, "0.0.1.0.0").value.hex() == "07ea0b1506130000ffffc400"


def test_what_it_is() -> None:
    asking = reading()
    assert value(asking, 1, "0.0.96.1.0").value == b"72211943"
    assert value(asking, 1, "1.0.0.2.0").value == b"MT880 V1.09"
    assert value(asking, 1, "0.0.96.2.0").value == 7
    assert value(asking, 1, "0.0.42.0.0").value == b"ISK072211943"


@pytest.mark.parametrize(
    ("question", "result"),
    [
        (get(3, "1.0.99.99.0", 2), 4),
        (get(3, "0.0.1.0.0", 2), 9),
        (get(3, "1.0.1.8.0", 9), 11),
        (get(3, "1.0.1.8.0", 2)[:-1] + bytes.fromhex("0102020400000000"), 3),
    ],
    ids=["unknown object", "another class", "no such attribute", "no such selection"],
)
def test_field_6_results_instead_of_values(question: bytes, result: int) -> None:
    assert reading().ask(question) == bytes.fromhex("C401C101") + bytes((result,))


def test_field_7_the_public_client_may_not_read_the_load_profile() -> None:
    asking = logical(16)
    asking.ask(LN_ASSOCIATE)
    assert value(asking, 3, "1.0.32.7.0")
    assert asking.ask(get(7, "1.0.99.1.0", 2)) == bytes.fromhex("C401C1010D")


def test_a_list_of_values_and_results() -> None:
    asking = reading()
    one = get(3, "1.0.32.7.0", 2)[3:]
    none = get(3, "1.0.99.99.0", 2)[3:]
    answer = asking.ask(b"\xc0\x03\xc5\x02" + one + none)
    assert answer[:5] == bytes.fromhex("C403C50200")
    assert answer[-2:] == b"\x01\x04"
    assert answer[5:-2] == asking.ask(get(3, "1.0.32.7.0", 2))[4:]


def test_the_object_list_in_blocks() -> None:
    asking = reading()
    raw, count = blocks(asking, LIST)
    held = decode(raw).value
    assert count > 1
    assert len(held) == len(asking.line.meters[0].objects)
    assert {bytes(entry.value[2].value) for entry in held} == {part.obis for part in asking.line.meters[0].objects}


def test_a_list_in_blocks_has_count_and_choices() -> None:
    asking = reading()
    entry = LIST[3:]
    raw, _ = blocks(asking, b"\xc0\x03\xc1\x02" + entry + entry)
    source = Source(raw)
    assert source.length() == 2
    for _ in range(2):
        assert source.number() == 0
        source.data()
    source.end()


def test_a_wrong_block_number_ends_the_long_answer() -> None:
    asking = reading()
    asking.ask(LIST)
    assert asking.ask(bytes.fromhex("C002C100000007")) == bytes.fromhex("C402C101000000070113")
    assert asking.ask(bytes.fromhex("C002C100000001")) == bytes.fromhex("C402C101000000010110")


def test_without_block_transfer_what_is_too_long_is_refused() -> None:
    asking = reading(conformance=CONFORMANCE & ~Conformance.BLOCKS_GET)
    assert asking.ask(LIST) == bytes.fromhex("D80104")


def test_without_lists_they_are_refused() -> None:
    asking = reading(conformance=CONFORMANCE & ~Conformance.MULTIPLE)
    assert asking.ask(b"\xc0\x03\xc1\x01" + get(3, "1.0.32.7.0", 2)[3:]) == bytes.fromhex("D80102")


def test_a_question_longer_than_its_pdu_is_refused() -> None:
    asking = reading(pdu_size=100)
    entry = get(3, "1.0.32.7.0", 2)[3:]
    assert asking.ask(b"\xc0\x03\xc1\x09" + 9 * entry)[:2] == b"\xc4\x03"
    assert asking.ask(b"\xc0\x03\xc1\x0a" + 10 * entry) == bytes.fromhex("D80104")


def test_field_5_without_an_association_services_are_refused() -> None:
    assert logical().ask(get(3, "1.0.1.8.0", 2)) == bytes.fromhex("D80101")
    asking = reading()
    assert asking.ask(bytes.fromhex("6203800100")) == bytes.fromhex("6303800100")
    assert asking.ask(get(3, "1.0.1.8.0", 2)) == bytes.fromhex("D80101")


def test_nothing_can_be_set_and_no_method_called() -> None:
    asking = reading()
    assert asking.ask(bytes.fromhex("C101C100080000010000FF020009020000")) == bytes.fromhex("C501C103")
    assert asking.ask(bytes.fromhex("C301C100080000010000FF010112000F")) == bytes.fromhex("C701C10300")


def test_what_is_malformed_is_refused() -> None:
    asking = reading()
    for apdu in ("C001C1", "C0FFC1", "C001C1000301000108", "99", "C001C10003010001080 0FF020100FF"):
        assert asking.ask(bytes.fromhex(apdu.replace(" ", ""))[:40])[0] == 0xD8
    assert value(asking, 3, "1.0.1.8.0")


def test_general_block_transfer_carries_the_whole_answer() -> None:
    asking = logical(1, conformance=CONFORMANCE | Conformance.GENERAL_BLOCKS)
    asking.ask(LN_PASSWORD.replace(b"\x00\x7e\x1f", b"\x20\x7e\x1f"))
    block, whole = GeneralBlock.parse(asking.ask(LIST)), b""
    assert (block.number, block.acknowledged) == (1, 0)
    for number in range(1, 100):
        assert block.number == number
        whole += block.part
        if block.last:
            break
        block = GeneralBlock.parse(asking.ask(bytes.fromhex("E001") + bytes((0, number, 0, number, 0))))
    assert whole[:4] == bytes.fromhex("C401C100")
    assert decode(whole[4:]) == decode(blocks(reading(), LIST)[0])
    assert asking.ask(bytes.fromhex("E0010001000100")) == bytes.fromhex("D80103")


# Associations.


@pytest.mark.parametrize("title", [b"", b"\xa6\x03\x04\x01M"])
def test_gmac_needs_a_system_title(title: bytes) -> None:
    body = CONTEXT + title + bytes.fromhex("8A0207808B0760857405080205AC0A80084B35366956616759") + LN_ASSOCIATE[-18:]
    assert logical(5).ask(bytes((AARQ, len(body))) + body)[18:25] == bytes.fromhex("A305A10302010D")


def test_field_14_a_wrong_password_blocks_for_a_minute() -> None:
    asking = logical()
    wrong = LN_PASSWORD.replace(b"12345678", b"12345679")
    assert asking.ask(wrong) == bytes.fromhex("6117A109060760857405080101A203020101A305A10302010D")
    asking.now = 59.0
    assert asking.ask(LN_PASSWORD) == bytes.fromhex("6117A109060760857405080101A203020102A305A103020101")
    asking.now = 60.0
    assert asking.ask(LN_PASSWORD)[13:18] == bytes.fromhex("A203020100")
    assert asking.line.counts()["refused"] == 2


@pytest.mark.parametrize(
    ("client", "apdu", "diagnostic", "user"),
    [
        (16, SN_ASSOCIATE, 2, "0E010601"),
        (1, LN_ASSOCIATE, 12, ""),
        (16, LN_PASSWORD, 11, ""),
        (16, LN_ASSOCIATE.replace(b"\x06\x5f\x1f", b"\x05\x5f\x1f"), 1, "0E010601"),
        (16, LN_ASSOCIATE.replace(b"\x00\x7e\x1f", b"\x00\x00\x00"), 1, "0E010602"),
        (16, LN_ASSOCIATE[:-2] + b"\x00\x0b", 1, "0E010603"),
    ],
    ids=["other names", "no password", "password not wanted", "version 5", "no service", "PDU of 11"],
)
def test_associations_that_are_refused(client: int, apdu: bytes, diagnostic: int, user: str) -> None:
    answer = logical(client).ask(apdu)
    assert answer[2:13] == CONTEXT
    assert answer[13:18] == bytes.fromhex("A203020101")
    assert answer[18:25] == bytes.fromhex("A305A1030201") + bytes((diagnostic,))
    assert answer[29:].hex().upper() == user


def test_an_association_request_that_is_none_is_refused() -> None:
    for size in range(2, len(LN_PASSWORD)):
        answer = logical().ask(bytes((AARQ, size - 2)) + LN_PASSWORD[2:size])
        assert answer[13:18] == bytes.fromhex("A203020101")


def test_services_and_size_are_what_both_have() -> None:
    answer = logical(16).ask(LN_ASSOCIATE)
    assert answer[-14:] == bytes.fromhex("0800065F1F0400") + bytes.fromhex("00121D 01F4 0007".replace(" ", ""))


@pytest.mark.parametrize("mechanism", [Mechanism.MD5, Mechanism.SHA1, Mechanism.SHA256, Mechanism.GMAC])
def test_both_prove_who_they_are(mechanism: Mechanism) -> None:
    if mechanism is Mechanism.GMAC:
        pytest.importorskip("cryptography")
    asking, title, mine = logical(mechanism), b"MMM\0\0\0\0\1", b"K56iVagY"
    user = LN_ASSOCIATE[-18:]
    body = CONTEXT + b"\xa6\x0a\x04\x08" + title + bytes.fromhex("8A0207808B07608574050802") + bytes((mechanism,))
    body += b"\xac\x0a\x80\x08" + mine + user
    answer = asking.ask(bytes((AARQ, len(body))) + body)
    assert answer[13:25] == bytes.fromhex("A203020100A305A10302010E")
    theirs = answer[answer.index(b"\xaa\x12\x80\x10") + 4 :][:16]
    assert asking.ask(get(3, "1.0.1.8.0", 2)) == bytes.fromhex("D80101")  # not yet

    if mechanism is Mechanism.GMAC:
        proof = security.gmac(KEYS, title, b"\0\0\0\1", theirs)
    else:
        proof = security.digest(mechanism, theirs, b"12345678", title + TITLE, mine)
    pass_3 = bytes.fromhex("C301C1000F0000280000FF010109") + bytes((len(proof),))
    wrong = asking.ask(pass_3 + bytes(len(proof)))
    assert wrong == bytes.fromhex("C701C1FA00")
    answer = asking.ask(pass_3 + proof)
    assert answer[:6] == bytes.fromhex("C701C1000100")
    given = decode(answer[6:]).value
    if mechanism is Mechanism.GMAC:
        assert given == security.gmac(KEYS, TITLE, given[1:5], mine)
    else:
        assert given == security.digest(mechanism, mine, b"12345678", TITLE + title, theirs)
    assert value(asking, 3, "1.0.1.8.0")


def test_a_ciphered_association() -> None:
    pytest.importorskip("cryptography")
    asking, title = logical(Mechanism.GMAC), b"MMM\0\0\0\0\1"
    plain = LN_ASSOCIATE[-14:]
    user = security.cipher(KEYS, title, 1, plain)
    body = CONTEXT[:-1] + b"\x03" + b"\xa6\x0a\x04\x08" + title + bytes.fromhex("8A0207808B0760857405080205")
    body += b"\xac\x0a\x80\x08K56iVagY" + bytes((0xBE, len(user) + 2, 4, len(user))) + user
    answer = asking.ask(bytes((AARQ, len(body))) + body)
    response, _ = security.decipher(KEYS, TITLE, answer[answer.index(b"\xbe") + 4 :])
    assert response[0] == 0x08
    theirs = answer[answer.index(b"\xaa\x12\x80\x10") + 4 :][:16]
    proof = security.gmac(KEYS, title, b"\0\0\0\2", theirs)
    pass_3 = security.cipher(KEYS, title, 3, bytes.fromhex("C301C1000F0000280000FF01010911") + proof)
    assert security.decipher(KEYS, TITLE, asking.ask(pass_3))[0][:4] == bytes.fromhex("C701C100")
    answer = asking.ask(security.cipher(KEYS, title, 4, get(3, "1.0.1.8.0", 2)))
    assert answer[0] == 0xCC
    assert decode(security.decipher(KEYS, TITLE, answer)[0][4:]).value == 77_203_000
    assert asking.ask(get(3, "1.0.1.8.0", 2)) == bytes.fromhex("D80105")  # in clear
    spoilt = bytearray(security.cipher(KEYS, title, 5, get(3, "1.0.1.8.0", 2)))
    spoilt[-1] ^= 1
    assert asking.ask(bytes(spoilt)) == bytes.fromhex("D80105")


# By short names.


def test_the_object_list_at_fa08_comes_in_segments() -> None:
    asking = short()
    held = named(asking, 0xFA08).value
    assert 100 <= len(held) <= 300
    entries = {entry.value[0].value % 65536: bytes(entry.value[3].value) for entry in held}
    assert entries[0x00B0] == obis("1.0.1.8.0")
    assert entries[0xFA00] == obis("0.0.40.0.0")
    assert [name for name in entries if name % 8] == []
    assert len(entries) == len(held)


def test_attributes_lie_8_apart() -> None:
    asking = short()
    assert named(asking, 0x00B0) == octets(obis("1.0.1.8.0"))
    assert named(asking, 0x00B8).value == 77_160_512
    assert named(asking, 0x00C0) == structure(Data(15, 0), Data(22, 30))  # type: ignore[arg-type]
    answer = asking.ask(bytes.fromhex("05020200B80200C0"))
    assert answer[:3] == b"\x0c\x02\x00"


def test_field_13_the_demand_registers_scaler_is_attribute_4() -> None:
    asking = short()
    held = next(part for part in asking.line.meters[0].objects if part.class_id == 5)
    assert named(asking, held.base_name + 24) == structure(Data(15, 0), Data(22, 27))  # type: ignore[arg-type]
    assert 3000 < named(asking, held.base_name + 16).value < 15000
    assert named(asking, held.base_name + 56).value == 900


def test_unknown_names() -> None:
    asking = short()
    assert asking.ask(bytes.fromhex("0501027770")) == bytes.fromhex("0C010104")
    assert asking.ask(bytes.fromhex("06010200B80106000000 00".replace(" ", ""))) == bytes.fromhex("0D010103")


def test_block_transfer_with_read() -> None:
    asking = short(apdu=SN_BLOCKS, blocks=True)
    answer, whole, number = asking.ask(bytes.fromhex("050102FA08")), b"", 0
    while True:
        number += 1
        source = Source(answer)
        assert source.take(3) == b"\x0c\x01\x02"
        last = source.number()
        assert source.number(2) == number
        whole += source.string()
        source.end()
        if last:
            break
        answer = asking.ask(b"\x05\x01\x05" + number.to_bytes(2, "big"))
    assert decode(whole) == named(short(), 0xFA08)
    assert asking.ask(bytes.fromhex("0501050063")) == bytes.fromhex("0C010113")


def test_clients_without_and_with_a_password() -> None:
    assert short(32, SN_PASSWORD)
    asking = Client(MeterLine([zmd()]), client=32)
    asking.connect()
    assert asking.ask(SN_ASSOCIATE)[-1] == 12


def test_field_16_a_firmware_that_accepts_a_pdu_size_of_0_only() -> None:
    asking = Client(MeterLine([zmd(ZmdSettings(zero_pdu_only=True))]))
    asking.connect()
    assert asking.ask(SN_ASSOCIATE)[-4:] == bytes.fromhex("0E010603")
    assert asking.ask(SN_ASSOCIATE[:-2] + b"\0\0")[-16:][:2] == b"\x04\x0e"


def test_field_15_another_firmware_has_other_names() -> None:
    asking = short(first_name=0x0200)
    assert asking.ask(bytes.fromhex("05010200B8")) == bytes.fromhex("0C010104")
    assert named(asking, 0x0208).value == 77_160_512


def test_services_without_an_association() -> None:
    asking = Client(MeterLine([zmd()]))
    asking.connect()
    assert asking.ask(bytes.fromhex("05010200B8")) == bytes.fromhex("0E050201")


def test_its_device_name() -> None:
    assert named(short(), 0xFD08) == octets(b"LGZ94407512")
    assert named(short(), 0xFC08) == array(structure(Data(18, 1), octets(b"LGZ94407512")))  # type: ignore[arg-type]


def test_energy_is_the_integral_of_the_power_and_known_before_the_start() -> None:
    readings = Readings(phase=17.0)
    assert readings.energy(0.0) == readings.base
    before, hour = readings.energy(-3600.0), readings.energy(3600.0)
    assert before < readings.base < hour
    watts = sum(readings.power(second + 0.5) for second in range(3600)) / 3600
    assert hour - readings.base == pytest.approx(watts, rel=1e-6)


def test_the_start_of_the_clock_is_a_setting() -> None:
    start = datetime(2026, 7, 1, 12, tzinfo=UTC)
    asking = short(meter=MeterSettings(Address(1), start=start, started=-60.0))
    held = next(part for part in asking.line.meters[0].objects if part.class_id == 8)
    assert named(asking, held.base_name + 8).value.hex() == "07ea0701030e0100ffff8880"  # summer time
    assert start != START


TIMES = st.one_of(st.binary(min_size=12, max_size=12), st.just(bytes.fromhex("0001010101000000FF800000")))


@settings(max_examples=40)
@given(st.lists(st.binary(min_size=1, max_size=60), max_size=5), st.booleans())
def test_no_request_breaks_it(apdus: list[bytes], by_short_names: bool) -> None:
    asking = short() if by_short_names else reading()
    server, client = asking.line.meters[0].server, 16 if by_short_names else 1
    for apdu in apdus:
        for tag in (b"", b"\xc0\x01\xc1", b"\xc0\x03", b"\xc3\x01", b"\x05\x01", b"\x06\x01", b"\xe0", b"\x60"):
            answer = server.serve(tag + apdu, client, 1.0)
            assert answer
    assert server.serve(LN_PASSWORD, client, 100.0)


@settings(max_examples=30)
@given(TIMES, TIMES)
def test_no_range_breaks_it(begin: bytes, end: bytes) -> None:
    asking = reading()
    question = get(7, "1.0.99.1.0", 2)[:-1] + bytes.fromhex("01010204020412000809060000010000FF0F02120000")
    question += b"\x09\x0c" + begin + b"\x09\x0c" + end + b"\x01\x00"
    assert asking.ask(question)[:3] in (bytes.fromhex("C401C1"), bytes.fromhex("C402C1"))
