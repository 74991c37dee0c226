"""The Modbus protocol data unit: function code and data, the same on every wire.

Source: MODBUS Application Protocol Specification V1.1b3; clauses are given beside the code. Addresses are those
of the PDU, from 0: what a device's manual calls holding register 41001 is address 1000.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

from nportpy.errors import ProtocolError

MAX_PDU = 253
"""The longest PDU in bytes (4.1)."""

MAX_READ_BITS = 2000
"""Coils or inputs that one answer can carry (6.1, 6.2)."""

MAX_READ_REGISTERS = 125
"""Registers that one answer can carry (6.3, 6.4, 6.17)."""

MAX_WRITE_BITS = 1968
"""Coils that one request can carry (6.11)."""

MAX_WRITE_REGISTERS = 123
"""Registers that one request can carry (6.12); 6.17 allows two fewer."""

EXCEPTION_BIT = 0x80
"""Set in the function code of an exception answer (7)."""


class FunctionCode(IntEnum):
    """Public function codes (5.1). 65 to 72 and 100 to 110 are the user's; vendors use others besides."""

    READ_COILS = 1
    READ_DISCRETE_INPUTS = 2
    READ_HOLDING_REGISTERS = 3
    READ_INPUT_REGISTERS = 4
    WRITE_SINGLE_COIL = 5
    WRITE_SINGLE_REGISTER = 6
    READ_EXCEPTION_STATUS = 7
    DIAGNOSTICS = 8
    GET_COMM_EVENT_COUNTER = 11
    GET_COMM_EVENT_LOG = 12
    WRITE_MULTIPLE_COILS = 15
    WRITE_MULTIPLE_REGISTERS = 16
    REPORT_SERVER_ID = 17
    READ_FILE_RECORD = 20
    WRITE_FILE_RECORD = 21
    MASK_WRITE_REGISTER = 22
    READ_WRITE_MULTIPLE_REGISTERS = 23
    READ_FIFO_QUEUE = 24
    ENCAPSULATED_INTERFACE_TRANSPORT = 43


READS_REGISTERS = frozenset((FunctionCode.READ_HOLDING_REGISTERS, FunctionCode.READ_INPUT_REGISTERS))
"""The functions that do nothing but read registers."""

READ_DEVICE_IDENTIFICATION = 14
"""The MEI type of function 43 that reads who made the device (6.21)."""


class ExceptionCode(IntEnum):
    """Why a server, or a gateway in its place, refused (7)."""

    ILLEGAL_FUNCTION = 1
    ILLEGAL_DATA_ADDRESS = 2
    ILLEGAL_DATA_VALUE = 3
    SERVER_DEVICE_FAILURE = 4
    ACKNOWLEDGE = 5
    SERVER_DEVICE_BUSY = 6
    MEMORY_PARITY_ERROR = 8
    GATEWAY_PATH_UNAVAILABLE = 10
    GATEWAY_TARGET_FAILED_TO_RESPOND = 11


@dataclass(frozen=True, slots=True)
class ReadRegisters:
    """A request to read `count` registers from `address` on (6.3, 6.4).

    What it holds is not judged here: a server answers a count of 0 with an exception.
    """

    function: FunctionCode
    address: int
    count: int

    def encode(self) -> bytes:
        """The PDU."""
        return struct.pack(">BHH", self.function, self.address, self.count)

    @classmethod
    def parse(cls, pdu: bytes) -> "ReadRegisters":
        """The request that `pdu` is.

        Raises:
            ProtocolError: it is not a request to read registers, or of the wrong length.
        """
        if len(pdu) != 5:
            raise ProtocolError(f"a request to read registers has 5 bytes, not {len(pdu)}")
        function, address, count = struct.unpack(">BHH", pdu)
        if function not in READS_REGISTERS:
            raise ProtocolError(f"function {function} does not read registers")
        return cls(FunctionCode(function), address, count)


@dataclass(frozen=True, slots=True)
class Registers:
    """The registers that a server sent (6.3, 6.4), as sent: `data` has two bytes for each, the high one first."""

    function: FunctionCode
    data: bytes

    def encode(self) -> bytes:
        """The PDU."""
        return bytes((self.function, len(self.data))) + self.data


@dataclass(frozen=True, slots=True)
class Refusal:
    """An exception answer (7). Codes beyond `ExceptionCode` are in use, so `code` is a plain number."""

    function: int
    code: int

    def encode(self) -> bytes:
        """The PDU."""
        return bytes((self.function | EXCEPTION_BIT, self.code))


def parse_answer(request: ReadRegisters, pdu: bytes) -> Registers | Refusal:
    """What a server answered to `request`.

    Raises:
        ProtocolError: `pdu` is no answer to it: another function, or another number of registers.
    """
    if len(pdu) == 2 and pdu[0] == request.function | EXCEPTION_BIT:
        return Refusal(request.function, pdu[1])
    if not pdu or pdu[0] != request.function:
        raise ProtocolError(f"not an answer to function {request.function:d}: {pdu.hex(' ')}")
    size = 2 * request.count
    if len(pdu) != 2 + size or pdu[1] != size:
        raise ProtocolError(f"not an answer with {request.count} registers: {pdu.hex(' ')}")
    return Registers(request.function, pdu[2:])
