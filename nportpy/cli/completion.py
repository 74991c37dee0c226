"""What a shell offers behind TAB where it is more than options: devices, targets, and names of the configuration.

Whoever presses TAB waits, so the file is read as TOML and not checked, and of what is wrong with it nothing is said.
"""

import tomllib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Final

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

from nportpy.config import DEFAULT_PATH

_HERE: Final = "localhost"

_Found = list[tuple[str, str]]  # what may stand there, and what it is
_Offer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _offering(*find: Callable[[click.Context], _Found]) -> _Offer:
    """For `shell_complete`: what is found and begins with what stands there."""

    def offer(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        found = chain.from_iterable(each(ctx) for each in find)
        return [CompletionItem(text, help=what or None) for text, what in found if text.startswith(incomplete)]

    return offer


def _devices(_ctx: click.Context) -> _Found:
    from nportpy.port.inventory import serial_devices  # most of what is completed needs no look at them

    return [(device.stable, device.description) for device in serial_devices()]


def _services(ctx: click.Context, prefixes: dict[str, str]) -> _Found:
    """Services of this machine, as `prefixes` says by their kind how they are written."""
    tables = [(name, kind, port.get(kind)) for name, port in _tables(ctx, "port") for kind in prefixes]
    if "modbus" in prefixes:
        tables += [(name, "modbus", table) for name, table in _tables(ctx, "modbus")]
    return [
        (f"{prefixes[kind]}{_HERE}:{number}", f"{kind} of {name}")
        for name, kind, found in tables
        for table in (found if isinstance(found, list) else [found])
        if isinstance(table, dict)
        for number in _numbers(table.get("listen"))
    ]


def _elsewhere(ctx: click.Context) -> _Found:
    found = [(str(each["target"]), f"station {name}") for name, each in _tables(ctx, "station") if "target" in each]
    return found + _routed(ctx)


def _routed(ctx: click.Context) -> _Found:
    """Servers elsewhere."""
    return [(str(route["to"]), f"route of {name}") for name, route in _routes(ctx) if "to" in route]


def _routes(ctx: click.Context) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, table in _tables(ctx, "modbus"):
        routes = table.get("routes")
        for route in routes if isinstance(routes, list) else []:
            if isinstance(route, dict):
                yield name, route


def _with_units(ctx: click.Context) -> _Found:
    """Ports whose line is a bus: by a table of their own, a route or a station."""
    asked = {str(route.get("port")) for _, route in _routes(ctx)}
    asked |= {
        str(each.get("port")) for _, each in _tables(ctx, "station") if each.get("protocol", "modbus") == "modbus"
    }
    return [
        (name, str(port.get("device", ""))) for name, port in _tables(ctx, "port") if name in asked or "modbus" in port
    ]


def _names(kind: str, *keys: str) -> Callable[[click.Context], _Found]:
    """Names of the tables [kind.NAME]; the first of `keys` that one has says what it is."""

    def find(ctx: click.Context) -> _Found:
        return [(name, str(next((each[key] for key in keys if key in each), ""))) for name, each in _tables(ctx, kind)]

    return find


def _numbers(listen: object) -> Iterator[int]:
    """The TCP ports of a `listen`: a number, "address:port", or a list of them."""
    for each in listen if isinstance(listen, list) else [listen]:
        number = str(each).rpartition(":")[2]
        if number.isdecimal():
            yield int(number)


def _tables(ctx: click.Context, kind: str) -> list[tuple[str, dict[str, Any]]]:
    """The tables [kind.NAME] of the configuration that the command line names, or of the default one."""
    path = ctx.params.get("path") or DEFAULT_PATH
    try:
        with open(path, "rb") as file:
            found = tomllib.load(file).get(kind)
    except (OSError, ValueError):
        return []
    known = found.items() if isinstance(found, dict) else ()
    return [(name, table) for name, table in known if isinstance(table, dict)]


def _askable(ctx: click.Context) -> _Found:
    return _services(ctx, {"modbus": "", "raw": "rtu+tcp://", "rfc2217": "rfc2217://"})


def _attachable(ctx: click.Context) -> _Found:
    return _services(ctx, {"raw": "raw://", "rfc2217": "rfc2217://"})


# For parameters that stand for them; `targets` for whatever is asked, `attach_targets` for what becomes a COM port.
devices: Final = _offering(_devices)
targets: Final = _offering(_askable, _elsewhere, _devices)
attach_targets: Final = _offering(_attachable)
lines: Final = _offering(_names("port", "device"), _names("modbus", "listen"))
stations: Final = _offering(_names("station", "port", "target"))
upstreams: Final = _offering(_names("upstream", "url"))


buses: Final = _offering(_with_units, _routed)


def offer_files(command: click.Command) -> None:
    """Have the shell complete files and folders where a command and those below it want them, by their metavar."""
    plain = [parameter for parameter in command.params if isinstance(parameter.type, click.types.StringParamType)]
    for parameter in plain:
        if (parameter.metavar or "").startswith("FILE"):
            parameter.type = click.Path()
        elif parameter.metavar == "DIR":
            parameter.type = click.Path(file_okay=False)
    for each in command.commands.values() if isinstance(command, click.Group) else ():
        offer_files(each)


class ColonBash(BashComplete):
    """Bash takes a colon for the end of a word, and HOST:PORT has one: here words end at spaces."""

    source_template = """\
%(complete_func)s() {
    local line=${COMP_LINE:0:COMP_POINT} words word before='' response completion type value
    read -ra words <<< "$line"
    word=${line##*[[:space:]]}
    # What is before the last colon stands there already.
    [[ $COMP_WORDBREAKS == *:* ]] && before=${word%%"${word##*:}"}
    local IFS=$'\\n'
    response=$(env COMP_WORDS="$line" COMP_CWORD=$((${#words[@]} - (${#word} > 0))) %(complete_var)s=bash_complete $1)
    for completion in $response; do
        IFS=',' read -r type value <<< "$completion"
        case $type in
            dir) COMPREPLY=(); compopt -o dirnames ;;
            file) COMPREPLY=(); compopt -o default ;;
            plain) COMPREPLY+=("${value#"$before"}") ;;
        esac
    done
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


add_completion_class(ColonBash)
