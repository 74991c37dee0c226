"""Where a gateway keeps what it makes itself."""

import os
from typing import Final

_STATE_DIRECTORY: Final = "/var/lib/nportpy"


def state_file(path: str) -> str:
    """Where a file lies: in the state directory that systemd gives, else in ours, else in the user's."""
    if path.startswith("/"):
        return path
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return os.path.join(given, path)
    if os.access(_STATE_DIRECTORY, os.W_OK):
        return os.path.join(_STATE_DIRECTORY, path)
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(home, "nportpy", path)
