"""The other process of `OwnCertificates`: makes a certificate that vouches for itself, and its key, as files."""

import socket
import sys
from typing import Final

from nportpy.network.interfaces import interfaces

CERTIFICATE, SECRET = 0o644, 0o600
"""Modes of files: everybody may have the one, its owner alone the other."""

_DAYS: Final = 3650


def own_names() -> list[str]:
    """What this machine is called, and its addresses."""
    name = socket.gethostname().lower()
    short = name.partition(".")[0]
    addresses = [str(each.address) for each in interfaces()]
    return list(dict.fromkeys([name, short, f"{short}.local", *addresses, "localhost", "127.0.0.1", "::1"]))


def main() -> None:
    """Make them, or say why not and exit with 1."""
    certificate, key = sys.argv[1:]
    try:
        from nportpy.security import files, issuing
    except ImportError:
        sys.exit("the package cryptography is not installed: pip install 'nportpy[tls]'")
    private = issuing.new_key(issuing.KeyKind.EC)
    names = own_names()
    made = issuing.self_signed(names[0], names, private, _DAYS)
    try:
        # The key first: where the certificate is, both are.
        files.write(
            {key: (issuing.key_pem(private), SECRET), certificate: (issuing.pem(made), CERTIFICATE)}, replace=True
        )
    except files.CertificateError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
