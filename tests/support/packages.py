"""Which package has the program that a skipped test misses."""

import re
from typing import Final

DEBIAN: Final = {
    "conman": "conman", "conmand": "conman", "conserver": "conserver-server", "console": "conserver-client", "curl": "curl", "gcc": "gcc",
    "libmodbus": "libmodbus-dev", "mbpoll": "mbpoll", "nc": "netcat-openbsd", "picocom": "picocom",
    "promtool": "prometheus", "ser2net": "ser2net", "socat": "socat", "sqlite3": "sqlite3",
    "systemd-analyze": "systemd", "telnet": "telnet", "tshark": "tshark",
}  # fmt: skip
PYTHON: Final = {"cryptography", "dlms-cosem", "gurux-dlms", "iec60870", "iec62056-21", "mkdocs", "pymodbus"}


def wanted(reason: str) -> str:
    """The reason of a skip, `no NAME here`, with the package to install; as it is if it says nothing of the kind."""
    found = re.search(r"\bno (\S+) here$", reason)
    name = found[1] if found else ""
    if name in DEBIAN:
        return f"{reason} (Debian: {DEBIAN[name]})"
    return f"{reason} (pip install {name})" if name in PYTHON else reason
