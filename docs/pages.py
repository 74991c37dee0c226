"""What `make docs` adds to the pages of this folder: those beside it, and the files of etc/ that they link to."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
BESIDE = {
    "overview.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "flaws.md": "SECURITY.md",
}
"""Pages of the site, and their files. A README.md would be the index."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages beside this folder, and what the documents link to."""
    for page, name in BESIDE.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text()))
    for path in sorted((ROOT / "etc").rglob("*")):
        if path.is_file():
            files.append(File.generated(config, str(path.relative_to(ROOT)), content=path.read_bytes()))
    index = "\n".join(f"- [{path.name}]({path.name})" for path in sorted((ROOT / "etc/examples").glob("*.toml")))
    files.append(File.generated(config, "etc/examples/index.md", content=f"# Whole files by use case\n\n{index}\n"))
    for name in ("Dockerfile", "LICENSE"):
        files.append(File.generated(config, name, content=(ROOT / name).read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Links as they are in the site, where all of these are in one folder."""
    if page.file.src_uri in BESIDE:
        markdown = re.sub(r"\]\(docs/", "](", markdown)
    else:
        markdown = re.sub(r"\]\(\.\./", "](", markdown)
    for name, beside in BESIDE.items():
        markdown = markdown.replace(f"]({beside}", f"]({name}")
    return re.sub(r"\]\(etc/examples\)", "](etc/examples/index.md)", markdown)
