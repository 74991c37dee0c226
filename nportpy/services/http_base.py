"""What the HTTP service is told, apart from what answers."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from nportpy.accounts.roles import Extra, Role
from nportpy.network.addresses import Rings


class ConsoleMode(StrEnum):
    """What the console is for."""

    OFF = "off"
    VIEW = "view"
    EDIT = "edit"


@dataclass(frozen=True, slots=True)
class AsWhom:
    """What a certificate stands for.

    Attributes:
        role: what its owner is for.
        extras: single rights beside it.
    """

    role: Role
    extras: tuple[Extra, ...] = ()


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """The HTTP service.

    Attributes:
        listen: (host, port) pairs; port 0 lets the kernel choose.
        allow: who may connect, as rings of networks (gateway, http): an address must be in one of every ring.
        tls: the name of the table with its certificates; empty: it is plain HTTP.
        console: whether there are pages for people, and what they and their programs ask.
        accounts: the file of accounts; empty: see `accounts_of`.
        names: by which it may be called, besides those of this machine.
        subjects: as whom those with a certificate come, by their names as in CN=anna.
    """

    listen: tuple[tuple[str, int], ...] = (("127.0.0.1", 9550),)
    allow: Rings = ()
    tls: str = ""
    console: ConsoleMode = ConsoleMode.VIEW
    accounts: str = ""
    names: frozenset[str] = frozenset()
    subjects: Mapping[str, AsWhom] = field(default_factory=dict)


_ACCOUNTS = "accounts.json"

_SERVICE_SETTINGS, _SERVICE_STATE = "/etc/", "/var/lib/nportpy"


def accounts_of(named: str, configuration: str | None) -> str | None:
    """Where the file of a gateway's accounts is; None: nowhere.

    As its configuration names it; else in the state directory, where the service may write, if the configuration is in
    /etc; else beside that. The command and the gateway must come to the same, whoever runs them.
    """
    if named or configuration is None:
        return named or None
    folder = os.path.dirname(os.path.abspath(configuration))
    return os.path.join(_SERVICE_STATE if f"{folder}/".startswith(_SERVICE_SETTINGS) else folder, _ACCOUNTS)
