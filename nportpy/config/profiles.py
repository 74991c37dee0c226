"""Profiles of meters: shipped ones, and those that lie in /etc/nportpy/profiles; a file of the same name there wins."""

import os
import tomllib
from functools import cache
from importlib.resources import files
from typing import Final

from pydantic import ValidationError

from nportpy.config.edge_tables import Profile

DIRECTORY: Final = "/etc/nportpy/profiles"


class ProfileError(ValueError):
    """A profile cannot be had; the message says why, and what there is."""


def names() -> list[str]:
    """Every profile that can be named here."""
    shipped = {each.name.removesuffix(".toml") for each in files("nportpy.edge.profiles").iterdir()
               if each.name.endswith(".toml")}  # fmt: skip
    try:
        own = {name.removesuffix(".toml") for name in os.listdir(DIRECTORY) if name.endswith(".toml")}
    except OSError:
        own = set()
    return sorted(shipped | own)


@cache
def profile(name: str) -> Profile:
    """The profile of that name.

    Raises:
        ProfileError: there is none, or it is faulty.
    """
    path = os.path.join(DIRECTORY, f"{name}.toml")
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        path = f"{name}.toml"
        try:
            text = files("nportpy.edge.profiles").joinpath(path).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise ProfileError(f"there is no such profile here; there are {', '.join(names())}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path} cannot be read: {error}") from error
    return read(text, path)


def read(text: str, path: str) -> Profile:
    """A profile from its text.

    Raises:
        ProfileError: it is none.
    """
    try:
        return Profile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"{path}: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise ProfileError(f"{path}: {where}: {first['msg'].removeprefix('Value error, ')}") from error
