"""`nportpy cert`: certificates without a network, for TLS and MODBUS/TCP Security."""

import datetime as dt
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import click

from nportpy.security.making import CERTIFICATE, SECRET, own_names

if TYPE_CHECKING:  # loaded by the commands that need it
    from cryptography import x509

    from nportpy.security.issuing import PrivateKey

DIRECTORY: Final = "/etc/nportpy/tls"
_YEARS: Final = 3650

_folder = click.option(
    "-o", "--output", "folder", default=DIRECTORY, show_default=True, metavar="DIR", help="Where the files go."
)
_authority = click.option(
    "--ca", "authority", default=DIRECTORY, show_default=True, metavar="DIR", help="Where ca.crt and ca.key are."
)
_force = click.option("--force", is_flag=True, help="Replace files that are there.")
_kind = click.option(
    "--key",
    "kind",
    type=click.Choice(("ec", "rsa")),
    default="ec",
    show_default=True,
    help="The kind of key; MODBUS/TCP Security wants RSA, beside EC or alone.",
)


def _days(usual: int) -> Callable[[Any], Any]:
    return click.option(
        "--days", type=click.IntRange(1, 36500), default=usual, show_default=True, help="How long it is valid."
    )


@contextmanager
def _failing() -> Iterator[None]:
    """What goes wrong is a message."""
    from nportpy.security.files import CertificateError

    try:
        yield
    except (CertificateError, ValueError) as error:
        raise click.ClickException(str(error)) from None


def _needs_cryptography(command: Callable[..., None]) -> Callable[..., None]:
    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        if find_spec("cryptography") is None:
            raise click.ClickException(
                "the package cryptography is not installed: pip install 'nportpy[tls]', or apt install "
                "python3-cryptography"
            )
        with _failing():
            command(*args, **kwargs)

    return run


@click.group()
def cert() -> None:
    """Make and look at certificates, without a network.

    Two ways lead to TLS. One gateway and a browser: `cert self`. A plant: `cert ca` once, on a machine that is looked
    after; `cert server` for each gateway and `cert client` for each program that comes to it. Who has an authority
    already takes `cert csr`.
    """


@cert.command("self")
@click.argument("names", nargs=-1)
@_folder
@_kind
@_days(_YEARS)
@_force
@_needs_cryptography
def self_(names: tuple[str, ...], folder: str, kind: str, days: int, force: bool) -> None:
    """Make a certificate that vouches for itself, for this machine or for NAMES.

    Clients cannot check who signed it: compare the fingerprint that is printed once, or give them the file.
    """
    from nportpy.security import issuing

    key = issuing.new_key(issuing.KeyKind(kind))
    hosts = list(names) or own_names()
    made = issuing.self_signed(hosts[0], hosts, key, days)
    _write(folder, "server", made, key, force=force)
    click.echo(f"for {', '.join(hosts)}, until {made.not_valid_after_utc:%Y-%m-%d}")
    click.echo(f"SHA-256 {issuing.fingerprint(made)}")
    _say_table(folder, "server")


@cert.command()
@click.option("--name", default="nportpy authority", show_default=True, help="What it calls itself.")
@_folder
@_kind
@_days(2 * _YEARS)
@_force
@_needs_cryptography
def ca(name: str, folder: str, kind: str, days: int, force: bool) -> None:
    """Make an authority: ca.crt, which everybody may have, and ca.key, which nobody else may."""
    from nportpy.security import issuing

    made = issuing.authority(name, issuing.new_key(issuing.KeyKind(kind)), days)
    _write(folder, "ca", made.certificate, made.key, force=force)
    click.echo(f"SHA-256 {issuing.fingerprint(made.certificate)}")
    click.echo(f"next: nportpy cert server HOST --ca {folder}")


@cert.command()
@click.argument("names", nargs=-1)
@_folder
@_kind
@_force
@_needs_cryptography
def csr(names: tuple[str, ...], folder: str, kind: str, force: bool) -> None:
    """Make a key, and a request for an authority elsewhere, for this machine or for NAMES."""
    from nportpy.security import files, issuing

    key = issuing.new_key(issuing.KeyKind(kind))
    hosts = list(names) or own_names()
    paths = {end: os.path.join(folder, f"server.{end}") for end in ("csr", "key", "crt")}
    data = {
        paths["csr"]: (issuing.pem(issuing.request(hosts[0], hosts, key)), CERTIFICATE),
        paths["key"]: (issuing.key_pem(key), SECRET),
    }
    files.write(data, replace=force)
    click.echo(f"wrote {paths['csr']} and {paths['key']}")
    click.echo(f"next: have {paths['csr']} signed; what comes back belongs to {paths['crt']}, its issuers behind it")


@cert.command()
@click.argument("names", nargs=-1)
@click.option("--csr", "asked", metavar="FILE", help="Sign this request; its key stays where it was made.")
@_authority
@_folder
@_kind
@_days(_YEARS)
@_force
@_needs_cryptography
def server(
    names: tuple[str, ...], asked: str | None, authority: str, folder: str, kind: str, days: int, force: bool
) -> None:
    """Issue a gateway's certificate, for the hosts and addresses NAMES; the first gives the files their name."""
    from nportpy.security import checking, files, issuing

    by = files.authority(authority)
    if asked is not None:
        request = files.signing_request(asked)
        public: Any = request.public_key()
        hosts, key = list(names) or list(checking.names_of(request)), None
    else:
        key = issuing.new_key(issuing.KeyKind(kind))
        hosts, public = list(names), key.public_key()
    if not hosts:
        raise click.UsageError("name the host, and its address if clients use that: nportpy cert server HOST 192.0.2.7")
    made = issuing.issued(by, hosts[0], hosts, public, issuing.Purpose.SERVER, days)
    stem = _stem(hosts[0])
    _write(folder, stem, made, key, force=force, behind=by.certificate)
    click.echo(f"for {', '.join(hosts)}, until {made.not_valid_after_utc:%Y-%m-%d}")
    _say_table(folder, stem)


@cert.command()
@click.argument("name")
@click.option("--role", help="What it may do with Modbus units: see roles in rules.")
@_authority
@_folder
@_kind
@_days(_YEARS)
@_force
@_needs_cryptography
def client(name: str, role: str | None, authority: str, folder: str, kind: str, days: int, force: bool) -> None:
    """Issue a client's certificate, for a program, a machine or a person called NAME."""
    from nportpy.security import files, issuing

    by = files.authority(authority)
    key = issuing.new_key(issuing.KeyKind(kind))
    made = issuing.issued(by, name, (), key.public_key(), issuing.Purpose.CLIENT, days, role)
    _write(folder, _stem(name), made, key, force=force, behind=by.certificate)
    click.echo(f"until {made.not_valid_after_utc:%Y-%m-%d}; both go to the client, with {authority}/ca.crt")


@cert.command()
@click.argument("certificates", nargs=-1, required=True, metavar="FILE...")
@_authority
@_days(365)
@_needs_cryptography
def revoke(certificates: tuple[str, ...], authority: str, days: int) -> None:
    """Put certificates on the authority's list, ca.crl, which then has to be made anew within --days.

    Copy it to each gateway (crl_file in [tls.NAME]) and reload: clients that are connected go at once.
    """
    from nportpy.security import files, issuing

    by, path = files.authority(authority), os.path.join(authority, "ca.crl")
    revoked = [files.certificates(each)[0] for each in certificates]
    made = issuing.revocation_list(by, revoked, files.revocations(path), days)
    files.write({path: (issuing.pem(made), CERTIFICATE)}, replace=True)
    click.echo(f"wrote {path}: {len(made)} revoked, until {made.next_update_utc:%Y-%m-%d}")


@cert.command()
@click.argument("path", metavar="FILE")
@_needs_cryptography
def show(path: str) -> None:
    """Say what the certificates of a file say."""
    from nportpy.security import checking, files, issuing

    for number, each in enumerate(files.certificates(path)):
        if number:
            click.echo()
        found = checking.facts(each)
        rows = [
            ("subject", found.subject),
            ("issuer", "itself" if found.issuer == found.subject else found.issuer),
            ("valid", f"{found.begins:%Y-%m-%d} to {found.ends:%Y-%m-%d}"),
            ("key", found.key),
            ("for", ", ".join(found.names)),
            ("purpose", "authority" if found.authority else ", ".join(found.purposes)),
            ("role", found.role),
            ("SHA-256", issuing.fingerprint(each)),
        ]
        for label, text in rows:
            if text:
                click.echo(f"{label:<10}{_plain(text)}")


@cert.command()
@click.argument("path", metavar="FILE")
@click.option("--key", "key_path", metavar="FILE", help="Its key must be this one.")
@click.option("--ca", "ca_path", metavar="FILE", help="One of these must vouch for it.")
@click.option("--crl", "crl_path", metavar="FILE", help="It must not be on this list.")
@click.option("--server", "name", metavar="HOST", help="It must be for a server of this name or address.")
@click.option("--client", "is_client", is_flag=True, help="It must be for a client.")
@_needs_cryptography
def check(
    path: str, key_path: str | None, ca_path: str | None, crl_path: str | None, name: str | None, is_client: bool
) -> None:
    """Say why others would refuse a certificate. Exit code 0, or 1 if they would."""
    from nportpy.security import checking, files

    chain, now = files.certificates(path), dt.datetime.now(dt.UTC)
    revoked = files.revocations(crl_path) if crl_path else None
    if crl_path and revoked is None:
        raise files.CertificateError(f"{crl_path}: No such file or directory")
    found = list(
        checking.faults(
            chain,
            authorities=files.certificates(ca_path) if ca_path else None,
            revoked=revoked,
            purpose="server" if name else "client" if is_client else "",
            name=name or "",
            now=now,
        )
    )
    if key_path and files.private_key(key_path).public_key() != chain[0].public_key():
        found.append(f"{key_path} is not its key")
    if key_path and os.stat(key_path).st_mode & 0o077:
        found.append(f"{key_path} is not for its owner alone: chmod 600 {key_path}")
    for fault in found:
        click.echo(f"{path}: {_plain(fault)}", err=True)
    for hint in checking.hints(chain, revoked, now):
        click.echo(click.style("warning: ", fg="yellow") + _plain(hint), err=True)
    if found:
        raise SystemExit(1)
    click.echo(f"{path}: nothing is wrong with it")


def _write(
    folder: str,
    stem: str,
    made: "x509.Certificate",
    key: "PrivateKey | None",
    *,
    force: bool,
    behind: "x509.Certificate | None" = None,
) -> None:
    """The certificate, its issuer behind it, and the key, if it was made here."""
    from nportpy.security import files, issuing

    path, secret = os.path.join(folder, f"{stem}.crt"), os.path.join(folder, f"{stem}.key")
    chain = issuing.pem(made) + (issuing.pem(behind) if behind is not None else b"")
    data = {path: (chain, CERTIFICATE)}
    if key is not None:
        data[secret] = issuing.key_pem(key), SECRET
    files.write(data, replace=force)
    click.echo(f"wrote {' and '.join(data)}")


def _say_table(folder: str, stem: str) -> None:
    folder = os.path.abspath(folder)
    click.echo(
        f'next: in the configuration\n\n    [tls.plant]\n    cert_file = "{folder}/{stem}.crt"\n'
        f'    key_file = "{folder}/{stem}.key"\n\n'
        'and tls = "plant" in a service. The gateway must be able to read both.'
    )


def _stem(name: str) -> str:
    """A name as that of a file."""
    text = "".join(each if each.isalnum() or each in "-._" else "-" for each in name).strip(".-")
    if not text:
        raise click.UsageError(f"{name!r} gives no file's name")
    if text == "ca":
        raise click.UsageError("ca is the authority's own name")
    return text[:100]


def _plain(text: str) -> str:
    """What a stranger wrote, without what would move the cursor."""
    return "".join(each if each.isprintable() else "?" for each in text)
