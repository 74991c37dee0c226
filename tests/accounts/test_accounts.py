"""Accounts without a server: hashes, roles, sessions, guesses, and the file."""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy import wallclock
from nportpy.accounts import changing, passwords, sessions, store
from nportpy.accounts.guesses import FORGOTTEN, LIMIT, LONGEST, Guesses
from nportpy.accounts.roles import EXTRAS, ROLES, Extra, Right, Role, rights
from nportpy.accounts.sessions import IDLE, MOST, MOST_OF_ALL, Sessions, key_of
from nportpy.accounts.store import Account, Accounts
from nportpy.errors import AccountError

GOOD = "correct horse battery"


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_COST", 4)


@pytest.fixture
def path(tmp_path: Path, cheap: None) -> str:
    return str(tmp_path / "accounts.json")


def account(name: str = "anna", role: Role = Role.VIEWER, password: str = "x") -> Account:
    return Account(name, role, (), password)


# Passwords.


@pytest.mark.long
def test_s19_a_password_is_kept_as_scrypt_and_nothing_else() -> None:
    stored = passwords.hashed(GOOD, b"s" * 16)
    assert stored.startswith("scrypt$14$8$5$")
    assert passwords.fits(GOOD, stored)
    assert not passwords.fits(GOOD + "x", stored)
    assert GOOD not in stored


def test_s19_salts_differ_and_a_password_of_nobody_costs_as_much(cheap: None) -> None:
    assert passwords.hashed(GOOD) != passwords.hashed(GOOD)
    parts = passwords.NOBODY.split("$")
    assert parts[:4] == ["scrypt", "14", "8", "5"]
    assert passwords.is_hash(passwords.NOBODY)


@given(st.text(max_size=80))
def test_s19_what_is_no_hash_fits_nothing(text: str) -> None:
    assert not passwords.is_hash(text)
    assert not passwords.fits(GOOD, text)


@pytest.mark.parametrize(
    "stored",
    [
        "scrypt$40$8$5$c2FsdHNhbHRzYWx0$" + "A" * 43 + "=",  # would take all memory
        "scrypt$20$8$5$c2FsdHNhbHRzYWx0$" + "A" * 43 + "=",
        "scrypt$14$8$0$c2FsdHNhbHRzYWx0$" + "A" * 43 + "=",
        "scrypt$-1$8$5$c2FsdHNhbHRzYWx0$" + "A" * 43 + "=",
        "scrypt$14$8$5$$" + "A" * 43 + "=",
        "scrypt$14$8$5$c2FsdHNhbHRzYWx0$",
        "argon2$14$8$5$c2FsdHNhbHRzYWx0$" + "A" * 43 + "=",
    ],
)
def test_s19_a_stored_hash_cannot_ask_for_the_moon(stored: str) -> None:
    assert not passwords.is_hash(stored)


@pytest.mark.parametrize(
    "password",
    ["", "short", "elevenchars", "a" * 20, "121212121212", "password1234", "Passwort2024!!", "adminadmin12",
     "qwertyuiop12", "123456789012", "qwertyuiopqw", "operator-1234", "x" * 257, "moxa12345678"],
)  # fmt: skip
def test_s19_weak_passwords_are_refused(password: str) -> None:
    assert passwords.weakness(password, "operator")


@pytest.mark.parametrize("password", [GOOD, "Tr0ub4dor&3-plus", "grüne-Wiesen-im-Mai", "kRq8!vMz2#pL"])
def test_s19_others_are_not(password: str) -> None:
    assert not passwords.weakness(password, "operator")


# Roles.


def test_s17_one_table_says_what_a_role_may() -> None:
    assert set(ROLES) == set(Role)
    assert set(EXTRAS) == set(Extra)
    assert ROLES[Role.VIEWER] < ROLES[Role.OPERATOR] < ROLES[Role.ADMIN] == frozenset(Right)
    assert Right.MONITOR not in ROLES[Role.OPERATOR]  # what is on a line may be a password: C24
    assert rights(Role.VIEWER, [Extra.CAPTURE]) == {Right.OPEN, Right.LOOK, Right.MONITOR, Right.CAPTURE}
    for role in Role:
        assert rights(role) == ROLES[role]
        for extra in Extra:
            assert rights(role, [extra]) - ROLES[role] <= EXTRAS[extra]


# Sessions.


def test_s21_a_session_ends_when_it_is_idle_and_after_twelve_hours() -> None:
    found = Sessions()
    key = key_of(found.begin(account(), 0.0))
    assert found.find(key, IDLE - 1) == account()
    assert found.find(key, 2 * IDLE - 2) == account()
    assert found.find(key, 3 * IDLE) is None
    key = key_of(found.begin(account(), 0.0))
    now = 0.0
    while found.find(key, now) is not None:
        now += IDLE / 2
    assert now == sessions.LONGEST
    assert not len(found)


def test_s21_who_only_looks_whether_it_lasts_does_not_use_it() -> None:
    found = Sessions()
    key = key_of(found.begin(account(), 0.0))
    assert found.find(key, IDLE - 1, use=False) is not None
    assert found.find(key, IDLE, use=False) is None


def test_s21_after_logout_it_is_worthless_and_it_is_not_kept_as_it_is() -> None:
    found = Sessions()
    text = found.begin(account(), 0.0)
    assert len(text) >= 43
    assert text not in repr(found._open)
    assert found.find(text, 1.0) is None
    found.end(key_of(text))
    assert found.find(key_of(text), 1.0) is None


def test_s21_eight_an_account_and_bounded_in_all() -> None:
    found = Sessions()
    keys = [key_of(found.begin(account(), float(number))) for number in range(MOST + 1)]
    other = key_of(found.begin(account("bob"), 100.0))
    assert [found.find(key, 101.0) is not None for key in keys] == [False] + [True] * MOST
    assert found.find(other, 101.0) is not None
    for number in range(1000):
        found.begin(account(f"n{number}"), 102.0)
    assert len(found) == MOST_OF_ALL


# Guesses.


def test_s20_ten_thousand_guesses_of_one_address() -> None:
    guesses, tried, now = Guesses(), 0, 0.0
    for _ in range(10_000):
        tried += not guesses.admit("mallory", "anna", now)
        now += 0.5
    assert 10 < tried <= 40
    assert guesses.admit("anna's", "anna", now) <= 1.0  # never more than a second for the owner, from elsewhere


def test_s20_waits_double_and_end() -> None:
    guesses, now, waits = Guesses(), 0.0, []
    for _ in range(12):
        assert not guesses.admit("mallory", "anna", now)
        waits.append(guesses.admit("mallory", "anna", now))
        now += waits[-1]
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    now += FORGOTTEN + 1
    assert not guesses.admit("mallory", "anna", now)
    assert guesses.admit("mallory", "anna", now) == 1


@pytest.mark.long
def test_s20_many_addresses_wait_for_the_account_but_not_the_one_that_knows_it() -> None:
    guesses, tried = Guesses(), 0
    guesses.admit("home", "anna", 0.0)
    guesses.succeeded("home", "anna", 0.0)
    for number in range(10_000):
        tried += not guesses.admit(number, "anna", 1.0 + number / 10)
    assert tried <= 40
    assert not guesses.admit("home", "anna", 1.0 + 1000)
    assert 0 < guesses.admit("somewhere", "anna", 1001.0) <= LONGEST


def test_s20_a_try_counts_when_it_begins() -> None:
    guesses = Guesses()
    assert [bool(guesses.admit("mallory", "anna", 0.0)) for _ in range(8)] == [False] + [True] * 7


def test_s20_success_forgives() -> None:
    guesses = Guesses()
    for now in (0.0, 1.0, 3.0):
        assert not guesses.admit("home", "anna", now)
    guesses.succeeded("home", "anna", 3.0)
    assert not guesses.admit("home", "anna", 3.0)


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000), st.floats(0, 50)), max_size=60))
def test_s20_what_is_remembered_is_bounded(tries: list[tuple[int, int, float]]) -> None:
    guesses, now = Guesses(), 0.0
    for address, name, later in tries:
        now += later
        assert 0 <= guesses.admit(address, str(name), now) <= LONGEST


@pytest.mark.long
def test_s20_nor_do_many_names_or_addresses_make_it_grow() -> None:
    guesses = Guesses()
    for number in range(3 * LIMIT):
        guesses.admit(number, f"name{number}", 0.0)
    assert len(guesses) <= 2 * LIMIT


# The file.


def test_s18_accounts_come_change_and_go(path: str) -> None:
    assert store.load(path) == Accounts()
    changing.add(path, "anna", Role.OPERATOR, [Extra.MONITOR, Extra.MONITOR], GOOD)
    assert os.stat(path).st_mode & 0o777 == 0o600
    (anna,) = store.load(path).accounts
    assert (anna.name, anna.role, anna.extras) == ("anna", Role.OPERATOR, (Extra.MONITOR,))
    assert passwords.fits(GOOD, anna.password)
    with pytest.raises(AccountError, match="already"):
        changing.add(path, "anna", Role.VIEWER, [], GOOD)
    changing.set_password(path, "anna", "another good one")
    changing.set_role(path, "anna", Role.VIEWER, [])
    (anna,) = store.load(path).accounts
    assert passwords.fits("another good one", anna.password)
    assert (anna.role, anna.extras) == (Role.VIEWER, ())
    with pytest.raises(AccountError, match="there are: anna"):
        changing.remove(path, "bob")
    changing.remove(path, "anna")
    assert store.load(path).empty
    assert os.listdir(os.path.dirname(path)) == ["accounts.json"]


@pytest.mark.parametrize("name", ["", "-x", "a b", "a\nb", "a" * 65, "ä", "a/b", "<b>", "a$(id)"])
def test_s18_what_is_no_name(path: str, name: str) -> None:
    with pytest.raises(AccountError, match="is no name"):
        changing.add(path, name, Role.VIEWER, [], GOOD)
    assert not os.path.exists(path)


def test_s26_a_token_is_told_once_and_ends(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    text = changing.add_token(path, "prometheus", Role.VIEWER, [], now + 100.0)
    assert text.startswith("np_")
    assert len(text) >= 46
    with open(path) as file:
        assert text not in (kept := file.read())
    assert key_of(text) in kept
    found = store.load(path)
    assert found.token(key_of(text)) is not None
    assert found.token(key_of(text + "x")) is None
    monkeypatch.setattr(time, "time", lambda: now + 100.0)
    assert found.token(key_of(text)) is None
    with pytest.raises(AccountError, match="already"):
        changing.add_token(path, "prometheus", Role.ADMIN, [], None)
    changing.remove_token(path, "prometheus")
    assert store.load(path).token(key_of(text)) is None
    with pytest.raises(AccountError, match="there are: none"):
        changing.remove_token(path, "prometheus")


DAY = 86400.0


@pytest.mark.parametrize(
    ("clock", "vouched", "left"),
    [
        # After a power cut the clock shows anything: what had ended when the file was last written stays ended.
        *((0.0, None, {"long", "for ever"}), (0.0, False, {"long", "for ever"}), (0.0, True, {"long", "for ever"})),
        *((4_070_908_800.0, None, {"long", "for ever"}), (4_070_908_800.0, True, {"for ever"})),
        *((2.0 * DAY, None, {"for ever"}), (2.0 * DAY, False, {"for ever"})),
    ],
)
def test_s26_s10_a_clock_that_is_not_known_ends_no_token_and_revives_none(
    path: str, monkeypatch: pytest.MonkeyPatch, clock: float, vouched: bool | None, left: set[str]
) -> None:
    """`clock` counts from now, if it is a few days; `vouched`: whether somebody says that it is right."""
    written = time.time()
    ends = {"over": written - 1.0, "long": written + DAY, "for ever": None}
    texts = {name: changing.add_token(path, name.replace(" ", "-"), Role.VIEWER, [], end) for name, end in ends.items()}
    found = store.load(path)
    monkeypatch.setattr(time, "time", lambda: clock if clock in (0.0, 4_070_908_800.0) else written + clock)
    monkeypatch.setattr(wallclock, "disciplined", lambda: vouched)
    assert {name for name, text in texts.items() if found.token(key_of(text))} == left


def test_s26_s10_a_file_with_a_date_that_cannot_be_locks_nobody_out(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = changing.add_token(path, "prometheus", Role.VIEWER, [], time.time() + DAY)
    monkeypatch.setattr(wallclock, "disciplined", lambda: None)
    for written in (0.0, 4_070_908_800.0):
        os.utime(path, (written, written))
        assert store.load(path).token(key_of(text)) is not None


def test_s26_s10_no_token_is_made_that_ends_by_a_clock_that_is_not_known(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changing.add(path, "anna", Role.ADMIN, [], GOOD)
    changing.add_token(path, "ends", Role.ADMIN, [], time.time() + DAY)
    monkeypatch.setattr(time, "time", lambda: 5.0)
    with pytest.raises(AccountError, match="clock"):
        changing.add_token(path, "new", Role.VIEWER, [], 5.0 + DAY)
    changing.add_token(path, "new", Role.VIEWER, [], None)
    with pytest.raises(AccountError, match="nobody would be left"):
        changing.remove(path, "anna", keep_one=True)


def test_s18_many_at_once_lose_nothing(path: str) -> None:
    def add(number: int) -> None:
        changing.add_token(path, f"t{number}", Role.VIEWER, [], None)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(store.load(path).tokens) == 20


@pytest.mark.long
def test_s18_a_process_that_is_killed_leaves_the_old_or_the_new(path: str) -> None:
    changing.add_token(path, "first", Role.VIEWER, [], None)
    program = (
        "import sys\nfrom nportpy.accounts import changing\nfrom nportpy.accounts.roles import Role\n"
        "print(flush=True)\n"
        "for n in range(10**6): changing.add_token(sys.argv[1], f'{sys.argv[2]}-{n}', Role.VIEWER, [], None)\n"
    )
    for number in range(5):
        killed = subprocess.Popen([sys.executable, "-c", program, path, f"r{number}"], stdout=subprocess.PIPE)
        assert killed.stdout is not None
        killed.stdout.readline()
        threading.Event().wait(0.03 * number)
        killed.kill()
        killed.communicate()
        assert store.load(path).tokens[0].name == "first"


@pytest.mark.parametrize("call", ["fsync", "rename", "fchmod", "open"])
def test_s18_a_full_disk_leaves_the_old_file(path: str, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    changing.add_token(path, "first", Role.VIEWER, [], None)
    real: Callable[..., Any] = getattr(os, call)

    def full(*args: Any, **kwargs: Any) -> Any:
        if call == "open" and not (len(args) > 1 and args[1] & os.O_CREAT):
            return real(*args, **kwargs)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(AccountError, match="No space"):
        changing.add_token(path, "second", Role.VIEWER, [], None)
    monkeypatch.undo()
    assert [each.name for each in store.load(path).tokens] == ["first"]
    assert os.listdir(os.path.dirname(path)) == ["accounts.json"]


def test_a_file_that_others_can_read_or_that_is_none_is_refused(path: str) -> None:
    changing.add_token(path, "first", Role.VIEWER, [], None)
    os.chmod(path, 0o640)
    with pytest.raises(AccountError, match="chmod 600"):
        store.load(path)
    os.chmod(path, 0o600)
    with open(path) as file:
        good = json.load(file)
    bad: list[Any] = [
        *([], {}, 1, "x", good | {"version": 2}, good | {"tokens": [{}]}, good | {"tokens": good["tokens"] * 2}),
        good | {"accounts": [{"name": "a", "role": "god", "rights": [], "password": passwords.NOBODY}]},
        good | {"accounts": [{"name": "a", "role": "admin", "rights": [], "password": "plain"}]},
        good | {"accounts": [{"name": "a", "role": "admin", "rights": ["all"], "password": passwords.NOBODY}]},
        good | {"accounts": [{"name": "a\n", "role": "admin", "rights": [], "password": passwords.NOBODY}]},
        good | {"tokens": [good["tokens"][0] | {"end": "never"}]},
        good | {"tokens": [good["tokens"][0] | {"sha256": "x"}]},
    ]
    for each in bad:
        with open(path, "w") as file:
            json.dump(each, file)
        with pytest.raises(AccountError, match="no file of accounts"):
            store.load(path)
    with open(path, "wb") as raw:
        raw.write(b"\xff\x00" * 10)
    with pytest.raises(AccountError, match="no file of accounts"):
        changing.add_token(path, "second", Role.VIEWER, [], None)


@pytest.mark.process
def test_a_gateway_without_accounts_imports_nothing_of_them_but_the_table_of_rights() -> None:
    program = (
        "import sys; import nportpy.gateway, nportpy.services.site, nportpy.console.console;"
        "from nportpy.services.gate import Gate, GateSettings; from nportpy.services.audit import Audit;"
        "gate = Gate(GateSettings('/nonexistent/accounts.json'), Audit()); assert not gate.closed;"
        "print([each for each in sys.modules if each.startswith('nportpy.accounts.')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "['nportpy.accounts.roles']"


def test_s18_a_token_that_has_ended_is_nobody_who_is_left(tmp_path: Path) -> None:
    path = str(tmp_path / "accounts.json")
    changing.add(path, "anna", Role.ADMIN, [], "correct horse battery")
    changing.add_token(path, "old", Role.ADMIN, [], 1.0)
    with pytest.raises(AccountError, match="nobody would be left"):
        changing.remove(path, "anna", keep_one=True)
    with pytest.raises(AccountError, match="nobody would be left"):
        changing.set_role(path, "anna", Role.VIEWER, [], keep_one=True)
    changing.add_token(path, "new", Role.ADMIN, [], None)
    changing.remove(path, "anna", keep_one=True)
