"""`nportpy scan --protocol dlms`: how a meter that says nothing wants to be spoken to."""

import sys
from typing import Final

import click

from nportpy.cli.by_protocol import protocol_option
from nportpy.cli.cells import Row, print_rows
from nportpy.cli.meters import TARGET, MeterTarget, run, server_of, way_to
from nportpy.cli.options import parsed, patience
from nportpy.cli.progress import shown_progress
from nportpy.linesettings import LineSettings
from nportpy.meters.dlms.searching import BAUDRATES, CLIENTS, SERVERS, Found, Scan, Search
from nportpy.meters.dlms.settings import Opening
from nportpy.network.addresses import Endpoint

_HEAD: Final = ("opening", "line", "server", "width", "client", "referencing", "answer")
_OPENINGS: Final = {"direct": (Opening.DIRECT,), "mode-e": (Opening.MODE_E,), "both": (Opening.DIRECT, Opening.MODE_E)}


def _numbers(words: str) -> tuple[int, ...]:
    """Numbers with commas between them.

    Raises:
        ValueError: there is something else.
    """
    parts = [word.strip() for word in words.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"{words!r} are no numbers; write them as 16,1,32")
    return tuple(dict.fromkeys(int(part[:9]) for part in parts))


def _clients(words: str) -> tuple[int, ...]:
    """Client addresses.

    Raises:
        ValueError: there is something else.
    """
    found = _numbers(words)
    if max(found) > 127:
        raise ValueError(f"{max(found)}: client addresses are 0 to 127")
    return found


def _servers(words: str) -> tuple[tuple[int, int], ...]:
    """Addresses of meters.

    Raises:
        ValueError: there is something else.
    """
    found = tuple(dict.fromkeys(server_of(word.strip()) for word in words.split(",")))
    if max(max(each) for each in found) > 0x3FFF:
        raise ValueError("addresses of meters are 0 to 16383")
    return found


@click.command()
@TARGET
@protocol_option("modbus", "dlms")
@click.option(
    "--servers", metavar="LIST", default=",".join(f"{upper}/{lower}" for upper, lower in SERVERS), show_default=True,
    callback=parsed(_servers), help="Addresses of meters, UPPER/LOWER.",
)  # fmt: skip
@click.option(
    "--clients", metavar="LIST", default=",".join(map(str, CLIENTS)), show_default=True, callback=parsed(_clients),
    help="Client addresses.",
)  # fmt: skip
@click.option(
    "--opening", type=click.Choice([*_OPENINGS]), default="both", show_default=True, help="What comes before HDLC."
)
@click.option(
    "--baudrates", metavar="LIST", callback=parsed(_numbers),
    help=f"Speeds to try on a serial device, in this order.  [default: {','.join(map(str, BAUDRATES))}]",
)  # fmt: skip
@click.option("--format", "line_format", default="8N1", show_default=True, help="Format of a serial device.")
@click.option("--all", "thorough", is_flag=True, help="Go on after the first address that answers.")
@click.option(
    "--timeout", metavar="TIME", default="500ms", show_default=True, callback=parsed(patience),
    help="How long a meter may take for its first answer.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="A list of objects.")
def scan(
    target: MeterTarget, servers: tuple[tuple[int, int], ...], clients: tuple[int, ...], opening: str,
    baudrates: tuple[int, ...] | None, line_format: str, thorough: bool, timeout: float, as_json: bool,
) -> None:  # fmt: skip
    """Look for a DLMS/COSEM meter, and how it wants to be spoken to.

    TARGET is as for `nportpy objects`. Openings, speeds, addresses, their widths and clients are tried in turn, until
    one is answered; then the other clients of that address. Over TCP there are only addresses and clients, and behind
    a raw port the speed is not ours to set. No password is ever sent. Ctrl-C ends it and shows what was found so far.

    \b
        nportpy scan /dev/ttyAMA0 --protocol dlms
        nportpy scan /dev/ttySC0 --protocol dlms --servers 1/59 --baudrates 9600
    """  # noqa: D301 - click wants the character
    far = isinstance(target.place, Endpoint)
    if baudrates and not target.sets_line:
        raise click.UsageError("the line's speed is not ours to set over TCP")
    try:
        lines = (
            [LineSettings.parse(rate, line_format) for rate in baudrates or BAUDRATES] if target.sets_line else [None]
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    openings = _OPENINGS["direct"] if far else _OPENINGS[opening]
    search = Search(openings, lines, servers, clients, sizes=not far, response=timeout, thorough=thorough)
    why = ""
    with shown_progress() as progress:
        found = Scan(search, progress)
        try:
            run(_search(target, found), target)
        except KeyboardInterrupt:
            why = "interrupted"
        except click.ClickException as error:
            why = error.message
    if found.found or as_json:
        print_rows([_row(each) for each in found.found], _HEAD, as_json=as_json, as_csv=False)
    for remark in _remarks(target, found, why):
        click.echo(remark, err=True)
    sys.exit(0 if found.found and not why else 1)


async def _search(target: MeterTarget, scan: Scan) -> None:
    async with way_to(target, scan.search.lines[0], "scan") as client_for:
        await scan.run(client_for)


def _row(found: Found) -> Row:
    settings = found.settings
    direct = settings.opening is Opening.DIRECT
    return {
        "opening": "direct" if direct else "mode-e",
        "line": str(settings.line) if settings.line is not None and direct else None,
        "server": f"{settings.upper}/{settings.lower}",
        "width": settings.width or None,
        "client": settings.client,
        "referencing": None if found.refusal else str(settings.referencing),
        "answer": found.refusal or "associated",
    }


def _remarks(target: MeterTarget, scan: Scan, why: str) -> list[str]:
    """What there is to say about the search as a whole, and what to type next."""
    said = [f"left out: {reason}" for reason in scan.left_out]
    if why:
        said.append(f"Error: {why}")
    if not scan.found:
        tried = f"{scan.tried} way{'s' * (scan.tried != 1)} tried"
        return [*said, f"nobody answers ({tried}): is it the right line, are A and B swapped, has another master it?"]
    best = next((each for each in scan.found if not each.refusal), scan.found[0])
    return [*said, f"next: nportpy objects {target} {_options(best)}"]


def _options(found: Found) -> str:
    settings = found.settings
    words = [] if found.refusal else [f"--referencing {settings.referencing}"]
    words += [f"--server {settings.upper}/{settings.lower}", f"--client {settings.client}"]
    if settings.width:
        words.append(f"--width {settings.width}")
    if settings.opening is Opening.MODE_E:
        words.append("--opening mode-e")
    elif settings.line is not None:
        words.append(f"--baudrate {settings.line.baudrate}")
    return " ".join([*words, *["--password-file FILE"] * found.wants_password])
