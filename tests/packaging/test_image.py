"""The container's steps, in a root of the Debian that its base image is made of: no registry of images is needed."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.conftest import Fresh
from tests.packaging.root import Root

pytestmark = [pytest.mark.packages, pytest.mark.timeout(600)]
PROJECT = Path(__file__).parents[2]
LARGEST = 90  # MiB that the image may add to its base; docs/install.md says what it was


def steps() -> list[list[tuple[str, str]]]:
    """The Dockerfile's stages, each a list of instructions and what they say."""
    text = re.sub(r"(?m)^\s*#.*\n", "", (PROJECT / "Dockerfile").read_text())
    lines = [line.split(None, 1) for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    stages: list[list[tuple[str, str]]] = []
    for name, rest in lines:
        if name == "FROM":
            stages.append([])
        stages[-1].append((name, rest.strip()))
    return stages


def said(stage: list[tuple[str, str]], name: str) -> str:
    """What the last instruction of that name says."""
    return [rest for each, rest in stage if each == name][-1]


def as_base_image(root: Root) -> Root:
    """As python:3.13-slim has it: `python` on the path, below /usr/local."""
    root.run("ln -s /usr/bin/python3 /usr/local/bin/python")
    return root


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that the steps install, fetched outside, so that the root needs no network."""
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(folder), "--only-binary=:all:"]
    command += ["--implementation=cp", "--python-version=3.13"]
    command += [f"--platform={name}" for name in ("manylinux2014_x86_64", "manylinux_2_28_x86_64", "any")]
    subprocess.run([*command, f"{PROJECT}[edge]", "hatchling"], check=True, timeout=300)
    return folder


@pytest.fixture(scope="module")
def image(fresh: Fresh, wheels: Path) -> Root:
    """What the steps come to."""
    assert [stage[0][1].partition(" ")[0] for stage in steps()] == ["python:3.13-slim"] * 2
    first, last = steps()
    build = as_base_image(fresh("13"))
    shutil.copytree(wheels, build.path("/wheels"))
    place = "/"
    for name, rest in first[1:]:
        if name == "WORKDIR":
            place = rest
            build.path(place).mkdir()
        elif name == "COPY":
            *files, to = rest.split()
            for file in files:
                bring(PROJECT / file, build.path(place) / to)
        else:
            assert name == "RUN"
            build.run(f"cd {place}\n{rest}", environment={"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels"})
    final = as_base_image(fresh("13"))
    for rest in (rest for name, rest in last if name == "COPY"):
        _, source, to = rest.split()
        shutil.copytree(build.path(source), final.path(to), symlinks=True)
    return final


def bring(source: Path, to: Path) -> None:
    """As COPY does, .dockerignore included: a folder's contents, or a file into a folder."""
    if source.is_dir():
        shutil.copytree(source, to, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, to)


def environment(stage: list[tuple[str, str]]) -> dict[str, str]:
    """What ENV sets."""
    words = dict(word.split("=", 1) for word in said(stage, "ENV").split())
    return {name: value.replace("$PATH", "/usr/local/bin:/usr/bin:/bin") for name, value in words.items()}


def test_the_image_serves_as_its_user_and_is_found_healthy(image: Root) -> None:
    last = steps()[-1]
    (command,) = json.loads(said(last, "ENTRYPOINT"))
    arguments = json.loads(said(last, "CMD"))
    probe = json.loads(said(last, "HEALTHCHECK").partition("CMD ")[2])
    image.path("/etc/nportpy").mkdir(exist_ok=True)
    image.path("/etc/nportpy/nportpy.toml").write_text(
        '[port.bench]\ndevice = "/tmp/line"\n[port.bench.raw]\nlisten = 4001\n'
    )
    image.path("/tmp/probe.py").write_text(probe[2])
    script = f"""
        socat pty,raw,echo=0,link=/tmp/line exec:cat &
        {command} {" ".join(arguments)} &
        until echo hello | nc -q 1 127.0.0.1 4001 | grep hello; do sleep 0.2; done
        {probe[0]} /tmp/probe.py && echo healthy
        {command} --version
    """
    image.path("/tmp").chmod(0o1777)
    said_there = image.run(script, user=said(last, "USER"), environment=environment(last))
    assert "hello\n" in said_there
    assert "healthy\n" in said_there


def test_the_image_holds_what_it_needs_and_no_more(image: Root) -> None:
    size = int(image.run("du -sm /opt/nportpy").split()[0])
    print(f"the image adds {size} MiB to its base")
    assert size <= LARGEST
    assert not image.path("/opt/nportpy/bin/pip").exists()
    assert image.path("/opt/nportpy/share/nportpy/nportpy.toml").exists()
