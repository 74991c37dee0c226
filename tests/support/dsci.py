"""The Linux daemon's watch over its servers by UDP 4800, without the socket: it tears down what seems dead.

With its default of a minute: per server a search until it is answered, then what the server is, then every 10 s which
connections it has; and all that only while a port is open. By IPv6 the search and the list are those of function 79.
"""

import math
import struct
from typing import Final

SEARCH_AGAIN: Final = 6.0
ROUND: Final = 10.0
DEAD_AFTER: Final = 60.0

_LISTEN = 1
_ESTABLISHED = 4


class Daemon:
    """The daemon, for one server and one port of it.

    Attributes:
        torn_down: why it closed both connections, and when; empty while it has not.
        ignored: answers that it did not take.
        listed: ports of all connections that the server told of: the client's and the server's.
    """

    def __init__(self, ports: tuple[int, int], own_ports: tuple[int, int], now: float, *, ipv6: bool = False) -> None:
        """The port was opened.

        Args:
            ports: the server's data and command port.
            own_ports: this end of those two connections.
            now: the time; `int(now)` is the machine's uptime.
            ipv6: the server has an IPv6 address.
        """
        self._ipv6 = ipv6
        self.torn_down: list[tuple[float, str]] = []
        self.listed: set[tuple[int, int]] = set()
        self.ignored: list[bytes] = []
        self._ports = ports
        self._own_ports = own_ports
        self._heard_at = now
        self._last_id = -1
        self._device: bytes | None = None
        self._function = 0  # of the netstat that the server knows; 0 while nothing is known of it
        self._failed = 0
        self._ask_at = now
        self._output: list[bytes] = []

    def serial_activity(self, now: float) -> None:
        """Bytes went one way or the other."""
        self._heard_at = now

    def take_output(self) -> list[bytes]:
        """Datagrams to the server's port 4800."""
        output, self._output = self._output, []
        return output

    def deadline(self) -> float:
        """When to call `expire`."""
        return math.inf if self.torn_down else min(self._ask_at, self._heard_at + DEAD_AFTER)

    def expire(self, now: float) -> None:
        """Its time has come."""
        if self.torn_down:
            return
        if now >= self._heard_at + DEAD_AFTER:
            self.torn_down.append((now, "silent"))
        elif now >= self._ask_at:
            self._ask(now)

    def _ask(self, now: float) -> None:
        if self._device is None:
            if self._ipv6:
                self._send(0x79, bytes(12) + bytes.fromhex("01 00 00 00 00 01 00 01"), now)
            else:
                self._send(0x01, b"", now)
            self._ask_at = now + SEARCH_AGAIN
        elif not self._function:
            self._send(0x16, self._device, now)
            self._ask_at = now + SEARCH_AGAIN
        elif self._ipv6:
            kind = bytes.fromhex("01 00 00 00 00 02 00 04 00 40 00 00")  # 64 entries, from the first
            self._send(0x79, self._device + kind, now)
            self._ask_at = now + ROUND
        else:
            body = b"\x80\0" if self._function == 0x14 else b"\0\xff\0\0"
            self._send(self._function, self._device + body, now)
            self._ask_at = now + ROUND

    def _send(self, function: int, body: bytes, now: float) -> None:
        head = bytes((function, 0)) + (8 + len(body)).to_bytes(2, "big")
        number = bytes(4) if self._device is None else int(now).to_bytes(4, "big")
        self._output.append(head + number + body)

    def datagram_received(self, data: bytes, port: int, now: float) -> None:
        """A datagram came from the server's address."""
        if port != 4800 or len(data) < 24 or data[1] or int.from_bytes(data[2:4], "big") != len(data):
            self.ignored.append(data)
            return
        number = int.from_bytes(data[4:8], "big")
        if data[0] != 0x81 and self._device is not None and number <= self._last_id:
            self.ignored.append(data)
            return
        self._last_id = max(self._last_id, number)
        self._take(data, now)

    def _take(self, data: bytes, now: float) -> None:
        if data[0] == 0x81 and len(data) in (24, 40) and any(data[8:12]) and not self._ipv6:
            self._device = data[8:20]
            self._ask_at = now
        elif data[0] == 0xF9 and self._ipv6:
            self._take_ipv6(data, now)
            return
        elif data[0] == 0x96 and len(data) == 36:
            self._function = 0x1D if any(data[34:36]) else 0x14
            self._ask_at = now + ROUND
        elif data[0] in (0x94, 0x9D) and len(data) == 24 + 16 * int.from_bytes(data[20:22], "little"):
            self._check([data[at : at + 16] for at in range(24, len(data), 16)], now)
        else:
            self.ignored.append(data)
            return
        self._heard_at = now

    def _take_ipv6(self, data: bytes, now: float) -> None:
        if self._device is None and len(data) >= 44 and (len(data) - 44) % 16 == 0 and any(data[8:12]):
            self._device = data[8:20]
            self._ask_at = now
        elif (
            data[8:20] == self._device
            and data[20:28] == bytes.fromhex("01 00 00 00 00 02 00 04")
            and len(data) == 32 + 40 * int.from_bytes(data[28:30], "big")
        ):
            self._check([data[at : at + 40] for at in range(32, len(data), 40)], now)
        else:
            self.ignored.append(data)
            return
        self._heard_at = now

    def _check(self, entries: list[bytes], now: float) -> None:
        """A port that is listed as listening must have its connections listed too; twice in a row they were not."""
        listens = own = 0
        at, state, ports = (32, 37, ">HH") if self._ipv6 else (8, 13, "<HH")
        for entry in entries:
            remote_port, local_port = struct.unpack_from(ports, entry, at)
            self.listed.add((remote_port, local_port))
            listens += entry[state] == _LISTEN and local_port in self._ports
            own += entry[state] == _ESTABLISHED and remote_port in self._own_ports
        self._failed = self._failed + 1 if listens and own < len(self._own_ports) else 0
        if self._failed == 2:
            self.torn_down.append((now, "not listed"))
