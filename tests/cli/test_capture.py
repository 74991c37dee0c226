"""`nportpy capture` into a pipe: what has come is handed on, and not kept for a fuller buffer (C21)."""

import io
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner

from nportpy.cli import main
from nportpy.cli.capture import _Files
from nportpy.linesettings import LineSettings
from nportpy.protocols.capture.packets import Capture
from nportpy.protocols.capture.pcapng import Packet, Reader
from nportpy.protocols.capture.records import RX, Record


class Pipe(io.BytesIO):
    """A pipe's writing end: `passed` is what its reader can have, `flushes` how often it was given more."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = b""
        self.flushes = 0

    def flush(self) -> None:
        super().flush()
        self.flushes += 1
        self.passed = self.getvalue()


class Stdout:
    """Standard output, which is a pipe."""

    def __init__(self, pipe: Pipe) -> None:
        self.buffer = pipe

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.__stdout__, name)


def packets(data: bytes) -> int:
    return sum(isinstance(block, Packet) for block in list(Reader().feed(data)))


def test_c21_each_piece_that_comes_is_flushed_once_before_the_next_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipe = Pipe()
    monkeypatch.setattr(sys, "stdout", Stdout(pipe))
    capture = Capture("bus", LineSettings(), requests=False)

    def pieces() -> Iterator[bytes]:
        yield capture.head()
        assert pipe.passed  # Wireshark shows the interfaces before there is a packet
        for number in range(20):
            data = capture.feed([(number * 10**9, Record(number, number * 10**9, RX, b"x", None))]) + capture.flush()
            yield data[:10]  # however the network cuts it
            before = pipe.flushes
            yield data[10:]
            assert packets(pipe.passed) == number + 1
            assert pipe.flushes == before + 1  # and no more system calls than pieces

    files = _Files("-", None, None)
    files.write(pieces())
    files.close()
    assert files.packets == 20
    assert not pipe.closed  # it is not ours


class CutOff(BaseHTTPRequestHandler):
    """Ends the first stream in its midst, and says why to who asks again."""

    protocol_version = "HTTP/1.1"
    asked = 0

    def do_GET(self) -> None:
        CutOff.asked += 1
        detail = b'{"detail": "127.0.0.1 is not in capture.allow"}'
        self.send_response(200 if CutOff.asked == 1 else 403)
        if CutOff.asked == 1:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(detail)))
        self.end_headers()
        self.wfile.write(b"1\r\n\n\r\n" if CutOff.asked == 1 else detail)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.mark.parametrize("command", [("monitor",), ("capture", "-w", "/dev/null")])
def test_c24_who_is_put_out_is_told_why(command: tuple[str, ...]) -> None:
    CutOff.asked = 0
    with HTTPServer(("127.0.0.1", 0), CutOff) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        name, *options = command
        result = CliRunner().invoke(main, [name, f"127.0.0.1:{server.server_port}", "bus", *options])
        server.shutdown()
    assert "says: 127.0.0.1 is not in capture.allow" in result.output
