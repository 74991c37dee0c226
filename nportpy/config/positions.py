"""On which line of a TOML file something stands.

tomllib reads the values and says no word about lines, so tree-sitter reads the text again, and only when there is a
fault to locate. The text is valid TOML here: tomllib has accepted it.
"""

import tomllib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

from nportpy.config.toml import Path

if TYPE_CHECKING:
    from tree_sitter import Node

# Deeper than any key that exists; keeps a file of brackets from exhausting the stack.
_DEEPEST = 16


class Lines:
    """Line numbers of the keys of one file."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines: dict[Path, int] | None = None

    def of(self, path: Path) -> int:
        """The line, from 1, where `path` is set; else of the table it would stand in; 0 where there is none."""
        if self._lines is None:
            self._lines = _walk(self._text)
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 0)


K = TypeVar("K")


class Origins(Mapping[K, str]):
    """Where things stand in a file, as `file:line`. The lines are looked for when somebody asks: mostly nobody does."""

    def __init__(self, source: str, lines: Lines, paths: dict[K, Path]) -> None:
        self._source = source
        self._lines = lines
        self._paths = paths

    def __getitem__(self, key: K) -> str:
        path = self._paths[key]
        try:
            return f"{self._source}:{self._lines.of(path)}"
        except (OSError, ImportError):  # out of descriptors, say: what is asked for this late must not end a gateway
            return self._source

    def __iter__(self) -> Iterator[K]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def _walk(text: str) -> dict[Path, int]:
    # Imported here: a file without faults does not need it.
    import tree_sitter_toml
    from tree_sitter import Language, Parser

    tree = Parser(Language(tree_sitter_toml.language())).parse(text.encode())
    return _Walk().document(tree.root_node)


class _Walk:
    """One pass over the syntax tree."""

    def __init__(self) -> None:
        self._lines: dict[Path, int] = {}
        self._implied: dict[Path, int] = {}  # tables that exist because something inside them does
        self._lengths: dict[Path, int] = {}  # arrays of tables so far

    def document(self, root: "Node") -> dict[Path, int]:
        for node in root.named_children:
            if node.type == "pair":
                self._pair((), node)
            elif node.type in ("table", "table_array_element"):
                self._table(node)
        return self._implied | self._lines

    def _table(self, node: "Node") -> None:
        header = node.named_children[0]
        path: Path = ()
        keys = _keys(header)
        for key in keys[:-1]:
            path = self._last((*path, key))
            self._implied.setdefault(path, _line(header))
        path = (*path, keys[-1])
        if node.type == "table_array_element":
            self._implied.setdefault(path, _line(header))
            self._lengths[path] = self._lengths.get(path, 0) + 1
            path = self._last(path)
        self._lines[path] = _line(header)
        for child in node.named_children[1:]:
            if child.type == "pair":
                self._pair(path, child)

    def _last(self, path: Path) -> Path:
        """The table that a header means where it names an array of tables: its last one."""
        return (*path, self._lengths[path] - 1) if path in self._lengths else path

    def _pair(self, path: Path, node: "Node") -> None:
        key, value = (child for child in node.named_children if child.type != "comment")
        for name in _keys(key):
            path = (*path, name)
            self._implied.setdefault(path, _line(key))
        self._lines[path] = _line(key)
        self._value(path, value)

    def _value(self, path: Path, node: "Node") -> None:
        if len(path) > _DEEPEST:
            return
        if node.type == "array":
            items = [child for child in node.named_children if child.type != "comment"]
            for number, item in enumerate(items):
                self._lines[*path, number] = _line(item)
                self._value((*path, number), item)
        elif node.type == "inline_table":
            for child in node.named_children:
                if child.type == "pair":
                    self._pair(path, child)


def _line(node: "Node") -> int:
    return node.start_point[0] + 1


def _keys(node: "Node") -> list[str]:
    """The names in a key, dotted or not."""
    if node.type == "dotted_key":
        return [name for child in node.named_children for name in _keys(child)]
    text = (node.text or b"").decode()
    if node.type == "bare_key":
        return [text]
    return list(tomllib.loads(f"{text} = 0"))
