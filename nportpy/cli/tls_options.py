"""Options of commands that call somebody by TLS: whom to believe, and who we are."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

import click

from nportpy.network.tls_settings import KeyPair, TlsSettings

if TYPE_CHECKING:
    import ssl

_FILE: Final = click.Path(exists=True, dir_okay=False, readable=True, resolve_path=True)


def tls_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--ca, --cert and --key, which reach the command as `tls`: None if none of them was given."""

    @click.option("--ca", metavar="FILE", type=_FILE, help="By TLS: who vouches for the far end.  [default: system's]")
    @click.option("--cert", metavar="FILE", type=_FILE, help="By TLS: our certificate, if the far end wants one.")
    @click.option("--key", metavar="FILE", type=_FILE, help="By TLS: its key.")
    @wraps(command)
    def with_tls(*args: Any, ca: str | None, cert: str | None, key: str | None, **more: Any) -> Any:
        if bool(cert) is not bool(key):
            raise click.UsageError("--cert and --key go together: a certificate and its key")
        pairs = (KeyPair(cert, key),) if cert and key else ()
        tls = TlsSettings("", pairs, ca or "") if ca or pairs else None
        return command(*args, tls=tls, **more)

    return with_tls


def files_of(tls: TlsSettings | None) -> dict[str, str]:
    """What was given, by option: for who has another call the same command."""
    if tls is None:
        return {}
    found = {"--ca": tls.ca}
    for pair in tls.pairs:
        found |= {"--cert": pair.certificate, "--key": pair.key}
    return {option: path for option, path in found.items() if path}


def https_context(url: str, given: TlsSettings | None) -> "ssl.SSLContext | None":
    """How a gateway is believed that is asked by https; None: by the system's authorities, or it is plain http.

    Raises:
        click.UsageError: there are files for a URL that is spoken plainly.
        click.ClickException: a file is bad.
    """
    believed(TlsSettings("") if url.startswith("https://") else None, given, "https://HOST:PORT")
    if given is None:
        return None
    from nportpy.network.tls_contexts import TlsFileError, read_table

    try:
        return read_table(given).client
    except TlsFileError as error:
        raise click.ClickException(error.reason) from None


def believed(wanted: TlsSettings | None, given: TlsSettings | None, forms: str) -> TlsSettings | None:
    """How the far end of a target is believed.

    Args:
        wanted: what the target says by itself; None: it is spoken plainly.
        given: by `tls_options`.
        forms: of targets that speak TLS, for the message.

    Raises:
        click.UsageError: there are files for a target that is spoken plainly.
    """
    if wanted is None and given is not None:
        raise click.UsageError(f"--ca, --cert and --key are for targets by TLS: {forms}")
    return given or wanted
