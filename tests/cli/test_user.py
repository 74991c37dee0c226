"""`nportpy user` as a person types it."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nportpy.accounts import passwords, store
from nportpy.cli import main

GOOD = "correct horse battery"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(passwords, "_COST", 4)
    path = tmp_path / "nportpy.toml"
    path.write_text('port.a.device = "/dev/ttyS0"\nport.a.raw.listen = 4001\n')
    return str(path)


def run(config: str, *arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(main, ["user", *arguments, "-c", config], input=typed)


def test_s18_from_the_first_to_nobody(config: str) -> None:
    assert "nobody" in run(config, "list").output
    added = run(config, "add", "anna", "--role", "operator", "--right", "monitor", typed=f"{GOOD}\n")
    assert (added.exit_code, GOOD in added.output) == (0, False)
    file = os.path.join(os.path.dirname(config), "accounts.json")
    assert os.stat(file).st_mode & 0o777 == 0o600
    made = run(config, "token", "prometheus", "--days", "30").output.strip()
    assert made.startswith("np_")
    listed = run(config, "list").output
    assert "anna                     operator monitor\n" in listed
    assert "prometheus               token viewer until 20" in listed
    assert made not in listed
    assert run(config, "passwd", "anna", typed="another good one\n").exit_code == 0
    assert passwords.fits("another good one", store.load(file).accounts[0].password)
    assert run(config, "role", "anna", "--role", "admin").exit_code == 0
    assert run(config, "remove", "prometheus", "--token").exit_code == 0
    assert "nobody is left" in run(config, "remove", "anna").output


@pytest.mark.parametrize(
    ("arguments", "typed", "says"),
    [
        (("add", "anna"), "short\n", "12 characters or more"),
        (("add", "anna"), "", "12 characters or more"),
        (("add", "a b"), f"{GOOD}\n", "is no name"),
        (("passwd", "bob"), f"{GOOD}\n", "there is no account bob"),
        (("remove", "bob"), "", "there is no account bob"),
        (("remove", "bob", "--token"), "", "there is no token bob"),
        (("token", "x/y"), "", "is no name"),
    ],
)
def test_s18_what_cannot_be_done_is_said(config: str, arguments: tuple[str, ...], typed: str, says: str) -> None:
    found = run(config, *arguments, typed=typed)
    assert (found.exit_code, says in found.output) == (1, True), found.output
    assert not os.path.exists(os.path.join(os.path.dirname(config), "accounts.json"))


def test_s18_the_configuration_says_where(config: str, tmp_path: Path) -> None:
    with open(config, "a") as file:
        file.write(f'http.accounts_file = "{tmp_path}/other.json"\n')
    assert run(config, "add", "anna", typed=f"{GOOD}\n").exit_code == 0
    assert os.path.exists(tmp_path / "other.json")
    with open(config, "a") as file:
        file.write("nonsense = 1\n")
    assert run(config, "list").exit_code == 2
