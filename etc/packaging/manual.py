"""The manual: a page for every command from its own help, and nportpy.toml(5) from the commented configuration.

click-man lays the commands' pages out; here they are found, since a command is loaded only when it is called for, and
their text is made safe for roff, which click-man leaves to others.
"""

import re
from collections.abc import Iterator
from inspect import cleandoc

import click
from click_man.man import ManPage

from nportpy.cli.by_protocol import OPTION, ByProtocol

BREAK = "\b"  # click: the paragraph that follows keeps its lines
ENDING = """\
.SH EXIT STATUS
0: done; 1: failed; 2: wrong usage or configuration.
.SH FILES
.TP
.I /etc/nportpy/nportpy.toml
The configuration: nportpy.toml(5).
.SH SEE ALSO
{see_also}
"""

# What one line of the commented configuration is.
RULE = re.compile(r"# -{20,}")
TABLE = re.compile(r"(?:# e\.g\. )?\[.+\]")
KEY = re.compile(r"(?:# (?:e\.g\. )?)?[\w-]+ = ")
PROSE = re.compile(r"# ?(?P<text>.*)")


def commands(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[click.Context]:
    """The contexts of a command and of all below it, hidden ones left out."""
    ctx = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    yield ctx
    if isinstance(command, click.Group):
        for each in command.list_commands(ctx):
            found = command.get_command(ctx, each)
            if found is not None and not found.hidden:
                yield from commands(found, each, ctx)
    elif isinstance(command, ByProtocol):
        for protocol in command.protocols:
            yield from commands(command.other(protocol), f"{name} {OPTION} {protocol}", parent)


def page_name(ctx: click.Context) -> str:
    """`nportpy read --protocol dlms` is in nportpy-read-dlms(1)."""
    return ctx.command_path.replace(f"{OPTION} ", "").replace(" ", "-")


def command_page(ctx: click.Context, version: str, date: str, everything: list[str]) -> str:
    """The page of one command; `everything` are the names of all pages of this section."""
    command = ctx.command
    name = page_name(ctx)
    page = ManPage(name)
    page.version, page.date = f"nportpy {version}", date
    page.short_help = escaped(summary(command))
    page.synopsis = " ".join(command.collect_usage_pieces(ctx))
    page.description = "\n".join(paragraphs(cleandoc(command.help or "")))
    options = [each.get_help_record(ctx) for each in command.get_params(ctx) if isinstance(each, click.Option)]
    page.options = [(name, escaped(" ".join(text.split()))) for name, text in filter(None, options)]
    if isinstance(command, click.Group):
        below = [(each, command.get_command(ctx, each)) for each in command.list_commands(ctx)]
        page.commands = [(each, escaped(summary(found))) for each, found in below if found and not found.hidden]
    text = str(page).replace(f"\n.B {name}\n", f"\n.B {escaped(ctx.command_path)}\n", 1)
    near = [each for each in everything if each != name and (each.startswith(name) or name.startswith(each))]
    text = text.replace(f'"{name} Manual"', '"User Commands"').replace(".SH COMMANDS\n.PP", ".SH COMMANDS")
    return text + ENDING.format(see_also=",\n".join([*(f"{each}(1)" for each in near), "nportpy.toml(5)"]))


def summary(command: click.Command) -> str:
    """A command's first sentence, without its full stop."""
    return " ".join(re.split(r"\.(?:\s|$)|\n\n", cleandoc(command.help or ""))[0].split())


def paragraphs(text: str) -> Iterator[str]:
    """Lines of roff for click's paragraphs: filled, or as they stand behind BREAK."""
    for number, part in enumerate(re.split(r"\n\s*\n", text)):
        if number:
            yield ".PP"
        if part.lstrip(" ").startswith(BREAK):
            yield from (".nf", *map(escaped, part.replace(BREAK, "").strip("\n").split("\n")), ".fi")
        else:
            yield escaped(" ".join(part.split()))


def escaped(text: str) -> str:
    """Text that roff shows as it is."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("^", r"\(ha").replace("~", r"\(ti")
    text = text.replace("`", r"\(ga").replace("'", r"\(aq")
    return rf"\&{text}" if text.startswith(".") else text


def configuration_page(source: str, version: str, date: str) -> str:
    """nportpy.toml(5): the commented configuration, its words filled and its lines of TOML as they are."""
    lines = [
        f'.TH "NPORTPY.TOML" "5" "{date}" "nportpy {version}" "File Formats"',
        ".SH NAME",
        r"nportpy.toml \- configuration of nportpy",
        ".SH SYNOPSIS",
        ".I /etc/nportpy/nportpy.toml",
        ".SH DESCRIPTION",
    ]
    for block in re.split(r"\n\s*\n", source.strip("\n")):
        rows = block.split("\n")
        if RULE.fullmatch(rows[0]):
            title, _, rest = " ".join(row.removeprefix("# ") for row in rows[1:]).partition(". ")
            lines += [f'.SH "{escaped(title.rstrip("."))}"', *filter(None, [escaped(rest)])]
            continue
        rows.sort(key=lambda row: not TABLE.fullmatch(row))  # what is said of a table comes below its heading here
        if not TABLE.fullmatch(rows[0]):
            lines.append(".PP")
        for row in rows:
            lines += configuration_line(row)
    text = "\n".join(lines)
    for empty in (".fi\n.nf\n", ".PP\n.nf\n.fi\n"):
        text = text.replace(empty, "")
    # a paragraph needs something in it, and a heading begins one by itself
    text = re.sub(r"(?:\.PP\n)+(?=\.S[HS]|\Z)", "", text)
    text = re.sub(r"(\.S[HS] [^\n]*\n)(?:\.PP\n)+", r"\1", text)
    return f"{text}\n.SH SEE ALSO\nnportpy(1),\nnportpy\\-check(1),\nnportpy\\-serve(1)\n"


def configuration_line(line: str) -> list[str]:
    """Lines of roff for one line of the commented configuration."""
    if TABLE.fullmatch(line):
        return [f'.SS "{escaped(line.removeprefix("# e.g. "))}"']
    prose = PROSE.fullmatch(line)
    if KEY.match(line) or prose is None or "  " in prose["text"]:
        return [".nf", escaped(line), ".fi"]
    return [escaped(prose["text"])]
