"""The token by which commands ask a gateway that has accounts: where it comes from, and where it is sent."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from nportpy.cli.tokens import authorised, token_file, told_file, wanting


@click.command()
@click.argument("url")
@token_file
def ask(url: str) -> None:
    click.echo(f"{authorised(url).get('Authorization', 'none')} {told_file()}")


def said(*arguments: str, **environment: str) -> str:
    return (
        CliRunner(env={"NPORTPY_TOKEN": None, "NPORTPY_TOKEN_FILE": None, **environment}).invoke(ask, arguments).output
    )


def test_s26_it_comes_from_a_file_or_the_environment_and_the_file_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("np_of_file\nanother line\n")
    for url in ("http://127.0.0.1:9550", "http://localhost:9550", "http://[::1]:9550", "https://pi-07.plant:9550"):
        assert said(url) == "none \n"
        assert said(url, NPORTPY_TOKEN="np_x") == "Bearer np_x \n"
        assert said("--token-file", str(path), url, NPORTPY_TOKEN="np_x") == f"Bearer np_of_file {path}\n"
        assert said(url, NPORTPY_TOKEN_FILE=str(path)) == f"Bearer np_of_file {path}\n"


@pytest.mark.parametrize("url", ["http://192.0.2.7:9550", "http://pi-07.plant", "http://127.0.0.1.evil.example"])
def test_s26_it_is_never_sent_where_others_could_read_it(url: str) -> None:
    assert "a token is not sent over plain HTTP" in said(url, NPORTPY_TOKEN="np_x")
    assert said(url) == "none \n"


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file"), (b"", "no token"), (b"\xff", "not text"), (b"a\x01", "no")]
)
def test_s26_files_that_have_none(tmp_path: Path, content: bytes | None, why: str) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    told = said("--token-file", str(path), "http://localhost")
    assert why in told
    assert "--token-file" in told


def test_s26_who_is_refused_is_told_what_to_do() -> None:
    assert "nportpy user token NAME" in wanting(401)
    assert wanting(403) == wanting(404) == ""
