"""`nportpy user` as a person types it."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nportpy.accounts import passwords, store
from nportpy.cli import main
from nportpy.services.http_base import accounts_of

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


def test_s18_what_goes_wrong_is_a_message(config: str) -> None:
    assert run(config, "add", "anna", typed=f"{GOOD}\n").exit_code == 0
    for arguments, typed, why in (
        (("add", "anna"), GOOD, "there is an account anna already"),
        (("add", "../x"), GOOD, "is no name"),
        (("add", "bob"), "short", "12 characters"),
        (("passwd", "bob"), GOOD, "there is no account bob; there are: anna"),
        (("remove", "bob"), "", "there is no account bob"),
        (("remove", "bob", "--token"), "", "there is no token bob"),
    ):
        refused = run(config, *arguments, typed=f"{typed}\n")
        assert (refused.exit_code, why in refused.output) == (1, True), refused.output


def test_s18_where_the_file_is() -> None:
    assert accounts_of("", "/etc/nportpy/nportpy.toml") == "/var/lib/nportpy/accounts.json"
    assert accounts_of("", "/home/anna/nportpy.toml") == "/home/anna/accounts.json"
    assert accounts_of("/x/y.json", "/etc/nportpy/nportpy.toml") == "/x/y.json"
    assert accounts_of("", None) is None


def test_s16_check_says_who_cannot_log_in(config: str) -> None:
    with open(config, "a") as file:
        file.write('http.listen = "0.0.0.0:9550"\nhttp.console = "view"\n')
    said = CliRunner().invoke(main, ["check", "-c", config]).output
    assert "nobody can see the pages from elsewhere: nportpy user add NAME" in " ".join(said.split())
    assert run(config, "add", "anna", typed=f"{GOOD}\n").exit_code == 0
    said = CliRunner().invoke(main, ["check", "-c", config]).output
    assert "user add NAME" not in said
