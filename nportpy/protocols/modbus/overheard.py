"""Whose answers are in what a line was heard to say, whoever had asked for them.

For finding out who is there; an awaited answer is the business of rtu_reply.py. Frames as in MODBUS over Serial Line
V1.02, 2.5.1.
"""

from fastcrc import crc16

from nportpy.protocols.modbus.functions import answer_length
from nportpy.protocols.modbus.pdu import EXCEPTION_BIT, ExceptionCode

_OVERHEAD = 3  # unit and CRC
_LAST_UNIT = 247
_OF_GATEWAYS = (ExceptionCode.GATEWAY_PATH_UNAVAILABLE, ExceptionCode.GATEWAY_TARGET_FAILED_TO_RESPOND)


def answering(data: bytes) -> set[int]:
    """The units of which there is a whole answer, or an exception, with a right CRC somewhere in `data`.

    What a gateway says in the place of a unit that is not there, exceptions 0A and 0B, is not the unit's. Of functions
    that are not public nothing is found. Noise makes an answer by chance once in 65536 places.
    """
    units: set[int] = set()
    at = 0
    while at < len(data) - _OVERHEAD:
        length = answer_length(data, at + 1)
        end = at + length + _OVERHEAD
        if length > 0 and end <= len(data) and 1 <= data[at] <= _LAST_UNIT and crc16.modbus(data[at:end]) == 0:
            if not (data[at + 1] & EXCEPTION_BIT and data[at + 2] in _OF_GATEWAYS):
                units.add(data[at])
            at = end
        else:
            at += 1
    return units
