"""What is shown of settings and messages: all of it but what is secret in it, or may be."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

LEFT_OUT: Final = "(left out)"

_SECRET: Final = re.compile(r"pass|secret|token|key|hash|salt|community|credential|private|psk", re.IGNORECASE)
_A_PLACE: Final = re.compile(r"_(file|env)$")  # where a secret is, and not the secret
_USER: Final = re.compile(r"(://[^/\s:@]*):[^/\s@]*@")
_QUERY: Final = re.compile(r"\b((?:pass\w*|token|secret|\w*key)=)[^&\s\"']+", re.IGNORECASE)


def redacted(value: object, *, secret: bool = False) -> object:
    """A value without what may be secret in it; below a secret name, everything is."""
    match value:
        case Mapping():
            return {key: redacted(each, secret=secret or _is_secret(str(key))) for key, each in value.items()}
        case list():
            return [redacted(each, secret=secret) for each in value]
        case _ if secret:
            return LEFT_OUT
        case str():
            return without_secrets(value)
        case _:
            return value


def _is_secret(name: str) -> bool:
    return bool(_SECRET.search(name)) and not _A_PLACE.search(name)


def without_secrets(text: str) -> str:
    """A text without the passwords of URLs in it."""
    return _QUERY.sub(rf"\1{LEFT_OUT}", _USER.sub(rf"\1:{LEFT_OUT}@", text))


def is_secret(text: str) -> bool:
    """Whether a text speaks of something secret."""
    return bool(_SECRET.search(text))


def secrets_of(value: object, *, secret: bool = False) -> Iterator[str]:
    """The texts that stand below secret names."""
    match value:
        case Mapping():
            for key, each in value.items():
                yield from secrets_of(each, secret=secret or _is_secret(str(key)))
        case list():
            for each in value:
                yield from secrets_of(each, secret=secret)
        case str() if secret and value:
            yield value
        case _:
            pass
