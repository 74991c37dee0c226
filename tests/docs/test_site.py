"""`make docs`: the site is built without the network, has every page, and a broken link ends it."""

import shutil
from pathlib import Path

import pytest

from tests.docs.documents import ROOT

pytest.importorskip("mkdocs", reason="no mkdocs here")

from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.long
def test_every_page_is_in_the_site(tmp_path: Path) -> None:
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path)))
    there = {page.stem for page in tmp_path.glob("*.html")}
    beside = {"overview", "contributing", "changelog", "flaws"}
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} | beside <= there
    assert (tmp_path / "etc/nportpy.toml").exists()
    assert "https://" not in "".join(
        line for line in (tmp_path / "index.html").read_text().splitlines() if "<script" in line or "stylesheet" in line
    )


@pytest.mark.parametrize("link", ["nowhere.md", "modbus.md#nowhere", "../etc/nowhere.toml"])
@pytest.mark.long
def test_a_broken_link_ends_it(link: str, tmp_path: Path) -> None:
    beside = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "Dockerfile", "LICENSE")
    for name in ("docs", "etc", "mkdocs.yml", *beside):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    with (tmp_path / "docs/attach.md").open("a") as page:
        page.write(f"\n[broken]({link})\n")
    with pytest.raises(Abort):
        build(load_config(str(tmp_path / "mkdocs.yml")))
