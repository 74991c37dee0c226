"""The systemd unit of the gateway, as far as `nportpy init` has to do with it."""

import os
import shutil
import subprocess
from typing import Final

import click

UNIT: Final = "nportpy.service"
DIRECTORIES: Final = (
    "/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
    "/lib/systemd/system",
)  # fmt: skip
BOOTED: Final = "/run/systemd/system"
"""A directory that is there where systemd runs; see sd_booted(3)."""


def has_unit() -> bool:
    """Whether the gateway can be started by systemd here, now or at the next boot."""
    return shutil.which("systemctl") is not None and any(os.path.exists(f"{each}/{UNIT}") for each in DIRECTORIES)


def enable() -> str:
    """Have the gateway started at every boot, and now, or let it read its file anew; what was done, in words.

    Raises:
        click.ClickException: systemctl failed; it says why.
    """
    _systemctl("enable", UNIT)
    if not os.path.isdir(BOOTED):
        return "nportpy will run from the next boot on"
    _systemctl("reload-or-restart", UNIT)
    return "nportpy runs, now and after every boot"


def _systemctl(*words: str) -> None:
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False)  # noqa: S603, S607
    if done.returncode:
        reason = done.stderr.strip() or f"exit code {done.returncode}"
        command = " ".join(("systemctl", *words))
        raise click.ClickException(f"{command} failed: {reason}\nThe configuration is written; try: sudo {command}")
