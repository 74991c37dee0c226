"""The files of the pages: what they weigh, where they come from, what stands in them, and how they are served."""

import gzip
import json
import re
import threading
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from nportpy.console.files import Files
from tests.console.test_api import consoled

STATIC = Path(__file__).parents[2] / "nportpy/console/static"
OWN = sorted(path for path in STATIC.rglob("*.js") if path.parent.name != "vendor")


def test_c1_all_of_it_is_at_most_120_kb() -> None:
    files = Files()
    size = len(files.index) + sum(len(files._packed[name]) for name in files._packed if name != "index.html")
    assert size <= 120_000, size


def test_c1_vendored_files_are_those_of_the_list() -> None:
    vendored = json.loads((STATIC / "vendor/vendor.json").read_text())
    here = {path.name: sha256(path.read_bytes()).hexdigest() for path in (STATIC / "vendor").iterdir()}
    del here["vendor.json"]
    assert here == vendored["sha256"]
    assert {f"LICENSE.{name}" for name in vendored["packages"]} <= here.keys()


def test_c1_nothing_comes_from_elsewhere() -> None:
    for path in [*OWN, STATIC / "index.html", STATIC / "console.css"]:
        found = re.findall(r"https?://[^\s\"'`)]+|url\((?!data:)|\beval\(|innerHTML|dangerouslySet", path.read_text())
        assert not found, path.name
    assert "<script>" not in (STATIC / "index.html").read_text()
    assert "style=" not in "".join(path.read_text() for path in OWN)  # the CSP would not let it


@pytest.mark.parametrize("path", [path for path in OWN if path.name != "texts.js"], ids=lambda path: path.name)
def test_all_texts_stand_in_one_table(path: Path) -> None:
    """Between the tags of a template stand signs and values, and no word."""
    text = re.sub(r"^\s*//.*$|\s//\s.*$", "", path.read_text(), flags=re.MULTILINE)
    for template in _templates(text):
        words = re.sub(r"<[^>]*>|\$", "", template)
        assert not re.search(r"[A-Za-z]{2,}", words), words[:200]
        assert not re.search(r"(?:title|aria-label|alt)=[\"'][^\"']*[A-Za-z]", template), template[:200]


def _templates(text: str) -> list[str]:
    """The templates of a script, without what is between ${ and }."""
    found: list[str] = []
    for start in (match.end() for match in re.finditer(r"html`", text)):
        depth, at, here = 0, start, []
        inner = 0
        while at < len(text):
            if text.startswith("${", at):
                depth += 1
                at += 2
                continue
            char = text[at]
            if depth and char == "{":
                inner += 1
            elif depth and char == "}":
                if inner:
                    inner -= 1
                else:
                    depth -= 1
                    at += 1
                    continue
            elif not depth and char == "`":
                break
            elif depth and char == "`":
                at = _after_template(text, at + 1)
                continue
            if not depth:
                here.append(char)
            at += 1
        found.append("".join(here))
    return found


def _after_template(text: str, at: int) -> int:
    depth = 0
    while at < len(text):
        if text.startswith("${", at):
            depth, at = depth + 1, at + 2
            continue
        if text[at] == "`":
            if depth == 0:
                return at + 1
            at = _after_template(text, at + 1)
            continue
        if depth and text[at] == "}":
            depth -= 1
        at += 1
    return at


def test_every_text_that_is_used_is_there() -> None:
    texts = (STATIC / "texts.js").read_text()
    for path in OWN:
        source = path.read_text()
        names = dict(re.findall(r"^const (\w) = t\.(\w+);$", source, re.MULTILINE))
        for short, part in names.items():
            for name in set(re.findall(rf"(?<![\w.]){short}\.([a-z]\w+)", source)):
                assert re.search(rf"\b{name}:", texts), f"{path.name}: {part}.{name}"


def test_c2_files_are_read_and_packed_when_somebody_asks_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = 0
    pack = gzip.compress

    def counting(*arguments: Any, **named: Any) -> bytes:
        nonlocal packed
        packed += 1
        return pack(*arguments, **named)

    monkeypatch.setattr(gzip, "compress", counting)
    files = Files()
    assert not vars(files)  # nothing is read before
    found = files.find("console.js"), files.index
    once = packed
    assert (files.find("console.js"), files.index) == found
    assert packed == once <= len(files._raw) + 1


async def test_c2_no_line_waits_while_files_are_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    where = []
    pack = Files.pack

    def noticing(files: Files) -> None:
        where.append(threading.current_thread() is threading.main_thread())
        pack(files)

    monkeypatch.setattr(Files, "pack", noticing)
    async with consoled() as at:
        for _ in range(2):
            page = await at.call("/", Accept="text/html")
            assert page.status == 200
    assert where == [False]


async def test_c2_files_are_kept_for_ever_and_the_page_is_not() -> None:
    async with consoled() as at:
        page = await at.call("/", Accept="text/html", Accept_Encoding="gzip")
        assert page.headers["cache-control"] == "no-cache"
        html = gzip.decompress(page.body).decode()
        names = re.findall(r'(?:href|src)="(assets/[^"]+)"', html)
        assert {"console.js", "console.css", "icon.svg"} <= {name.rpartition("/")[2] for name in names}
        assert "{" not in html
        for name in names:
            file = await at.call(f"/{name}", Accept_Encoding="gzip")
            assert file.status == 200
            assert "immutable" in file.headers["cache-control"]
            assert gzip.decompress(file.body) == (await at.call(f"/{name}")).body
        assert (await at.call("/assets/0000000000000000/console.js")).status == 404
        for name in ("vendor/vendor.json", "vendor/LICENSE.htm", "..%2fconsole.py", "../console.py", "%2e%2e/files.py"):
            assert (await at.call(f"/{names[0].rpartition('/')[0]}/{name}")).status == 404
