"""`nportpy config`: a running gateway's configuration read, checked, tried, confirmed or taken back, over its API."""

import json
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from http import HTTPStatus
from typing import Any, Final

import click

from nportpy.cli.asking import Place, Refused, Unreachable, told
from nportpy.cli.config_shown import after, entry_lines, impact_lines
from nportpy.cli.options import parsed
from nportpy.cli.where import Where, gateway_options
from nportpy.config import fault_lines
from nportpy.config.values import duration
from nportpy.editing import files
from nportpy.errors import ConfigError, Fault

_ROOT: Final = "/api/v1/config"
_PATIENCE: Final = 75.0  # seconds: a gateway may take 60 for its check
_MOVING, _AGAIN = 5.0, 0.2  # seconds: a listener that moves is there in a moment
_FAULT: Final = tuple(each.name for each in fields(Fault))


def _window(text: str) -> float:
    return duration(text, "10s", "1h")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A candidate as it was asked for.

    Attributes:
        name: of the file, for messages; empty: the gateway's own.
        text: what is in it; None: what the gateway has.
        changes: of single values, as the API takes them.
    """

    name: str
    text: str | None
    changes: tuple[dict[str, Any], ...] = ()

    def body(self) -> dict[str, Any]:
        """It, as the API takes it."""
        text = {} if self.text is None else {"text": self.text}
        return text | ({"changes": list(self.changes)} if self.changes else {})


def _candidate(command: Callable[..., Any]) -> Callable[..., Any]:
    """FILE, --set and --unset, which reach the command as `wanted`."""

    @click.argument("file", required=False, type=click.Path(dir_okay=False, allow_dash=True))
    @click.option(
        "--set", "values", multiple=True, metavar="KEY=VALUE",
        help="A single value, as in port.meters.baudrate=19200; nothing else in the file changes.",
    )  # fmt: skip
    @click.option("--unset", "gone", multiple=True, metavar="KEY", help="A value that is taken out.")
    @wraps(command)
    def with_candidate(*args: Any, file: str | None, values: Sequence[str], gone: Sequence[str], **more: Any) -> Any:
        if file is None and not (values or gone):
            raise click.UsageError("a FILE, or --set KEY=VALUE")
        changes = [*map(_change, values), *({"path": _path(key), "remove": True} for key in gone)]
        text = None if file is None else _read(file)
        return command(*args, wanted=_Wanted("<stdin>" if file == "-" else file or "", text, tuple(changes)), **more)

    return with_candidate


@click.group()
def config() -> None:
    """Change a running gateway's configuration as its console does: tried first, and kept once it is confirmed.

    \b
        nportpy config show > new.toml
        nportpy config diff new.toml
        nportpy config apply new.toml --why "new meter"
        nportpy config confirm

    What nobody confirms within a minute is taken back by the gateway itself, as is what cuts it off. It takes
    console = "edit" in [http], and an account or token that may edit if there are accounts.

    Exit code 1: the gateway does not do it, or there is none. 2: the candidate has faults.
    """  # noqa: D301 - click wants the character


@config.command()
@gateway_options
@click.option("--json", "as_json", is_flag=True, help="With its tag, whether it can be changed, and what is tried now.")
def show(where: Where, as_json: bool) -> None:
    """Print the file, as the gateway has it on its disk."""
    with where.asking():
        document = _document(where.place())
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(document["text"].encode(), nl=False)


@config.command()
@_candidate
@gateway_options
@click.option("--json", "as_json", is_flag=True, help="All that the gateway says of it, for programs.")
def check(where: Where, wanted: _Wanted, as_json: bool) -> None:
    """Say what is wrong with FILE, as `nportpy check` does, and what applying it would do to the gateway."""
    with where.asking():
        found = _checked(where.place(), wanted, as_json=as_json)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    click.echo("\n".join(impact_lines(found["impact"])))
    for warning in found["warnings"]:
        click.echo(click.style("warning: ", fg="yellow") + warning)


@config.command()
@_candidate
@gateway_options
def diff(where: Where, wanted: _Wanted) -> None:
    """Show how FILE differs from the gateway's; nothing if it does not."""
    with where.asking():
        click.echo(_checked(where.place(), wanted)["diff"], nl=False)


_why = click.option("--why", default="", metavar="TEXT", help="For those who read the history.")
_for = click.option(
    "--within", default="60s", show_default=True, metavar="TIME", callback=parsed(_window),
    help="In which it is to be confirmed: 10s to 1h.",
)  # fmt: skip
_at_once = click.option("--confirm", "at_once", is_flag=True, help="Confirm it, if the gateway still answers then.")


@config.command()
@_candidate
@click.option(
    "--base", type=click.Path(exists=True, dir_okay=False), metavar="FILE",
    help="What it was made from, as `show` printed it: refused if somebody has changed the gateway's since.",
)  # fmt: skip
@_why
@_for
@_at_once
@gateway_options
def apply(where: Where, wanted: _Wanted, base: str | None, why: str, within: float, at_once: bool) -> None:
    """Have the gateway try FILE; it goes back unless that is confirmed."""
    tag = None if base is None else files.tag(_read(base).encode())
    with where.asking():
        _apply(where, wanted, tag, why, within, at_once=at_once)


@config.command()
@click.argument("number", type=int)
@_why
@_for
@_at_once
@gateway_options
def restore(where: Where, number: int, why: str, within: float, at_once: bool) -> None:
    """Have the gateway try what it was by the history, or what it was to be."""
    with where.asking():
        entry = told(where.place(), f"{_ROOT}/history/{number}")
        wanted = _Wanted(f"change {number}", entry["text"])
        _apply(where, wanted, None, why or f"back to change {number}", within, at_once=at_once)


@config.command()
@click.argument("number", type=int, required=False)
@gateway_options
def confirm(where: Where, number: int | None) -> None:
    """Keep what is tried: it becomes the file."""
    with where.asking():
        _confirm(where.place(), number)


@config.command()
@click.argument("number", type=int, required=False)
@gateway_options
def undo(where: Where, number: int | None) -> None:
    """Take back what is tried, without waiting for its time to end."""
    with where.asking():
        place = where.place()
        number = number or _tried(place)
        _post(place, "back", {"number": number})
    click.echo(f"change {number} is taken back")


@config.command()
@click.argument("number", type=int, required=False)
@gateway_options
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def history(where: Where, number: int | None, as_json: bool) -> None:
    """Say who has changed the file when and why, and what came of it; with NUMBER, what the file was then."""
    with where.asking():
        found = told(where.place(), f"{_ROOT}/history" + ("" if number is None else f"/{number}"))
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif number is not None:
        click.echo(found["text"].encode(), nl=False)
    else:
        for line in entry_lines(found["entries"]):
            click.echo(line)


def _apply(where: Where, wanted: _Wanted, tag: str | None, why: str, within: float, *, at_once: bool) -> None:
    place = where.place()
    tag = tag or _document(place)["tag"]
    found = _checked(place, wanted)
    body = {"text": found["text"], "why": why, "window": int(within)}
    number = _post(place, "apply", body, {"If-Match": f'"{tag}"'})["number"]
    click.echo("\n".join(impact_lines(found["impact"])))
    there = after(place, found["impact"])
    if at_once and there is not None:
        _confirm(there, number)
        return
    click.echo(f"change {number} is tried, and taken back in {within:.0f} s unless it is confirmed:")
    options = "" if where.path is None else f" -c {where.path}"
    if there is None:
        options = " --url WHERE-IT-IS-THEN"
    elif there != place or where.url is not None:
        options = f" --url {there.url}"
    click.echo(f"  nportpy config confirm {number}{options}")


def _confirm(place: Place, number: int | None) -> None:
    number = number or _tried(place)
    end = time.monotonic() + _MOVING
    while True:
        try:
            _post(place, "confirm", {"number": number})
            break
        except Unreachable:
            if time.monotonic() >= end:
                raise
            time.sleep(_AGAIN)
    click.echo(f"change {number} is confirmed: it is the file")


def _tried(place: Place) -> int:
    trial = _document(place)["trial"]
    if trial is None:
        raise click.ClickException("nothing is tried: it was confirmed or taken back; nportpy config history")
    return int(trial["number"])


def _document(place: Place) -> dict[str, Any]:
    found: dict[str, Any] = told(place, _ROOT)
    return found


def _checked(place: Place, wanted: _Wanted, *, as_json: bool = False) -> dict[str, Any]:
    """What the gateway says of a candidate; with faults the command ends."""
    found = _post(place, "check", wanted.body())
    if not found["ok"]:
        if as_json:
            click.echo(json.dumps(found, indent=2))
        else:
            _tell(found["faults"], wanted.name)
        sys.exit(2)
    return found


def _tell(faults: list[dict[str, Any]], name: str) -> None:
    """Print faults as `nportpy check` does, by the name that the file has here."""
    known = tuple(Fault(**{key: each[key] for key in _FAULT}) for each in faults)
    for line in fault_lines(ConfigError(name or "the gateway's file", known)):
        click.echo(line, err=True)


def _post(place: Place, what: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
    try:
        found: dict[str, Any] = told(place, f"{_ROOT}/{what}", body=body, headers=headers, within=_PATIENCE)
    except Refused as error:
        if error.status == HTTPStatus.PRECONDITION_FAILED:
            message = "somebody has changed the gateway's file meanwhile: nothing is done; see how: nportpy config diff"
            raise click.ClickException(message) from None
        raise
    return found


def _read(path: str) -> str:
    """A file's text, byte for byte."""
    with click.open_file(path, "rb") as file:
        content: bytes = file.read()
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        click.echo(f"{path}:{line}: this is not UTF-8 text", err=True)
        sys.exit(2)


def _change(text: str) -> dict[str, Any]:
    """A KEY=VALUE, as the API takes it."""
    key, equals, value = text.partition("=")
    value = value.strip()
    if not equals:
        raise click.BadParameter(f"{text!r} is no KEY=VALUE", param_hint="--set")
    try:
        found = tomllib.loads(f"value = {value}")
        wanted = found["value"] if found.keys() == {"value"} else value
        json.dumps(wanted)
    except (tomllib.TOMLDecodeError, TypeError):
        wanted = value  # a text needs no quotes: the shell has taken them
    return {"path": _path(key), "value": wanted}


def _path(key: str) -> list[str | int]:
    """The steps of a key as TOML writes it; a number counts in an array: port.meters.raw.0.listen."""

    def steps(found: Any) -> Iterator[str | int]:
        while isinstance(found, dict):
            ((step, found),) = found.items()
            yield int(step) if step.isdecimal() and not {f'"{step}"', f"'{step}'"} & {*key.split(".")} else step

    try:
        return list(steps(tomllib.loads(f"{key.strip()} = 1")))
    except ValueError:
        raise click.BadParameter(f"{key!r} is no key, as in port.meters.baudrate", param_hint="--set") from None
