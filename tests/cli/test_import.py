"""`nportpy import`: where it reads and writes, what it says, and its exit codes."""

from pathlib import Path

import click.testing
import pytest

from nportpy.cli import main

YAML = "connection: &a\n  accepter: tcp,4001\n  connector: serialdev,/dev/null,9600n81,local\n"


def run(*arguments: object, stdin: str | bytes = "") -> click.testing.Result:
    return click.testing.CliRunner().invoke(main, ["import", *map(str, arguments)], stdin, catch_exceptions=False)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "ser2net.yaml"
    path.write_text(YAML)
    return path


def test_to_standard_output(source: Path) -> None:
    result = run(source)
    assert result.exit_code == 0
    assert result.stderr == "1 port, 1 service\n"
    assert (
        result.stdout.partition("\n\n")[2]
        == """\
[port.a]
device = "/dev/null"
baudrate = 9600
format = "8N1"

[port.a.raw]
listen = 4001
max_clients = 1
"""
    )


def test_what_it_writes_passes_check(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "nportpy.toml"
    source.write_text(YAML + "  options:\n    banner: hello\n")
    result = run(source, "-o", target)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "1 port, 1 service, 1 remark in comments\n"
    assert '# line 5: banner = "hello"' in target.read_text()
    checked = click.testing.CliRunner().invoke(main, ["check", "-c", str(target)])
    assert (checked.exit_code, checked.stderr) == (0, "")


def test_a_file_that_is_there_stays(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "nportpy.toml"
    target.write_text("mine")
    result = run(source, "-o", target)
    assert result.exit_code == 2
    assert "--force" in result.stderr
    assert target.read_text() == "mine"
    assert run(source, "-o", target, "--force").exit_code == 0
    assert "[port.a]" in target.read_text()


def test_not_even_its_own_source(source: Path) -> None:
    assert run(source, "-o", source).exit_code == 2
    assert source.read_text() == YAML


def test_nothing_is_written_if_something_cannot_be_read(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "nportpy.toml"
    source.write_text(YAML + "  timeout: soon\n  enable: perhaps\n")
    result = run(source, "-o", target)
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        f"{source}:4: a.timeout: is no number of seconds: soon",
        f"{source}:5: a.enable: is neither on nor off (allowed: on or off)",
    ]
    assert not target.exists()


def test_b5_what_is_left_out_is_told_and_counted(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "nportpy.toml"
    source.write_text(YAML + YAML.replace("&a", "&b").replace("4001", "some.host,4002"))
    result = run(source, "-o", target)
    assert result.exit_code == 1
    name = "some.host is a name: here a service listens on an address"
    assert result.stderr.splitlines() == [
        "1 port, 1 service, 1 remark in comments",
        f'{source}:4: b is left out: b.accepter = "tcp,some.host,4002": {name}',
        "1 connection left out",
    ]
    checked = click.testing.CliRunner().invoke(main, ["check", "-c", str(target)])
    assert checked.exit_code == 0


def test_standard_input() -> None:
    assert "[port.null.raw]" in run("-", stdin="2001:raw:0:/dev/null:9600 LOCAL\n").stdout
    assert run("-", stdin="2001:\n").stderr.startswith("standard input:1: ")


def test_files_that_are_none(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in run(tmp_path / "missing").stderr
    latin = tmp_path / "latin"
    latin.write_bytes(b"connection: &a\n  accepter: \xe9\n")
    assert run(latin).stderr == f"{latin}:2: is not UTF-8 text\n"
    large = tmp_path / "large"
    large.write_bytes(b"#" * (1 << 20) + b"\n")
    assert run(large).stderr == f"{large}: is larger than 1MiB\n"
    assert run(tmp_path).exit_code == 2


def test_where_nothing_can_be_written(source: Path, tmp_path: Path) -> None:
    result = run(source, "-o", tmp_path / "missing" / "nportpy.toml")
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


def test_an_nports_export_is_told_what_it_is(source: Path) -> None:
    source.write_text("[Basic Information (not changeable)]\nFirmware version=0x1060000\n")
    result = run(source)
    assert result.exit_code == 2
    assert "docs/replacing-an-nport.md" in result.stderr
    assert "docs/replacing-an-nport.md" in run("--help").stdout
