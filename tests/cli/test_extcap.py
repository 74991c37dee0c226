"""nportpy extcap by what Wireshark says to it: which interfaces are whose."""

from typing import Any

import pytest
from click.testing import CliRunner

from nportpy.cli import extcap as command
from nportpy.cli import main
from nportpy.cli.watching import NotThere

HERE, BESIDE = "http://127.0.0.1:9550", "http://127.0.0.1:9551"
PI, PI_07 = "https://pi:9550", "https://pi-07:9550"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Gateways that have a line `bus` each, and what is captured of which."""
    found: list[tuple[str, str]] = []

    def ports(url: str, *_: Any) -> list[dict[str, Any]]:
        if url == PI:
            raise NotThere("it is off")
        return [{"port": "bus", "monitor": True}, {"port": "hidden", "monitor": False}]

    def stream(url: str, port: str, *_: Any) -> None:
        found.append((url, port))
        raise NotThere("enough")

    monkeypatch.setattr(command, "ports", ports)
    monkeypatch.setattr(command, "stream", stream)
    return found


def said(*words: str, **environment: str) -> str:
    return CliRunner().invoke(main, ["extcap", *words], env=environment).output


def listed(*urls: str) -> list[str]:
    words = [word for url in urls for word in ("--url", url)]
    lines = said(*words, "--extcap-interfaces").splitlines()[1:]
    return [line.partition("value=")[2].partition("}")[0] for line in lines]


def test_c22_each_line_of_each_gateway_is_an_interface_of_its_own(asked: list[tuple[str, str]]) -> None:
    for urls in ((HERE,), (HERE, BESIDE), (HERE, HERE), (PI, PI_07), (PI_07, PI)):
        names = listed(*urls)
        assert len(set(names)) == len(names) == 1 + len({url for url in urls if url != PI})
        for name, url in zip(names, (url for url in dict.fromkeys(urls) if url != PI), strict=False):
            words = [word for each in urls for word in ("--url", each)]
            said(*words, "--capture", "--extcap-interface", name, "--fifo", "/dev/null")
            assert asked.pop() == (url, "bus")
    assert listed(HERE) == ["nportpy-127.0.0.1-bus", "nportpy"]


def test_c22_why_nothing_is_captured_is_said_and_the_pipe_is_opened(tmp_path: Any, asked: Any) -> None:
    """tshark 4.0 waits for ever on a pipe that nobody opens."""
    pipe = tmp_path / "pipe"
    for name, says in (
        ("nportpy-127.0.0.1-bus", "enough"),
        ("other", "of none of the gateways"),
        ("nportpy", "choose"),
    ):
        assert says in said("--capture", "--extcap-interface", name, "--url", HERE, "--fifo", str(pipe))
        pipe.unlink()


def test_c22_a_gateway_that_must_not_have_the_token_hides_no_other(tmp_path: Any) -> None:
    """A token is not sent plainly; the list goes on all the same."""
    token = tmp_path / "token"
    token.write_text("np_secret\n")
    remote = "http://192.0.2.10:9550"
    out = said("--install", "--folder", str(tmp_path), "--url", remote, "--token-file", str(token))
    assert f"of {remote} nothing now: a token is not sent over plain HTTP to 192.0.2.10" in out
    assert "{value=nportpy}" in said("--url", remote, "--token-file", str(token), "--extcap-interfaces")


def test_c22_an_install_says_what_it_will_list(tmp_path: Any, asked: Any) -> None:
    out = said("--install", "--folder", str(tmp_path), "--url", HERE, "--url", PI, NPORTPY_TOKEN="np_secret")
    assert f"of {HERE}: nportpy-127.0.0.1-bus" in out
    assert f"of {PI} nothing now: it is off" in out
    assert "NPORTPY_TOKEN is not remembered" in out
    assert "np_secret" not in (tmp_path / "nportpy").read_text()
