"""Commands whose options depend on `--protocol`: each protocol has a command of its own, with a help of its own."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast

import click

OPTION: Final = "--protocol"

_F = TypeVar("_F", bound=Callable[..., Any])


class ByProtocol(click.Command):
    """Hands over to another command where the arguments name its protocol; else it is a command as any other."""

    def __init__(self, *arguments: Any, others: Mapping[str, str], **keys: Any) -> None:
        """`others` says, by protocol, which command that is: `module:name`."""
        super().__init__(*arguments, **keys)
        self._others = others

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """See click; the context is the other command's where one takes over."""
        protocol = _protocol(args)
        if protocol not in self._others:
            return super().make_context(info_name, args, parent, **extra)
        return self.other(protocol).make_context(info_name, args, parent, **extra)

    @property
    def protocols(self) -> tuple[str, ...]:
        """The protocols that have a command of their own."""
        return tuple(self._others)

    def other(self, protocol: str) -> click.Command:
        """The command of one of `protocols`."""
        module, _, name = self._others[protocol].partition(":")
        return cast(click.Command, getattr(importlib.import_module(module), name))

    def invoke(self, ctx: click.Context) -> Any:
        """See click."""
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


def protocol_option(default: str, *others: str) -> Callable[[_F], _F]:
    """The option itself, which help shows and which nobody reads: `ByProtocol` has."""
    return click.option(
        OPTION, type=click.Choice([default, *others]), default=default, show_default=True, expose_value=False,
        help="What is spoken; each has options of its own: --protocol NAME --help.",
    )  # fmt: skip


def _protocol(args: list[str]) -> str:
    """What the arguments name; empty: nothing."""
    found = ""
    for number, word in enumerate(args):
        if word == "--":
            break
        if word == OPTION and number + 1 < len(args):
            found = args[number + 1]
        elif word.startswith(f"{OPTION}="):
            found = word.partition("=")[2]
    return found
