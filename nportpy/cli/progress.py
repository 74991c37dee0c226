"""How long it still takes, on standard error: a bar on a terminal, else a line now and then."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

Progress = Callable[[str, int, int], None]
"""Takes what is being done, how much of it is done, and how much there is; 0: nobody knows."""

_FIRST_LINE, _NEXT_LINE = 2.0, 5.0  # seconds until progress is told, and told again, where there is no terminal


def _lines_now_and_then() -> Progress:
    """Say nothing of what is over at once."""
    due = time.monotonic() + _FIRST_LINE

    def say_progress(what: str, done: int, total: int) -> None:
        nonlocal due
        now = time.monotonic()
        if now >= due:
            due = now + _NEXT_LINE
            click.echo(f"{done} of {total} asked, {what}" if total else what, err=True)

    return say_progress


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """A bar on standard error, if that is a terminal; else a line now and then, so that nobody takes it for dead."""
    if not sys.stderr.isatty():
        yield _lines_now_and_then()
        return
    from rich.console import Console  # only a terminal pays for it
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def show_progress(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total or None)

        yield show_progress
