"""`nportpy capture`: what is on a line of a running gateway, as a file or a pipe for Wireshark."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

import click

from nportpy.cli import completion
from nportpy.cli.options import parsed
from nportpy.cli.tls_options import https_context, tls_options
from nportpy.cli.tokens import token_file
from nportpy.cli.watching import NotThere, one_port, parted, pieces, stream, why_ended
from nportpy.config.values import duration, duration_text, size
from nportpy.errors import ProtocolError
from nportpy.network.tls_settings import TlsSettings
from nportpy.protocols.capture.pcapng import HEAD_KINDS, Blocks

_PACKET: Final = 6


@click.command()
@click.argument("words", nargs=-1, metavar="[URL] [PORT]", shell_complete=completion.lines)
@click.option("-w", "--write", "target", required=True, metavar="FILE", help='Where to; "-" is a pipe.')
@click.option(
    "--for", "seconds", metavar="TIME", callback=parsed(lambda text: duration(text, "1s", "7d")),
    help='Stop after so long, as in "60s"; without, at Ctrl-C.',
)  # fmt: skip
@click.option(
    "--size", "most", metavar="SIZE", callback=parsed(lambda text: size(text, "4KiB", "1024MiB")),
    help='Stop after so many bytes, as in "10MiB"; with --ring-files, go on in the next file.',
)  # fmt: skip
@click.option("--ring-files", type=click.IntRange(2, 10_000), help="Keep so many files of --size, the newest.")
@click.option("--history", is_flag=True, help="Begin with what the flight recorder has.")
@click.option("--kept", is_flag=True, help="Only that, and stop.")
@click.option(
    "--frozen", type=click.IntRange(0), metavar="NUMBER", help="A moment that was frozen: nportpy monitor --moments."
)
@token_file
@tls_options
def capture(
    words: tuple[str, ...], target: str, seconds: float | None, most: int | None, ring_files: int | None,
    history: bool, kept: bool, frozen: int | None, tls: TlsSettings | None,
) -> None:  # fmt: skip
    """Capture what is on a line of a running gateway, for Wireshark.

    URL is that of the gateway's [http], http://127.0.0.1:9550 if it is left out; PORT is the name in [port.PORT].

    \b
        nportpy capture bus -w bus.pcapng --for 60s
        nportpy capture bus -w - | wireshark -k -i -
        nportpy capture bus -w night.pcapng --size 16MiB --ring-files 20
        nportpy capture bus -w before.pcapng --kept
    """  # noqa: D301 - click wants the character
    if ring_files and (not most or target == "-"):
        raise click.UsageError("--ring-files wants --size, and a file")
    url, rest = parted(words)
    if len(rest) > 1:
        raise click.UsageError(f"{rest[1]!r} is too much: one port at a time")
    context = https_context(url, tls)
    port = one_port(url, rest, context)
    query = {} if kept else {"live": "1"}
    if frozen is not None:
        query = {"frozen": str(frozen)}
    if seconds:
        query["for"] = duration_text(seconds)
    if history:
        query["history"] = "1"
    try:
        answer = stream(url, port, "capture.pcapng", query, context)
    except NotThere as error:
        raise click.ClickException(str(error)) from None
    files = _Files(target, most, ring_files)
    try:
        with _ends_well(), answer:
            files.write(pieces(answer))
            if not (files.full or kept or seconds or frozen is not None):
                click.echo(why_ended(url, port, "capture.pcapng", context), err=True)
        files.close()
    except BrokenPipeError:  # whoever read it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        where = files.name or target
        raise click.ClickException(f"{where}: {error.strerror or error}; what came before is there") from None
    except ProtocolError as error:
        raise click.ClickException(f"{url} sends something else than a capture: {error}") from None
    finally:
        with suppress(OSError):  # what it could not write before it cannot write now
            files.close()
    click.echo(f"{files.packets} packets, {files.bytes} bytes", err=True)


@contextmanager
def _ends_well() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does: with whole files."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)


class _Files:
    """Where whole blocks are written: one file, a pipe, or a ring of files that each begin as a capture does.

    Attributes:
        name: of the file that is open.
        packets: that were written.
        bytes: that were written.
        full: whether there are as many as there are to be.
    """

    def __init__(self, target: str, most: int | None, ring: int | None) -> None:
        """Nothing is open."""
        self.name = ""
        self.packets = 0
        self.bytes = 0
        self.full = False
        self._target = target
        self._most = most
        self._ring = ring
        self._file: IO[bytes] | None = None
        self._in_file = 0
        self._head: list[bytes] = []
        self._names: list[Path] = []

    def write(self, found: Iterator[bytes]) -> None:
        """All blocks of a stream, or as many as there is to be.

        Raises:
            OSError: the file cannot be written.
            ProtocolError: it is no capture.
        """
        blocks = Blocks()
        self._open()
        for piece in found:
            for kind, block in blocks.feed(piece):
                if kind in HEAD_KINDS:
                    self._head.append(block)
                elif self._most and self._in_file + len(block) > self._most:
                    if not self._ring:
                        self.full = True
                        return
                    self._open()
                    for each in self._head:
                        self._put(each)
                self._put(block)
                self.packets += kind == _PACKET
            if self._file is not None:
                self._file.flush()

    def _put(self, block: bytes) -> None:
        assert self._file is not None  # `write` has opened it
        self._file.write(block)
        self._in_file += len(block)
        self.bytes += len(block)

    def _open(self) -> None:
        self.close()
        self._in_file = 0
        if self._target == "-":
            self._file = sys.stdout.buffer
            return
        path = Path(self._target)
        if self._ring:
            path = path.with_name(f"{path.stem}-{len(self._names) + 1:05}{path.suffix}")
            self._names.append(path)
            if len(self._names) > self._ring:
                self._names[-self._ring - 1].unlink(missing_ok=True)
        self.name = str(path)
        self._file = path.open("wb")

    def close(self) -> None:
        """Nothing more comes."""
        file, self._file = self._file, None
        if file is not None and file is not sys.stdout.buffer:
            file.close()
