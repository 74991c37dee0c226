"""`nportpy user`: who may use console and API, and with which programs' tokens."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

import click

from nportpy.accounts import changing, store
from nportpy.accounts.roles import Extra, Role
from nportpy.config import DEFAULT_PATH, fault_lines, load
from nportpy.errors import AccountError, ConfigError
from nportpy.services.http_base import accounts_of

_DAY: Final = 86400

_config = click.option(
    "-c", "--config", "path", metavar="FILE", default=DEFAULT_PATH, show_default=True,
    help="The gateway's configuration. Accounts are in /var/lib/nportpy if it is in /etc, else beside it.",
)  # fmt: skip
_role = click.option(
    "--role", type=click.Choice([*map(str, Role)]), default=str(Role.VIEWER), show_default=True,
    help="viewer looks, operator also acts, admin may everything.",
)  # fmt: skip
_extras = click.option(
    "--right", "extras", type=click.Choice([*map(str, Extra)]), multiple=True,
    help="A single right beside the role: to watch lines, to take captures of them, to edit the configuration.",
)  # fmt: skip


@click.group()
def user() -> None:
    """Say who may use console and API.

    As long as there is nobody, whoever is on this machine may. Changes are in force at once, without a reload.

    \b
        nportpy user add anna --role operator
        nportpy user token prometheus
        nportpy user list
    """  # noqa: D301 - click wants the character


@user.command()
@click.argument("name")
@_role
@_extras
@_config
def add(name: str, role: str, extras: tuple[str, ...], path: str) -> None:
    """Add somebody; the password is asked for, or read from the standard input."""
    with _failing():
        file = _file(path)
        store.check_name(name)
        if store.load(file).account(name) is not None:
            raise AccountError(f"there is an account {name} already")
        changing.add(file, name, Role(role), map(Extra, extras), _password())
    click.echo(f"{name} is {role}; {file}")


@user.command()
@click.argument("name")
@_config
def passwd(name: str, path: str) -> None:
    """Give somebody another password; sessions end."""
    with _failing():
        changing.set_password(_file(path), name, _password())
    click.echo(f"{name} has another password, and is logged out")


@user.command()
@click.argument("name")
@_role
@_extras
@_config
def role(name: str, role: str, extras: tuple[str, ...], path: str) -> None:
    """Give somebody another role, and these single rights alone; sessions end."""
    with _failing():
        changing.set_role(_file(path), name, Role(role), map(Extra, extras))
    click.echo(f"{name} is {role}, and is logged out")


@user.command()
@click.argument("name")
@click.option("--token", is_flag=True, help="NAME is that of a token.")
@_config
def remove(name: str, token: bool, path: str) -> None:
    """Remove somebody, or a token; sessions end."""
    with _failing():
        file = _file(path)
        (changing.remove_token if token else changing.remove)(file, name)
        if store.load(file).empty:
            click.echo("nobody is left: whoever is on this machine may do everything again")


@user.command()
@click.argument("name")
@_role
@_extras
@click.option("--days", type=click.IntRange(1, 36500), help="How long it is valid.  [default: for ever]")
@_config
def token(name: str, role: str, extras: tuple[str, ...], days: int | None, path: str) -> None:
    """Make a token for a program, and show it once. It is sent as `Authorization: Bearer np_...`."""
    end = None if days is None else time.time() + days * _DAY
    with _failing():
        click.echo(changing.add_token(_file(path), name, Role(role), map(Extra, extras), end))


@user.command("list")
@_config
def list_(path: str) -> None:
    """Say who there is."""
    with _failing():
        found = store.load(_file(path))
    for each in found.accounts:
        click.echo(f"{each.name:<24} {' '.join([each.role, *each.extras])}")
    for made in found.tokens:
        end = "" if made.end is None else f" until {datetime.fromtimestamp(made.end, UTC):%Y-%m-%d}"
        click.echo(f"{made.name:<24} token {' '.join([made.role, *made.extras])}{end}")
    if found.empty:
        click.echo("nobody: whoever is on this machine may do everything; nportpy user add NAME", err=True)


def _file(path: str) -> str:
    """The file of a gateway's accounts. A configuration that is not there yet says nothing else."""
    named = ""
    if os.path.exists(path):
        try:
            settings = load(path)
        except ConfigError as error:
            for line in fault_lines(error):
                click.echo(line, err=True)
            raise SystemExit(2) from None
        named = "" if settings.http is None else settings.http.accounts
    found = accounts_of(named, path)
    assert found is not None  # there is a path
    return found


def _password() -> str:
    """A password: asked for twice at a terminal, else the first line of the standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


@contextmanager
def _failing() -> Iterator[None]:
    """What goes wrong is a message."""
    try:
        yield
    except AccountError as error:
        raise click.ClickException(str(error)) from None
