"""ser2net.yaml (ser2net.yaml(5)): version 1, with `connection: &name`, and version 2, plain YAML with `connections`."""

import re
from collections.abc import Iterator

from nportpy.migration.source import Connection, Notes, Option, Text, switch
from nportpy.migration.yaml_tree import Alias, Mapping, Scalar, Sequence, UnreadableError, Value, documents

FORM = "ser2net.yaml"

# An alias is replaced where it stands; one that names itself over others may not fill the memory.
_LONGEST = 1 << 16
_VERSION_2 = frozenset(
    ("defines", "defaults", "delete_defaults", "admins", "leds", "connections", "rotators")
)  # fmt: skip
_FIELDS = frozenset(("accepter", "connector", "timeout", "enable", "options", "name"))
_WITHOUT_EQUAL = {
    "admin": "no administration port: GET /api/v1/status of [http] shows what is going on",
    "led": "no LEDs are driven; what goes over a line is counted in /metrics",
    "rotator": "no rotator: each port has its own TCP port",
}


def read(text: str, notes: Notes) -> list[Connection]:
    """The connections of a file, in their order; everything that is wrong goes to `notes`."""
    try:
        found = documents(text)
    except UnreadableError as error:
        notes.fault(error.line, "", error.reason)
        return []
    reader = _Reader(notes)
    for document in found:
        reader.document(document)
    return reader.connections


class _Reader:
    """One pass over the documents of a file."""

    def __init__(self, notes: Notes) -> None:
        self.connections: list[Connection] = []
        self._notes = notes
        self._defines: dict[str, str] = {}
        self._defaults: dict[tuple[str, str], str] = {}
        self._mark = "*"  # what stands before (alias) and {file} in a value; "=" in version 2

    def document(self, value: Value) -> None:
        if isinstance(value, Scalar) and not value.text:
            return
        if not isinstance(value, Mapping):
            self._notes.fault(value.line, "", "is not a ser2net.yaml: it has no keys", "connection: &name")
            return
        version_2 = any(key.text.lower() in _VERSION_2 for key, _ in value.pairs)
        self._mark = "=" if version_2 else "*"
        for key, inside in value.pairs:
            (self._plural if version_2 else self._singular)(key, inside)

    def _singular(self, key: Scalar, value: Value) -> None:
        """A key of version 1; ser2net does not mind capitals."""
        kind = key.text.lower()
        anchor = value.anchor if isinstance(value, (Scalar, Mapping)) else ""
        match kind:
            case "define" if isinstance(value, Scalar) and anchor:
                self._defines[anchor] = self._expanded(value.text, value.line)
            case "default" if isinstance(value, Mapping):
                fields = self._fields(value)
                self._default(fields.get("name", Text("", key.line)), fields)
            case "delete_default" if isinstance(value, Mapping):
                fields = self._fields(value)
                of, name = (fields[part].text if part in fields else "" for part in ("class", "name"))
                self._defaults.pop((of, name), None)
            case "connection" if isinstance(value, Mapping) and anchor:
                with self._notes.of(anchor, key.line):
                    self._connection(anchor, key.line, value)
            case "connection":
                with self._notes.of(anchor or f"line {key.line}", key.line):
                    self._notes.fault(
                        key.line, key.text, "has no name or nothing in it", "connection: &name, then its keys"
                    )
            case _:
                self._other(kind, anchor, key)

    def _plural(self, key: Scalar, value: Value) -> None:
        """A key of version 2: what is in it has names of its own."""
        kind = key.text.lower()
        match kind:
            case "defines":
                for alias, text in self._members(key, value):
                    self._defines[alias.text] = self._text(text)
            case "defaults":
                for alias, inside in self._members(key, value):
                    if isinstance(inside, Mapping):
                        self._default(Text(alias.text, alias.line), self._fields(inside))
            case "delete_defaults":
                for alias, inside in self._members(key, value):
                    for of_class in inside.items if isinstance(inside, Sequence) else (inside,):
                        self._defaults.pop((self._text(of_class), alias.text), None)
            case "connections":
                for alias, inside in self._members(key, value):
                    with self._notes.of(alias.text, alias.line):
                        if isinstance(inside, Mapping):
                            self._connection(alias.text, alias.line, inside)
                        else:
                            self._notes.fault(alias.line, alias.text, "has nothing in it", "accepter: and connector:")
            case "admins" | "leds" | "rotators":
                for alias, _ in self._members(key, value):
                    self._other(kind[:-1], alias.text, alias)
            case _:
                self._other(kind, "", key)

    def _members(self, key: Scalar, value: Value) -> Iterator[tuple[Scalar, Value]]:
        if isinstance(value, Mapping):
            yield from value.pairs
        elif isinstance(value, Sequence):
            self._notes.fault(key.line, key.text, "is a list: ser2net wants a name before each", "name:, then its keys")

    def _other(self, kind: str, name: str, key: Scalar) -> None:
        if kind in _WITHOUT_EQUAL:
            self._notes.remark(key.line, f"{kind} {name}".strip() + f": {_WITHOUT_EQUAL[kind]}")
        elif kind == "include":
            self._notes.fault(
                key.line, kind, "other files are not read: convert them by themselves, or paste them here"
            )
        else:
            self._notes.fault(key.line, key.text, "is no key of ser2net.yaml", "connection, default, define, ...")

    def _default(self, name: Text, fields: dict[str, Text]) -> None:
        if not name.text:
            self._notes.fault(name.line, "default", "has no name")
            return
        kind = fields["class"].text if "class" in fields else ""
        self._defaults[kind, name.text] = fields["value"].text if "value" in fields else ""
        if kind in ("ssl", "certauth", "sctp", "ipmisol"):
            self._notes.remark(name.line, f"default {name.text} of {kind}: there is no {kind} here")

    def _connection(self, name: str, line: int, value: Mapping) -> None:
        fields = self._fields(value)
        for key, _ in value.pairs:
            if key.text.lower() not in _FIELDS:
                self._notes.fault(
                    key.line, f"{name}.{key.text}", "is no key of a connection", ", ".join(sorted(_FIELDS))
                )
        missing = [key for key in ("accepter", "connector") if not (key in fields and fields[key].text)]
        for absent in missing:
            self._notes.fault(line, f"{name}.{absent}", "is missing")
        if missing:
            return
        enable = fields.get("enable", Text("on", line))
        enabled = switch(enable.text)
        if enabled is None:
            self._notes.fault(enable.line, f"{name}.enable", "is neither on nor off", "on or off")
        self.connections.append(
            Connection(
                name=name,
                line=line,
                accepter=fields["accepter"],
                connector=fields["connector"],
                timeout=fields.get("timeout"),
                enabled=bool(enabled),
                options=tuple(self._options(value)),
                defaults=dict(self._defaults),
            )
        )

    def _options(self, connection: Mapping) -> Iterator[Option]:
        for key, value in connection.pairs:
            if key.text.lower() == "options" and isinstance(value, Mapping):
                for name, inside in value.pairs:
                    yield Option(name.text.lower(), self._text(inside), name.line)

    def _fields(self, mapping: Mapping) -> dict[str, Text]:
        """The plain values of a mapping."""
        return {
            key.text.lower(): Text(self._text(value), value.line)
            for key, value in mapping.pairs
            if isinstance(value, (Scalar, Alias))
        }

    def _text(self, value: Value) -> str:
        match value:
            case Scalar():
                return self._expanded(value.text, value.line)
            case Alias():  # of a define its text; of an LED or a connection its name
                return self._defines.get(value.name, value.name)
            case _:
                self._notes.fault(value.line, "", "a single value was expected")
                return ""

    def _expanded(self, text: str, line: int) -> str:
        """A value with its `*(alias)` replaced; `*(*` stands for `*(` itself."""
        mark = re.escape(self._mark)

        def replaced(found: re.Match[str]) -> str:
            name = found["name"]
            if name is None:
                return found[0][:2]
            if name not in self._defines:
                self._notes.fault(line, f"{self._mark}({name})", "is not defined before this line")
            return self._defines.get(name, "")

        if re.search(mark + r"\{(?!" + mark + ")", text):
            self._notes.fault(line, self._mark + "{...}", "a file in a value is not read: write the text itself")
        pattern = rf"{mark}\({mark}|{mark}\{{{mark}|{mark}\((?P<name>[^()]*)\)"
        expanded = re.sub(pattern, replaced, text)
        if len(expanded) > _LONGEST:
            self._notes.fault(line, "", "is longer than any value can be, its aliases replaced")
            return ""
        return expanded
