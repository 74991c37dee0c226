"""What `nportpy config` prints of a change: what it does to a gateway, where that is afterwards, and the history."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from nportpy.cli.asking import Place

_EVERY: Final = ("0.0.0.0", "::")  # noqa: S104 - read, not bound


def impact_lines(impact: Iterable[dict[str, Any]]) -> list[str]:
    """What does not just stay, a line each."""
    return [_impact_line(each) for each in impact] or ["nothing changes for the gateway"]


def _impact_line(each: dict[str, Any]) -> str:
    name = "/".join(filter(None, (each["port"], each["name"])))
    what = each["part"] if name in ("", each["part"]) else f"{each['part']} {name}"
    line = f"{what} {each['becomes']}"
    if each["changed"]:
        line += f" ({', '.join(each['changed'])})"
    if each["listen"]:
        line += f", at {', '.join(each['listen'])}"
    if each["clients"]:
        line += f"; these lose their connection: {', '.join(each['clients'])}"
    return line


def entry_lines(entries: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Entries of the history, the newest first: number, when, what came of it, who, why."""
    for each in entries:
        when = datetime.fromisoformat(each["at"]).astimezone()
        line = f"{each['number']:>5}  {when:%Y-%m-%d %H:%M:%S}  {each['fate']:<11}  {each['by']:<16}  {each['why']}"
        # Somebody has written it: it must not do anything to this terminal.
        yield "".join(letter if letter.isprintable() else "." for letter in line.rstrip())


def after(place: Place, impact: Iterable[dict[str, Any]]) -> Place | None:
    """Where a gateway is asked that goes over to a change; None: nobody can tell from here."""
    http = next((each for each in impact if each["part"] == "http"), None)
    if http is None or not {"listen", "tls"} & {*http["changed"]}:
        return place
    if "tls" in http["changed"] or not http["listen"]:
        return None
    asked = urlsplit(place.url)
    urls = []
    for listen in http["listen"]:
        host, _, port = listen.rpartition(":")
        host = asked.netloc.rpartition(":")[0] if host.strip("[]") in _EVERY else host
        urls.append(f"{asked.scheme}://{host}:{port}{asked.path}")
    return place if place.url in urls else replace(place, url=urls[0])
