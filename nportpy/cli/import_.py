"""`nportpy import`: another device server's configuration file as ours."""

import os
import sys

import click

from nportpy.config import fault_lines
from nportpy.errors import ConfigError, Fault

# As large as our own configuration may be.
_LARGEST = 1 << 20


@click.command(name="import")
@click.argument("source", metavar="FILE")
@click.option("-o", "--output", metavar="FILE", help="Where to write; without it, to standard output.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def import_(source: str, output: str | None, force: bool) -> None:
    """Make nportpy.toml of ser2net's configuration.

    FILE is a ser2net.yaml, in either of its versions, or a ser2net.conf; - is standard input. What has no equal here
    becomes a comment with its line. A connection that cannot be served here is left out, told with its line, and the
    exit code is 1. If nothing can be converted, nothing is written: exit code 2.

    An NPort's own export file is not read: its form is not documented publicly. docs/replacing-an-nport.md says for
    each of an NPort's settings what it is called here.
    """
    if output is not None and not force and os.path.exists(output):
        raise click.UsageError(f"{output} is there already; --force writes over it")
    name = "standard input" if source == "-" else source
    try:
        from nportpy.migration import convert  # YAML and pydantic: for this command alone

        written = convert(_text(source, name), name)
    except ConfigError as error:
        for line in fault_lines(error):
            click.echo(line, err=True)
        sys.exit(2)
    if output is None:
        click.echo(written.text, nl=False)
    else:
        _write(output, written.text)
    click.echo(f"{_count(written.ports, 'port')}, {_count(written.services, 'service')}", err=True, nl=False)
    click.echo(f", {_count(written.remarks, 'remark')} in comments" if written.remarks else "", err=True)
    for each in written.left_out:
        click.echo(f"{name}:{each.line}: {each.text}", err=True)
    if written.left_out:
        click.echo(f"{_count(len(written.left_out), 'connection')} left out", err=True)
        sys.exit(1)


def _text(source: str, name: str) -> str:
    """What the file says.

    Raises:
        ConfigError: it cannot be read, is too large, or is no text.
    """
    try:
        if source == "-":
            content = sys.stdin.buffer.read(_LARGEST + 1)
        else:
            with open(source, "rb") as file:
                content = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(name, (Fault("", f"cannot be read: {error.strerror}"),)) from error
    if len(content) > _LARGEST:
        raise ConfigError(name, (Fault("", "is larger than 1MiB"),))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(name, (Fault("", "is not UTF-8 text", line=line),)) from error


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from error


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
