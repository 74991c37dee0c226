"""`nportpy extcap`: Wireshark lists a gateway's lines among its interfaces, and captures from them.

Wireshark starts this with arguments of its own (its Developer's Guide, 8.2): --extcap-interfaces, --extcap-dlts,
--extcap-config, --capture. An interface is called nportpy-HOST-PORT, of several gateways on one host
nportpy-HOST-TCPPORT-PORT.
"""

import contextlib
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from nportpy import __version__
from nportpy.cli.tls_options import files_of, https_context, tls_options
from nportpy.cli.tokens import VARIABLE, token_file, told_file
from nportpy.cli.watching import DEFAULT_URL, NotThere, pieces, ports, stream, url_of
from nportpy.network.tls_settings import TlsSettings

if TYPE_CHECKING:
    import ssl

_LISTING: Final = 1.5  # seconds: Wireshark waits for it when it starts
_DLT: Final = 252  # of the requests; the capture says itself what each of its interfaces is
_ANY: Final = "nportpy"
_MOVED: Final = (4, 2)


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--install", is_flag=True, help="Put it where Wireshark of this user looks.")
@click.option(
    "--url", "urls", multiple=True, metavar="URL", help=f"A gateway; may come several times.  [default: {DEFAULT_URL}]"
)
@click.option("--folder", type=click.Path(path_type=Path), help="Install there.")
@tls_options
@click.option("--extcap-interfaces", "listing", is_flag=True, hidden=True)
@click.option("--extcap-dlts", "dlts", is_flag=True, hidden=True)
@click.option("--extcap-config", "config", is_flag=True, hidden=True)
@click.option("--extcap-reload-option", hidden=True)
@click.option("--extcap-interface", "interface", default="", hidden=True)
@click.option("--extcap-version", hidden=True)
@click.option("--extcap-capture-filter", hidden=True)
@click.option("--capture", "capturing", is_flag=True, hidden=True)
@click.option("--fifo", hidden=True)
@click.option("--port", default="", hidden=True)
@click.option("--history", default="", hidden=True)
@click.argument("rest", nargs=-1, type=click.UNPROCESSED)
@token_file
def extcap(
    install: bool, urls: tuple[str, ...], folder: Path | None, listing: bool, dlts: bool, config: bool,
    extcap_reload_option: str | None, interface: str, extcap_version: str | None, extcap_capture_filter: str | None,
    capturing: bool, fifo: str | None, port: str, history: str, rest: tuple[str, ...],
    tls: TlsSettings | None,
) -> None:  # fmt: skip
    """Have Wireshark list the lines of a gateway among its interfaces.

    \b
        nportpy extcap --install
        nportpy extcap --install --url http://192.0.2.10:9550
        nportpy extcap --install --url https://pi-07.plant:9550 --token-file ~/.nportpy-token
        nportpy extcap --install --url https://pi-07.plant:9550 --ca ca.crt
        tshark -i nportpy-127.0.0.1-bus
    """  # noqa: D301 - click wants the character
    del extcap_version, extcap_capture_filter, rest  # Wireshark says them, and nothing follows from it here
    try:
        places = list(dict.fromkeys(map(url_of, urls))) or [DEFAULT_URL]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--url") from None
    secure = next((url for url in places if url.startswith("https://")), places[0])
    context = https_context(secure, tls)
    if install:
        _install(places, folder, tls)
        _say_lines(places, context)
    elif listing:
        _list(places, context)
    elif dlts:
        click.echo(f"dlt {{number={_DLT}}}{{name=WIRESHARK_UPPER_PDU}}{{display=nportpy, a line and its requests}}")
    elif config:
        _configure(places, interface, extcap_reload_option, context)
    elif capturing:
        if not fifo:
            raise click.UsageError("--capture wants --fifo")
        _capture(places, interface, fifo, port, context, begins_before=history == "true")
    else:
        raise click.UsageError("Wireshark starts this itself: nportpy extcap --install puts it where it looks")


def _names(places: list[str]) -> dict[str, str]:
    """How the interfaces of each gateway begin."""
    parts = {url: urllib.parse.urlsplit(url) for url in places}
    hosts = [each.hostname for each in parts.values()]
    return {
        url: f"nportpy-{each.hostname}-" + (f"{each.port}-" if hosts.count(each.hostname) > 1 else "")
        for url, each in parts.items()
    }


def _lines(url: str, context: "ssl.SSLContext | None") -> list[str]:
    """The lines of a gateway that may be watched.

    Raises:
        NotThere: it cannot be asked.
        click.ClickException: a token would be sent plainly.
    """
    return [each["port"] for each in ports(url, _LISTING, context) if each["monitor"]]


def _list(places: list[str], context: "ssl.SSLContext | None") -> None:
    click.echo(f"extcap {{version={__version__}}}{{help=https://www.wireshark.org/docs/man-pages/extcap.html}}")
    for url, start in _names(places).items():
        try:
            found = _lines(url, context)
        except (NotThere, click.ClickException):  # Wireshark shows no message here; `_say_lines` has shown it
            continue
        for port in found:
            click.echo(f"interface {{value={start}{port}}}{{display=nportpy: {port} at {url}}}")
    click.echo(f"interface {{value={_ANY}}}{{display=nportpy: a line of a gateway}}")


def _configure(places: list[str], interface: str, reloading: str | None, context: "ssl.SSLContext | None") -> None:
    if reloading in (None, "port") and interface == _ANY:
        if reloading is None:
            click.echo(f"arg {{number=0}}{{call=--url}}{{display=Gateway}}{{type=string}}{{default={places[0]}}}")
            click.echo("arg {number=1}{call=--port}{display=Port}{type=selector}{reload=true}{placeholder=Look}")
        try:
            names = _lines(places[-1], context)
        except (NotThere, click.ClickException):
            names = []
        for name in names:
            click.echo(f"value {{arg=1}}{{value={name}}}{{display={name}}}")
    if reloading is None:
        click.echo(
            "arg {number=2}{call=--history}{display=Begin with what the flight recorder has}{type=boolean}"
            "{default=false}"
        )


def _capture(
    places: list[str], interface: str, fifo: str, port: str, context: "ssl.SSLContext | None", *, begins_before: bool
) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    query = {"live": "1"} | ({"history": "1"} if begins_before else {})
    try:
        url, port = _meant(places, interface, port)
        answer = stream(url, port, "capture.pcapng", query, context)
    except (NotThere, click.ClickException) as error:
        click.ClickException(str(error)).show()  # first: at the pipe's end we are stopped
        with contextlib.suppress(OSError), Path(fifo).open("wb"):
            pass  # tshark 4.0 waits for ever on a pipe that nobody opens
        sys.exit(1)
    try:
        with answer, Path(fifo).open("wb", buffering=0) as pipe:
            pipe.writelines(pieces(answer))
    except BrokenPipeError:
        return  # Wireshark has seen enough
    except OSError as error:
        raise click.ClickException(f"{fifo}: {error.strerror or error}") from None


def _meant(places: list[str], interface: str, port: str) -> tuple[str, str]:
    """The gateway and the port of an interface; of one without name what its options say."""
    if interface == _ANY:
        if not port:
            raise click.UsageError("choose a port in the interface's options (the wheel beside it)")
        return places[-1], port
    fitting = [(start, url) for url, start in _names(places).items() if interface.startswith(start)]
    if fitting:
        start, url = max(fitting, key=lambda each: len(each[0]))  # of the hosts pi and pi-07, the latter
        return url, interface.removeprefix(start)
    raise click.UsageError(f"{interface!r} is of none of the gateways {', '.join(places)}")


def _install(places: list[str], folder: Path | None, tls: TlsSettings | None) -> None:
    folder = folder or _personal_folder()
    windows = sys.platform == "win32"
    script = folder / ("nportpy.bat" if windows else "nportpy")
    options = "".join(f' --url "{url}"' for url in places)
    if told := told_file():
        options += f' --token-file "{told}"' if windows else f" --token-file {shlex.quote(told)}"
    options += "".join(f' {option} "{path}"' for option, path in files_of(tls).items())
    command = f'"{sys.executable}" -m nportpy extcap{options}'
    text = f"@echo off\r\n{command} %*\r\n" if windows else f'#!/bin/sh\nexec {command} "$@"\n'
    try:
        folder.mkdir(parents=True, exist_ok=True)
        script.write_text(text)
        script.chmod(script.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    except OSError as error:
        raise click.ClickException(f"{script}: {error.strerror or error}; --folder names another place") from None
    click.echo(f"installed: {script}")
    if os.environ.get(VARIABLE) and not told_file():
        click.echo(f"{VARIABLE} is not remembered: Wireshark needs --token-file FILE")


def _say_lines(places: list[str], context: "ssl.SSLContext | None") -> None:
    """What Wireshark will list now, or why not: it would not say so itself."""
    for url, start in _names(places).items():
        try:
            found = [start + port for port in _lines(url, context)]
        except (NotThere, click.ClickException) as error:
            click.echo(f"of {url} nothing now: {error}")
        else:
            click.echo(f"of {url}: {', '.join(found) or 'no line that may be watched'}")
    click.echo(
        "Wireshark lists the lines when it starts, or after Capture > Refresh Interfaces. In a terminal: tshark -D"
    )


def _personal_folder() -> Path:
    """Where Wireshark of this user looks: beside its configuration before 4.2, with its plugins since."""
    told = _folders()
    if "personal extcap path" in told:
        return Path(told["personal extcap path"])
    version = re.search(r"plugins[/\\]([0-9]+)[.-]([0-9]+)", told.get("personal plugins", ""))
    if version is not None and (int(version[1]), int(version[2])) < _MOVED and "personal configuration" in told:
        return Path(told["personal configuration"]) / "extcap"
    return Path.home() / ".local" / "lib" / "wireshark" / "extcap"


def _folders() -> dict[str, str]:
    """What tshark says of its folders; nothing if there is none."""
    tshark = shutil.which("tshark")
    if tshark is None:
        return {}
    found = subprocess.run([tshark, "-G", "folders"], capture_output=True, text=True, check=False, timeout=30)  # noqa: S603
    lines = (line.partition(":") for line in found.stdout.splitlines())
    return {name.strip().lower(): path.strip() for name, _, path in lines if path.strip()}
