"""Which package has the program that a skipped test misses."""

import re
from typing import Final

DEBIAN: Final = {
    **{
        name: name
        for name in (
            "chromium",
            "conman",
            "curl",
            "gcc",
            "lintian",
            "mandoc",
            "mbpoll",
            "mmdebstrap",
            "picocom",
            "ser2net",
            "socat",
            "sqlite3",
            "telnet",
        )
    },
    "Chromium": "chromium-headless-shell",
    "certutil": "libnss3-tools",
    "conmand": "conman",
    "conserver": "conserver-server",
    "console": "conserver-client",
    "gensiot": "gensio-bin",
    "libfaketime": "libfaketime",
    "libmodbus": "libmodbus-dev",
    "nc": "netcat-openbsd",
    "promtool": "prometheus",
    "sshd": "openssh-server",
    "systemd-analyze": "systemd",
    "tshark": "tshark",
}
PYTHON: Final = {"cryptography", "dlms-cosem", "gurux-dlms", "iec60870", "iec62056-21", "mkdocs", "pymodbus"}


def wanted(reason: str) -> str:
    """The reason of a skip, `no NAME here`, with the package to install; as it is if it says nothing of the kind."""
    found = re.search(r"\bno (\S+) here$", reason)
    name = found[1] if found else ""
    if name in DEBIAN:
        return f"{reason} (Debian: {DEBIAN[name]})"
    return f"{reason} (pip install {name})" if name in PYTHON else reason
