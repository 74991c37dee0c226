"""The command line: one file per command, each thin.

Exit codes: 0 done, 1 failed, 2 usage or configuration. Messages go to stderr, results to stdout.
"""

import errno
import importlib
import keyword
import os
from typing import TYPE_CHECKING, cast

import click

from nportpy import __version__

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS = (
    "serve", "check", "ports", "demo", "read", "write", "scan", "discover", "attach", "import", "poll", "archive",
    "collect", "objects", "profile", "status", "init", "monitor", "capture", "extcap", "cert",
    "user", "config",
)  # fmt: skip


if "_NPORTPY_COMPLETE" in os.environ:  # a shell asks what may stand there
    importlib.import_module("nportpy.cli.completion")


class _Lazy(click.Group):
    """Loads a command's module when it is called for: `serve` should not pay for what `ports` imports."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name + "_" * keyword.iskeyword(cmd_name)
        module = importlib.import_module(f"nportpy.cli.{name}")
        command = cast(click.Command, getattr(module, name))
        if ctx.resilient_parsing:  # a shell asks what may stand there
            importlib.import_module("nportpy.cli.completion").offer_files(command)
        return command

    def invoke(self, ctx: click.Context) -> object:
        """A disk that is full under standard output ends a command with a word and not with a traceback."""
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise click.ClickException(f"what is to be written has no room: {error.strerror}") from None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """Names of commands, without what they do: for that, each would have to be loaded while somebody waits."""
        from click.shell_completion import CompletionItem

        names = [CompletionItem(name) for name in COMMANDS if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="nportpy")
def main() -> None:
    """Serial lines on TCP: raw and RFC 2217, with metrics."""
