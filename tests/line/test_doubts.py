"""What a line's requests cannot be sure of."""

import math

from nportpy.line.doubts import Doubts
from nportpy.protocols.modbus.rtu_reply import ReplyFinder


def test_doubts_are_over_when_their_time_has_come() -> None:
    doubts = Doubts(ReplyFinder())
    assert doubts.clears == math.inf
    doubts.add(1, 3, 10)
    doubts.add(2, 3, 5)
    doubts.add(2, 3, 8)  # asked again
    doubts.look(6)
    assert doubts.until == {(1, 3): 10, (2, 3): 8}
    assert doubts.clears == 8
    doubts.look(8)
    assert doubts.until == {(1, 3): 10}
    doubts.look(10)
    assert not doubts.until
    assert doubts.clears == math.inf
