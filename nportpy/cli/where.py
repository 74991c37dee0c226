"""Where a running gateway is asked: by its configuration on this machine, or by a URL; what to do if none answers."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

import click

from nportpy.cli.asking import Place, Unreachable, place_of
from nportpy.cli.tls_options import believed, https_context, tls_options
from nportpy.cli.tokens import token_file
from nportpy.config import DEFAULT_PATH, fault_lines, load
from nportpy.errors import ConfigError
from nportpy.network.tls_settings import TlsSettings
from nportpy.services.http_base import HttpSettings


@dataclass(frozen=True, slots=True)
class Where:
    """What was said of it.

    Attributes:
        path: the configuration that says where; None: the usual one, if it is there.
        url: where instead.
        tls: how it is believed there.
    """

    path: str | None
    url: str | None
    tls: TlsSettings | None

    def place(self) -> Place:
        """Where that is; a configuration with faults ends the command.

        Raises:
            click.ClickException: nowhere.
        """
        if self.url is None:
            believed(None, self.tls, "--url https://HOST:PORT")
            return _by_file(self.path)
        url = _checked(self.url)
        return Place(url, https_context(url, self.tls))

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Say what to do where nobody answers."""
        try:
            yield
        except Unreachable as error:
            raise click.ClickException(f"{error}; {self._next_step()}") from None

    def _next_step(self) -> str:
        if self.url is not None:
            healthz = f"{_checked(self.url)}/healthz"
            return f"see whether one runs there, and whether [http] allow has this machine: curl {healthz}"
        if self.path is not None:
            return f"start it: nportpy serve -c {self.path}"
        if os.path.exists(DEFAULT_PATH):
            return "start it: systemctl start nportpy, and why it does not run: journalctl -u nportpy -n 20"
        return "start it: nportpy serve"


def gateway_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--config, --url, --token-file and those of TLS, which reach the command as `where`."""

    @click.option(
        "-c", "--config", "path", metavar="FILE",
        help=f"The gateway's configuration, which says where it is asked.  [default: {DEFAULT_PATH} if it is there]",
    )  # fmt: skip
    @click.option("--url", metavar="URL", help="Where it is asked instead: http://192.0.2.10:9550.")
    @token_file
    @tls_options
    @wraps(command)
    def with_gateway(*args: Any, path: str | None, url: str | None, tls: TlsSettings | None, **more: Any) -> Any:
        if path is not None and url is not None:
            raise click.UsageError("either --config or --url, not both")
        return command(*args, where=Where(path, url, tls), **more)

    return with_gateway


def _checked(url: str) -> str:
    parts = urlsplit(url if "//" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise click.BadParameter(f"{url!r} is none; one is as in http://192.0.2.10:9550", param_hint="--url")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _by_file(path: str | None) -> Place:
    """Where the gateway of a configuration is asked; without one, where one without a file is."""
    if path is None and not os.path.exists(DEFAULT_PATH):
        return place_of(HttpSettings())
    where = path or DEFAULT_PATH
    try:
        settings = load(where)
        return place_of(settings.http, settings.tls)
    except ConfigError as error:
        for line in fault_lines(error):
            click.echo(line, err=True)
        sys.exit(2)
    except Unreachable as error:
        raise click.ClickException(f"{error}; switch [http] on in {where}, then: nportpy check -c {where}") from None
