"""The simulator's own codec against frames that independent programs agreed about: what a client sends is read, what a
meter sends is written, byte by byte."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from nportpy.simulator.cosem import frames, logical, security, short
from nportpy.simulator.cosem.acse import (
    RELEASED,
    Conformance,
    Context,
    Diagnostic,
    Initiate,
    InitiateError,
    Mechanism,
    Outcome,
    Request,
    Response,
    initiate_response,
)
from nportpy.simulator.cosem.clock import Zone
from nportpy.simulator.cosem.data import (
    Data,
    MalformedError,
    array,
    double_long_unsigned,
    encode,
    encode_compact,
    integer,
    long,
    long_unsigned,
    octets,
    structure,
    unsigned,
)
from nportpy.simulator.cosem.frames import Address, Control, Frame, Reader
from nportpy.simulator.cosem.link import UaForm, _Limits, _parameters
from nportpy.simulator.cosem.logical import Action, GeneralBlock, Get, Kind, Reference, Refusal
from nportpy.simulator.cosem.objects import Selection, obis, scaler_unit
from nportpy.simulator.cosem.security import Keys
from nportpy.simulator.cosem.short import Named, Read, Write
from tests.simulator.cosem.vectors import VECTORS, vector

CLIENT, SERVER = b"\x21", b"\x03"
UTC_1 = Zone(60, summer=False)
ENERGY = obis("1.0.1.8.0")
STAMP = datetime(2026, 11, 20, 23, tzinfo=UTC)
ROWS = array(
    structure(octets(UTC_1.encode(STAMP)), double_long_unsigned(1000)),
    structure(octets(UTC_1.encode(STAMP.replace(minute=15))), double_long_unsigned(1012)),
)
CLOCK_COLUMN = structure(long_unsigned(8), octets(obis("0.0.1.0.0")), integer(2), long_unsigned(0))


def bound(hour: int) -> Data:
    return octets(bytes.fromhex("07EA0B15FF") + bytes((hour, 0, 0)) + bytes.fromhex("FF800000"))


BY_RANGE = Selection(1, structure(CLOCK_COLUMN, bound(0), bound(1), array()))
BY_ENTRY = Selection(2, structure(double_long_unsigned(1), double_long_unsigned(2), long_unsigned(1), long_unsigned(0)))
CHALLENGE, SECRET = b"K56iVagY", b"12345678"
F_STOC = security.digest(Mechanism.MD5, b"P6wRJ21F", SECRET)
F_CTOS = security.digest(Mechanism.MD5, CHALLENGE, SECRET)

LN_SERVICES, SN_SERVICES = Conformance(0x00501F), Conformance(0x1C0320)
LN_PROPOSED = Conformance(0x007E1F)


def answer(control: int, apdu: bytes) -> bytes:
    return Frame(CLIENT, SERVER, control, b"\xe6\xe7\x00" + apdu).encode()


def accepted(context: Context, services: Conformance, mechanism: int = 0, challenge: bytes = b"") -> bytes:
    diagnostic = Diagnostic.AUTHENTICATION_REQUIRED if mechanism else Diagnostic.NONE
    user = initiate_response(services, 500, context is Context.SHORT)
    return Response(context, Outcome.ACCEPTED, diagnostic, user, mechanism, challenge).encode()


def refused(diagnostic: Diagnostic, user: bytes = b"") -> bytes:
    return Response(Context.LOGICAL, Outcome.REJECTED_PERMANENT, diagnostic, user).encode()


OBJECTS = array(
    *(
        structure(long(base), long_unsigned(class_id), unsigned(version), octets(obis(name)))
        for base, class_id, version, name in (
            (0xFA00 - 0x10000, 12, 3, "0.0.40.0.0"),
            (0x00B0, 3, 0, "1.0.1.8.0"),
            (0x1380, 7, 1, "1.0.99.1.0"),
        )
    )
)
GOT = logical.normal(0xC1, double_long_unsigned(77160))
RAW = encode(ROWS)

SENT: dict[str, bytes] = {
    "H3": Frame(CLIENT, SERVER, Control.UA, _Limits().encode(UaForm.PLAIN)).encode(),
    "H4": Frame(CLIENT, SERVER, Control.UA, _Limits().encode(UaForm.EMPTY)).encode(),
    "H6": Frame(CLIENT, SERVER, Control.DM).encode(),
    "A2": answer(0x30, accepted(Context.LOGICAL, LN_SERVICES)),
    "A4": answer(0x30, refused(Diagnostic.AUTHENTICATION_FAILURE)),
    "A6": answer(0x30, accepted(Context.LOGICAL, LN_SERVICES, Mechanism.MD5, b"P6wRJ21F")),
    "A8": answer(0x30, accepted(Context.SHORT, SN_SERVICES)),
    "A10": answer(0x30, refused(Diagnostic.CONTEXT_NOT_SUPPORTED, InitiateError.VERSION_TOO_LOW.encode())),
    "A12": answer(0x74, RELEASED),
    "L2": answer(0x52, GOT),
    "L4": answer(0x74, logical.normal(0xC1, scaler_unit(0, 30))),
    "L6": answer(0x52, logical.normal(0xC1, octets(UTC_1.encode(datetime(2026, 11, 21, 17, 58, 15, tzinfo=UTC))))),
    "L7": answer(0x52, logical.normal(0xC1, 4)),
    "L9": answer(0x52, logical.listed(0xC1, [long_unsigned(2306), 3])),
    "L12": answer(0x52, logical.block(0xC1, 1, RAW[:30], last=False)),
    "L14": answer(0x74, logical.block(0xC1, 2, RAW[30:], last=True)),
    "L15": answer(0x52, logical.exception(1, Refusal.NOT_SUPPORTED)),
    "L16": answer(0x52, short.service_error(1, 6, 1)),
    "L18": answer(0x52, Action(0xC1, Reference(15, b"", 1), None).response(0, octets(F_CTOS))),  # type: ignore[arg-type]
    "S2": answer(0x52, short.response([double_long_unsigned(77160)])),
    "S4": answer(0x52, short.response([double_long_unsigned(77160), scaler_unit(0, 30)])),
    "S5": answer(0x52, short.response([4])),
    "S8": answer(0x52, short.block(1, RAW[:30], last=False)),
    "S10": answer(0x74, short.block(2, RAW[30:], last=True)),
    "S12": answer(0x52, short.response([OBJECTS])),
    "S13": answer(0x52, short.service_error(5, 3, 0)),
    "B1": answer(0x52, GeneralBlock(1, 0, GOT, last=True).encode()),
}

INITIATE = Initiate(6, LN_PROPOSED, 1200)


def associate(apdu: bytes) -> tuple[Request, Initiate]:
    request = Request.parse(apdu)
    return request, Initiate.parse(request.user)


READ: dict[str, tuple[Callable[[bytes], object], object]] = {
    "A1": (associate, (Request(1, user=bytes.fromhex("01000000065F1F0400007E1F04B0")), INITIATE)),
    "A3": (associate, (Request(1, 1, b"12345678", user=bytes.fromhex("01000000065F1F0400007E1F04B0")), INITIATE)),
    "A5": (
        associate,
        (
            Request(1, 3, CHALLENGE, user=bytes.fromhex("01000000065F1F0400007E1FFFFF")),
            Initiate(6, LN_PROPOSED, 0xFFFF),
        ),
    ),
    "A7": (
        associate,
        (Request(2, user=bytes.fromhex("01000000065F1F04001C0320FFFF")), Initiate(6, SN_SERVICES, 0xFFFF)),
    ),
    "A9": (
        associate,
        (
            Request(2, 1, b"00000000", user=bytes.fromhex("01000000065F1F04001C0320FFFF")),
            Initiate(6, SN_SERVICES, 0xFFFF),
        ),
    ),
    "A11": (lambda apdu: apdu, bytes.fromhex("6203800100")),
    "L1": (Get.parse, Get(Kind.NORMAL, 0xC1, (Reference(3, ENERGY, 2),))),
    "L3": (Get.parse, Get(Kind.NORMAL, 0xC1, (Reference(3, ENERGY, 3),))),
    "L5": (Get.parse, Get(Kind.NORMAL, 0xC1, (Reference(8, obis("0.0.1.0.0"), 2),))),
    "L8": (
        Get.parse,
        Get(Kind.WITH_LIST, 0xC1, (Reference(3, obis("1.0.32.7.0"), 2), Reference(3, obis("1.0.52.7.0"), 2))),
    ),
    "L10": (Get.parse, Get(Kind.NORMAL, 0xC1, (Reference(7, obis("1.0.99.1.0"), 2, BY_RANGE),))),
    "L11": (Get.parse, Get(Kind.NORMAL, 0xC1, (Reference(7, obis("1.0.99.1.0"), 2, BY_ENTRY),))),
    "L13": (Get.parse, Get(Kind.NEXT, 0xC1, block=1)),
    "L17": (Action.parse, Action(0xC1, Reference(15, obis("0.0.40.0.0"), 1), octets(F_STOC))),
    "S1": (Read.parse, Read((Named(0xB8),))),
    "S3": (Read.parse, Read((Named(0xB8), Named(0xC0)))),
    "S6": (Read.parse, Read((Named(0x1388, BY_RANGE),))),
    "S7": (Read.parse, Read((Named(0x1388, BY_ENTRY),))),
    "S9": (Read.parse, Read(block=1)),
    "S11": (Read.parse, Read((Named(0xFA08),))),
    "S14": (Write.parse, Write((Named(0xFA58),), (octets(F_STOC),))),
}

LINK: dict[str, Frame] = {
    "H1": Frame(SERVER, CLIENT, Control.SNRM),
    "H2": Frame(SERVER, CLIENT, Control.SNRM, bytes.fromhex("8180140502010006020100070400000001080400000001")),
    "H5": Frame(SERVER, CLIENT, Control.DISC),
    "H7": Frame(SERVER, CLIENT, frames.receive_ready(1)),
    "H9": Frame(Address(1, 17).encode(), CLIENT, Control.SNRM),
    "H10": Frame(Address(1, 17, 4).encode(), CLIENT, Control.SNRM),
    "H11": Frame(Address(1, 1234, 4).encode(), CLIENT, Control.SNRM),
    "G2": Frame(SERVER, CLIENT, frames.receive_ready(2)),
}


def test_every_vector_is_here() -> None:
    assert set(VECTORS) == {*SENT, *READ, *LINK, "G1", "G3"}
    assert len(VECTORS) == 58


@pytest.mark.parametrize("name", SENT)
def test_what_a_meter_sends(name: str) -> None:
    assert SENT[name].hex() == vector(name).hex()


@pytest.mark.parametrize("name", READ)
def test_what_a_client_asks(name: str) -> None:
    parse, meant = READ[name]
    (frame,) = Reader().feed(vector(name))
    assert frame.information[:3] == b"\xe6\xe6\x00"
    assert parse(frame.information[3:]) == meant


@pytest.mark.parametrize("name", LINK)
def test_what_a_client_says_on_the_link(name: str) -> None:
    (frame,) = Reader().feed(vector(name))
    assert frame == LINK[name]
    assert frame.encode() == vector(name)
    assert Address.decode(frame.destination).encode() == frame.destination


def test_what_a_client_wishes() -> None:
    (frame,) = Reader().feed(vector("H2"))
    assert _parameters(frame.information) == {5: 256, 6: 256, 7: 1, 8: 1}
    mixed = bytes.fromhex("7EA020204127930C0C81801305018006020200070400000001080400000001B4F97E")
    (frame,) = Reader().feed(mixed)
    assert (frame.client, _parameters(frame.information)) == (19, {5: 128, 6: 512, 7: 1, 8: 1})


def test_a_long_answer_in_segments() -> None:
    apdu = b"\xe6\xe7\x00" + short.response([OBJECTS])
    cut = len(Reader().feed(vector("G1"))[0].information)
    first = Frame(CLIENT, SERVER, frames.information(1, 2), apdu[:cut], segmented=True)
    assert first.encode() == vector("G1")
    assert Frame(CLIENT, SERVER, frames.information(2, 2), apdu[cut:]).encode() == vector("G3")


@pytest.mark.parametrize("name", VECTORS)
def test_every_vector_byte_by_byte_and_among_rubbish(name: str) -> None:
    wire = vector(name)
    (whole,) = Reader().feed(wire)
    reader = Reader()
    found = [frame for byte in b"\x00\xff\x7e\x7e\x55" + wire for frame in reader.feed(bytes((byte,)))]
    assert found == [whole]
    assert reader.feed(b"\x7e\x7e" + wire[1:]) == [whole]  # fill, and one flag between two frames
    assert Reader().feed(wire[:-1] + wire) == [whole, whole]


@pytest.mark.parametrize("name", [name for name in VECTORS if name in READ])
def test_a_request_that_is_cut_is_malformed_or_none(name: str) -> None:
    parse, _ = READ[name]
    if name == "A11":
        return
    (frame,) = Reader().feed(vector(name))
    apdu = frame.information[3:]
    for size in range(1, len(apdu)):
        with pytest.raises(MalformedError):
            parse(apdu[:size])


def test_a_wrong_check_sum_is_no_frame() -> None:
    wire = bytearray(vector("L1"))
    for at in range(1, len(wire) - 1):
        spoilt = bytearray(wire)
        spoilt[at] ^= 0x01
        assert not Reader().feed(bytes(spoilt))


def test_a_compact_array() -> None:
    rows = array(*(structure(double_long_unsigned(a), long_unsigned(b)) for a, b in ((1000, 230), (1012, 231))))
    assert encode_compact(rows).hex() == "13020206120c000003e800e6000003f400e7"


def test_answers_to_challenges() -> None:
    assert F_STOC.hex() == "53d4537e37dab4ff089629e25557af9f"
    assert F_CTOS.hex() == "870f56d7f2ba75482ca41be31a21630b"
    sha1 = security.digest(Mechanism.SHA1, b"P6wRJ21F", SECRET)
    assert sha1.hex() == "6dbd949d1b1efdd6fe5f9ea627877e986e8708cb"


def test_answers_to_challenges_by_gmac() -> None:
    pytest.importorskip("cryptography")
    keys = Keys(bytes(range(16)), bytes(range(0xD0, 0xE0)))
    client = security.gmac(keys, bytes.fromhex("4D4D4D0000000001"), bytes.fromhex("00000001"), b"P6wRJ21F")
    assert client.hex().upper() == "10000000011A52FE7DD3E72748973C1E28"
    server = security.gmac(keys, bytes.fromhex("4D4D4D0000BC614E"), bytes.fromhex("01234567"), CHALLENGE)
    assert server.hex().upper() == "1001234567FE1466AFB3DBCD4F9389E2B7"
