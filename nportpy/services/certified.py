"""A client's certificate as a login: by its subject, or by the role in it (MODBUS/TCP Security, R-21)."""

from collections.abc import Mapping

from nportpy.accounts.roles import Role, rights
from nportpy.network.tls_settings import Identity
from nportpy.services.http_base import AsWhom
from nportpy.services.who import NOBODY, Who


def certified(identity: Identity | None, subjects: Mapping[str, AsWhom]) -> Who:
    """Who it is; nobody if the certificate neither is named nor has a role that is known here.

    The table of subjects comes first, so that it can give less than the certificate says.
    """
    if identity is None:
        return NOBODY
    named = subjects.get(identity.name)
    if named is not None:
        return Who(identity.name, "certificate", rights(named.role, named.extras))
    try:
        role = Role(identity.role.lower())
    except ValueError:
        return NOBODY
    return Who(identity.name, "certificate", rights(role))
