"""What `nportpy status` shows: one screen of text out of a gateway's status document.

A document of another version may lack what is newer than it: that is left out.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from nportpy.cli.cells import Row, table_lines
from nportpy.services.verdict import lasting, share, took

Document = dict[str, Any]

MOST_UNITS: Final = 12
MOST_CLIENTS: Final = 20
"""Rows of one table; a screen has no more."""

_SIZES: Final = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def screen(document: Document) -> list[str]:
    """Head, faults, lines, services, clients and busy units, as lines of text."""
    now = _moment(document.get("time")) or datetime.now().astimezone()
    lines = [_head(document, now)]
    for title, rows, head, right in _tables(document, now):
        if rows:
            lines += ["", title, *table_lines(rows, head, right=right)]
    return lines


def _tables(document: Document, now: datetime) -> Iterator[tuple[str, list[Row], Sequence[str], Sequence[str]]]:
    """Title, rows, columns, and those of them that stand to the right."""
    yield "Faults", _faults(document, now), ("for", "where", "what"), ("for",)
    numbers: tuple[str, ...] = ("for", "received", "sent", "bus", "waits")
    yield "Lines", _lines(document, now), ("line", "state", "device", "set to", *numbers), numbers
    numbers = ("clients", "refused")
    rows = [row for table in document.get("tls", ()) for row in _certificates(table)]
    yield "Certificates", rows, ("tls", "name", "until", "SHA-256"), ()
    yield "Services", _services(document), ("port", "service", "listens on", *numbers), numbers
    numbers = ("for", "received", "sent")
    yield "Clients", _clients(document, now), ("client", "service", *numbers, "state", "identity"), numbers
    numbers = ("requests", "a second", "of the bus", "refused")
    yield (
        "Who asks",
        _askers(document, now),
        ("client", "service", "bus", *numbers, "last", "left", "identity"),
        numbers,
    )
    numbers = ("unit", "of the bus", "answers in", "answered", "lost", "spoilt", "late")
    yield "Units", _units(document), ("bus", *numbers, "state"), numbers


def bus_names(document: Document) -> list[str]:
    """Which buses there are."""
    return [str(bus["name"]) for bus in document.get("buses", ())]


def _head(document: Document, now: datetime) -> str:
    faults = len(document.get("faults", ()))
    state = "ready" if document["ready"] else "NOT READY"
    trouble = "no faults" if not faults else f"{faults} fault{'s' * (faults > 1)}"
    up = _for(document.get("started"), now)
    return f"{document['name']}: nportpy {document['version']}, up {up}, {state}, {trouble}"


def _faults(document: Document, now: datetime) -> list[Row]:
    return [
        {"for": _for(fault["since"], now), "where": fault["where"], "what": fault["what"]}
        for fault in document.get("faults", ())
    ]


def _lines(document: Document, now: datetime) -> list[Row]:
    buses = {bus["name"]: bus for bus in document.get("buses", ())}
    rows: list[Row] = [
        {
            "line": line["name"],
            "state": line["state"],
            "for": _for(line["since"], now),
            "device": line["device"],
            "set to": _set_to(line["settings"]),
            "received": size(line["received"]),
            "sent": size(line["sent"]),
            **_load(buses.pop(line["name"], None)),
        }
        for line in document["lines"]
    ]
    for name, bus in buses.items():  # servers elsewhere
        rows.append({"line": name, "state": "up" if bus["up"] else "down", **_load(bus)})
    return rows


def _load(bus: Document | None) -> Row:
    recent = (bus or {}).get("recent") or {}
    if not recent.get("seconds"):
        return {}
    waits = took(recent["waited"] / recent["sent"]) if recent["sent"] else None
    return {"bus": share(recent["busy"], recent["seconds"]), "waits": waits}


def _set_to(settings: Document) -> str:
    flow = "" if settings["flow"] == "none" else f" {settings['flow']}"
    return f"{settings['baudrate']} {settings['data_bits']}{settings['parity']}{settings['stop_bits']}{flow}"


def _certificates(table: Document) -> list[Row]:
    """By their fingerprints people compare what a browser shows them."""
    return [
        {
            "tls": table["name"],
            "name": each["name"],
            "until": f"{datetime.fromtimestamp(each['not_after'], UTC):%Y-%m-%d}",
            "SHA-256": each.get("fingerprint"),
        }
        for each in table["certificates"]
    ]


def _services(document: Document) -> list[Row]:
    return [
        {
            "port": service["port"],
            "service": service["service"],
            "listens on": ", ".join(service["listen"]) or "-",
            "clients": len(service["clients"]),
            "refused": _refused(service) or None,
        }
        for service in document["services"]
    ]


def _refused(service: Document) -> int:
    """Connections and requests."""
    connections = sum(count for result, count in service["results"].items() if result.startswith("refused"))
    return int(connections + sum(service["refused"].values()))


def _clients(document: Document, now: datetime) -> list[Row]:
    """Of lines' bytes; those that ask units are in a table of their own."""
    ask = {client["client"] for bus in document.get("buses", ()) for client in bus.get("clients", ())}
    rows: list[Row] = [
        {
            "client": endpoint(client["address"], client["port"]),
            "service": f"{service['port']} {service['service']}",
            "for": _for(client["since"], now),
            "received": size(client["sent"]),
            "sent": size(client["received"]),
            "state": client["state"],
            "identity": client.get("identity") or None,
        }
        for service in document["services"]
        for client in service["clients"]
        if endpoint(client["address"], client["port"]) not in ask
    ]
    return _cut(rows, MOST_CLIENTS, "client")


def _askers(document: Document, now: datetime) -> list[Row]:
    found, buses = [], document.get("buses", ())
    known = {
        endpoint(client["address"], client["port"]): client.get("identity") or None
        for service in document["services"]
        for client in service["clients"]
    }
    for bus in buses:
        recent = bus.get("recent") or {}
        for client in bus.get("clients", ()):
            its = client["recent"]
            rate = its["requests"] / recent["seconds"] if recent.get("seconds") else None
            row: Row = {
                "client": client["client"] + (f" ({client['connections']} times)" if client["connections"] > 1 else ""),
                "service": client["service"],
                "bus": bus["name"] if len(buses) > 1 else None,
                "requests": client["requests"],
                "a second": None if rate is None else f"{rate:.1f}",
                "of the bus": share(its["busy"], recent["busy"]) if recent.get("busy") else None,
                "refused": client["refused"] or None,
                "last": _last(client),
                "left": f"{_for(client['left'], now)} ago" if client["left"] else None,
                "identity": known.get(client["client"]),
            }
            found.append((its["busy"], client["left"] is None, row))
    found.sort(key=lambda each: each[:2], reverse=True)
    return _cut([row for _, _, row in found], MOST_CLIENTS, "client")


def _last(client: Document) -> str | None:
    if client["function"] is None:
        return None
    where = "" if client["address"] is None else f" {client['address']}"
    return f"unit {client['unit']} FC{client['function']}{where}"


def _units(document: Document) -> list[Row]:
    """Those that have most of their bus, and those that are silent."""
    found = []
    for bus in document.get("buses", ()):
        busy = (bus.get("recent") or {}).get("busy") or 0.0
        for unit in bus["units"]:
            recent = unit.get("recent")
            if recent is None or not (unit["silent"] or recent["busy"] or recent["answered"]):
                continue
            timed = sum(each["count"] for each in recent["answer_times"])
            row: Row = {
                "bus": bus["name"],
                "unit": unit["unit"],
                "of the bus": share(recent["busy"], busy) if busy else None,
                "answers in": took(recent["answer_seconds"] / timed) if timed else None,
                "answered": recent["answered"],
                "lost": (recent["unanswered"] + recent["retries"]) or None,
                "spoilt": recent["spoilt"] or None,
                "late": recent["late"] or None,
                "state": "silent" if unit["silent"] else None,
            }
            found.append((unit["silent"], recent["busy"], row))
    found.sort(key=lambda each: each[:2], reverse=True)
    return _cut([row for _, _, row in found], MOST_UNITS, "bus")


def _cut(rows: Sequence[Row], most: int, first: str) -> list[Row]:
    if len(rows) <= most:
        return list(rows)
    return [*rows[: most - 1], {first: f"... and {len(rows) - most + 1} more: --json"}]


def endpoint(host: str, port: int) -> str:
    """`192.0.2.7:4711`, `[2001:db8::7]:4711`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def size(count: int) -> str:
    """Bytes: `512 B`, `1.5 MB`."""
    for limit, unit in _SIZES:
        if count >= limit:
            return f"{count / limit:.1f} {unit}"
    return f"{count} B"


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _for(text: str | None, now: datetime) -> str:
    moment = _moment(text)
    return "" if moment is None else lasting((now - moment).total_seconds())


def sentences(verdicts: Sequence[Document]) -> Iterator[str]:
    """What is to be said of buses, a sentence a line."""
    for number, each in enumerate(verdicts):
        if number:
            yield ""
        yield from each["sentences"]
