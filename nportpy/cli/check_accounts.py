"""What `nportpy check` says about accounts: whether those who may come from elsewhere can log in."""

from collections.abc import Iterator
from ipaddress import ip_address

from nportpy.errors import AccountError
from nportpy.services.http_base import ConsoleMode, HttpSettings, accounts_of


def account_warnings(http: HttpSettings | None, configuration: str) -> Iterator[str]:
    """Of a gateway that has HTTP."""
    if http is None:
        return
    from nportpy.accounts import store

    path = accounts_of(http.accounts, configuration)
    assert path is not None  # there is a configuration
    here = all(ip_address(host).is_loopback for host, _ in http.listen)
    try:
        found = store.load(path)
    except AccountError as error:
        yield f"http: {error}; as this user reads it, and then nobody could log in"
        return
    if http.console is not ConsoleMode.OFF and not here and found.empty and not http.subjects:
        yield f"http: nobody is in {path} yet, so nobody can see the pages from elsewhere: nportpy user add NAME"
    if not found.empty and not here and not http.tls:
        yield f"http: {path} has accounts, and programs elsewhere cannot show tokens without tls: they are refused"
