"""Runs programs in the guest for whoever connects: this file is copied there and is its first process.

One connection is one program. The client sends a line of JSON: `argv`, `input` (text for standard input). Lines
come back: `{"pid": n}`, then `{"out": text}` and `{"err": text}` as they appear, then `{"rc": n}`. Further lines
from the client are `{"signal": n}`. A client that goes takes its program with it.
"""

import contextlib
import json
import os
import signal
import socket
import socketserver
import subprocess
import threading
from typing import IO, Any

PORT = 9000


class Session(socketserver.StreamRequestHandler):
    """One program."""

    def handle(self) -> None:
        """Run it."""
        self.lock = threading.Lock()
        line = self.rfile.readline()
        if not line:
            return
        request = json.loads(line)
        try:
            program = subprocess.Popen(
                request["argv"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            self.tell(err=f"{error}\n")
            self.tell(rc=127)
            return
        self.tell(pid=program.pid)
        pumps = [
            threading.Thread(target=self.pump, args=("out", program.stdout)),
            threading.Thread(target=self.pump, args=("err", program.stderr)),
        ]
        for pump in pumps:
            pump.start()
        threading.Thread(target=self.obey, args=(program,), daemon=True).start()
        feed(program, request.get("input", ""))
        code = program.wait()
        for pump in pumps:
            pump.join(5)  # a child it left behind may hold the pipe for ever
        self.tell(rc=code)
        self.connection.shutdown(socket.SHUT_RDWR)  # ends obey(), which else keeps the connection from closing

    def pump(self, name: str, pipe: IO[bytes]) -> None:
        """Hand on what the program says."""
        while data := os.read(pipe.fileno(), 65536):
            self.tell(**{name: data.decode(errors="replace")})

    def obey(self, program: subprocess.Popen[bytes]) -> None:
        """Signal the program as the client says, and kill it when the client has gone."""
        try:
            for line in self.rfile:
                program.send_signal(json.loads(line)["signal"])
        except OSError:
            pass
        if program.poll() is None:
            os.killpg(program.pid, signal.SIGKILL)

    def tell(self, **message: Any) -> None:
        """Send one message; nobody listens once the client has gone."""
        with self.lock, contextlib.suppress(OSError):
            self.wfile.write(json.dumps(message).encode() + b"\n")


def feed(program: subprocess.Popen[bytes], text: str) -> None:
    """Give the program its input, as far as it wants it."""
    assert program.stdin is not None
    try:
        program.stdin.write(text.encode())
        program.stdin.close()
    except BrokenPipeError:
        pass


class Agent(socketserver.ThreadingTCPServer):
    """Listens for programs to run."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 32


if __name__ == "__main__":
    with Agent(("", PORT), Session) as agent:
        agent.serve_forever()
