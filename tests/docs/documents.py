"""What the documents say: their blocks of code, and the nportpy commands in them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))

_FENCE = re.compile(r"^( *)```(\w*)\s*$")
_MARK = re.compile(r"^\s*<!-- (.+) -->\s*$")
_NPORTPY = re.compile(r"(?:\S*/)?nportpy$")


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    document: Path
    line: int
    """Of its first line, from 1."""
    language: str
    text: str
    mark: str
    """What the comment in the line before it says; "" if there is none."""

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command line that starts nportpy."""

    where: str
    words: tuple[str, ...]
    """What comes after `nportpy`."""
    partial: bool = False
    """Named between words, perhaps without all that it needs."""


def blocks(document: Path, *languages: str) -> Iterator[Block]:
    """The fenced blocks of a document in these languages, without the indentation that they have in a list."""
    lines = document.read_text().splitlines()
    place = 0
    while place < len(lines):
        opening = _FENCE.match(lines[place])
        place += 1
        if not opening:
            continue
        indent, language = opening.groups()
        end = lines.index(f"{indent}```", place)
        if language in languages:
            marked = _MARK.match(lines[place - 2]) if place > 1 else None
            text = "\n".join(line.removeprefix(indent) for line in lines[place:end])
            yield Block(document, place + 1, language, text, marked[1] if marked else "")
        place = end + 1


def indented_commands(document: Path) -> Iterator[str]:
    """Lines that look like a command in a block that is merely indented, which nothing would run."""
    fenced = False
    for number, line in enumerate(document.read_text().splitlines(), 1):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced and re.match(r"(    |\t)\s*(sudo )?(\S*/)?nportpy [a-z]", line):
            yield f"{document.name}:{number}: {line.strip()}"


def commands(block: Block) -> Iterator[Command]:
    """The nportpy command lines of a block of shell, also those behind `sudo`, in a pipe and after `&&`."""
    joined = block.text.replace("\\\n", "  ")
    for number, line in enumerate(joined.splitlines()):
        for words in _split(_words(line)):
            names = [place for place, word in enumerate(words) if _NPORTPY.match(word)]
            if names and all(word == "sudo" or "=" in word for word in words[: names[0]]):
                yield Command(f"{block.document.name}:{block.line + number}", tuple(words[names[0] + 1 :]))


def spans(document: Path) -> Iterator[Command]:
    """The nportpy commands between words, as in `nportpy check`, as far as they are more than its name."""
    for number, line in enumerate(document.read_text().splitlines(), 1):
        for span in re.findall(r"`(?:sudo )?nportpy ([a-z][^`]*)`", line):
            words = next(_split(_words(span.replace("\\|", "|").partition(" ...")[0])))
            yield Command(f"{document.name}:{number}", tuple(words), partial=True)


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(lexer)


def _split(words: list[str]) -> Iterator[list[str]]:
    """Simple commands of a line; what is redirected is left out."""
    simple: list[str] = []
    redirected = False
    for word in words:
        if word in ("|", "||", "&&", "&", ";", "(", ")"):
            yield simple
            simple = []
        elif word in (">", ">>", "<", ">|", "2>"):
            redirected = True
        elif redirected:
            redirected = False
        else:
            simple.append(word)
    yield simple
