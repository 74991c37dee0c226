"""A client of the simulated meters that knows just enough to ask them."""

from nportpy.simulator.cosem.frames import Frame, Reader
from nportpy.simulator.cosem.line import MeterLine
from nportpy.simulator.device import Device

LN_ASSOCIATE = bytes.fromhex("601DA109060760857405080101BE10040E01000000065F1F0400007E1F04B0")
LN_PASSWORD = bytes.fromhex(
    "6036A1090607608574050801018A0207808B0760857405080201AC0A80083132333435363738BE10040E01000000065F1F0400007E1F04B0"
)
SN_ASSOCIATE = bytes.fromhex("601DA109060760857405080102BE10040E01000000065F1F04001C0320FFFF")
SN_BLOCKS = bytes.fromhex("601DA109060760857405080102BE10040E01000000065F1F04001C1320FFFF")


def heard(device: Device, data: bytes, now: float = 0.0) -> list[Frame]:
    """The frames that a device answers to bytes."""
    return Reader().feed(b"".join(answer.data for answer in device.feed(data, now)))


class Client:
    """One client of one meter; `now` is the time of everything that it does."""

    def __init__(self, line: MeterLine, server: bytes = b"\x03", client: int = 16) -> None:
        self.line = line
        self.server = server
        self.source = bytes((client << 1 | 1,))
        self.now = 0.0
        self.send = self.receive = 0

    def frame(self, control: int, information: bytes = b"", segmented: bool = False) -> list[Frame]:
        """What is answered to a frame."""
        frame = Frame(self.server, self.source, control, information, segmented)
        return heard(self.line, frame.encode(), self.now)

    def connect(self, information: bytes = b"") -> Frame:
        self.send = self.receive = 0
        (answer,) = self.frame(0x93, information)
        assert answer.control == 0x73
        return answer

    def raw(self, apdu: bytes) -> list[Frame]:
        """What is answered to an I frame with an APDU, before the counters move."""
        return self.frame(self.receive << 5 | 0x10 | self.send << 1, b"\xe6\xe6\x00" + apdu)

    def ask(self, apdu: bytes) -> bytes:
        """The APDU that answers one, in as many segments as it takes."""
        frames = self.raw(apdu)
        self.send = (self.send + 1) % 8
        whole = b""
        while True:
            for frame in frames:
                assert not frame.control & 1, f"control {frame.control:#x}"
                assert frame.control >> 5 == self.send
                assert frame.control >> 1 & 7 == self.receive
                self.receive = (self.receive + 1) % 8
                whole += frame.information
            if not frames[-1].segmented:
                break
            frames = self.rr()
        assert whole[:3] == b"\xe6\xe7\x00"
        return whole[3:]

    def rr(self) -> list[Frame]:
        return self.frame(self.receive << 5 | 0x11)
