"""Certificates made and looked at here, without a network: what `nportpy cert` does. By the library cryptography."""
