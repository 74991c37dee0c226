"""What a reload would do, by the decisions of the reload itself (changes.py, plans.py)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from nportpy.editing.impact import Affected, Becomes, Impact
from nportpy.gateway.changes import changed, http_stays, line_changes, matched, started_anew
from nportpy.gateway.lines import RunningPort
from nportpy.gateway.plans import GatewaySettings, Kind, PortPlan, Service, http_places, places, same_line, services_of
from nportpy.gateway.services import Running, Services, free_label
from nportpy.network.addresses import address_of, barred_by
from nportpy.network.service import WhenDown

_OF_THEIR_OWN = ("ports", "routers", "http", "discovery", "mdns", "edge", "tls")
"""Settings of a gateway that are told of by themselves."""


def impact(
    ports: Mapping[str, RunningPort], routers: Mapping[str, Services], now: GatewaySettings, wanted: GatewaySettings
) -> Impact:
    """What does not just stay, if a gateway with these ports and routers goes from `now` over to `wanted`."""
    plans = {plan.name: plan for plan in wanted.ports}
    replaced = {
        name for name, port in ports.items() if not same_line(port.plan, plans.get(name), has_bus=port.bus is not None)
    }
    found: list[Affected] = []
    for name, port in ports.items():
        found += _port(port, plans.get(name), replaced=name in replaced)
    found += [each for plan in wanted.ports if plan.name not in ports for each in _new_port(plan)]
    router_plans = {plan.name: plan for plan in wanted.routers}
    for name, services in routers.items():
        plan = router_plans.get(name)
        found += _services(services, [(Kind.ROUTER, plan.service)] if plan is not None else [], up=True)
    for plan in wanted.routers:
        if plan.name not in routers:
            found += _new_services(plan.name, [(Kind.ROUTER, plan.service)], ())
    return (
        *found,
        *_http(now, wanted),
        *_announced(now, wanted),
        *_edge(now, wanted, replaced),
        *_gateway(now, wanted),
    )


def _port(port: RunningPort, plan: PortPlan | None, *, replaced: bool) -> Iterator[Affected]:
    name = port.plan.name
    if not replaced:
        assert plan is not None  # else its line would go
        if (names := changed(port.plan.stream, plan.stream)) or port.plan.trace != plan.trace:
            yield Affected("line", "", name, Becomes.IN_PLACE, (*names, *["trace"] * (port.plan.trace != plan.trace)))
        yield from _services(port.services, services_of(plan), up=port.line.up)
        return
    if plan is None:
        yield Affected("line", "", name, Becomes.ENDS)
    else:
        yield Affected("line", "", name, Becomes.ANEW, tuple(line_changes(port.plan, plan)))
    left, taken = services_of(plan) if plan is not None else [], []
    for service in port.services.running:
        affected, left = _ending(name, service, left)
        taken += [service.runs.service] * (affected.becomes is Becomes.ANEW)
        yield affected
    yield from _new_services(name, left, taken)


def _new_port(plan: PortPlan) -> Iterator[Affected]:
    yield Affected("line", "", plan.name, Becomes.NEW)
    yield from _new_services(plan.name, services_of(plan), ())


def _services(services: Services, wanted: Sequence[Service], *, up: bool) -> Iterator[Affected]:
    """Those of a line that stays, or of a router."""
    running = services.running
    found = matched([(each.kind, each.settings) for each in running], wanted)
    for place, settings in found.in_place:
        service = running[place]
        names = tuple(changed(service.settings, settings))
        clients = tuple(_dropped(service, settings, up=up))
        yield Affected("service", services.name, service.runs.service, Becomes.IN_PLACE, names, clients)
    left, taken = found.left, [running[n].runs.service for n in (*found.kept, *(n for n, _ in found.in_place))]
    for place in found.gone:
        affected, left = _ending(services.name, running[place], left)
        taken += [running[place].runs.service] * (affected.becomes is Becomes.ANEW)
        yield affected
    yield from _new_services(services.name, left, taken)


def _ending(port: str, service: Running, left: list[Service]) -> tuple[Affected, list[Service]]:
    """A service that ends, or is one of those that are to be started then; and the others of them."""
    like = [each for each in left if each[0] is service.kind]
    names = started_anew((service.kind, service.settings), like)
    clients = tuple(str(session.peer) for session in service.runs.sessions)
    becomes = Becomes.ENDS if names is None else Becomes.ANEW
    if like:
        left = list(left)
        left.remove(min(like, key=lambda each: len(changed(service.settings, each[1]))))
    return Affected("service", port, service.runs.service, becomes, tuple(names or ()), clients), left


def _new_services(name: str, wanted: Iterable[Service], taken: Iterable[str]) -> Iterator[Affected]:
    used = set(taken)
    for kind, settings in wanted:
        label = free_label(kind, used)
        used.add(label)
        yield Affected("service", name, label, Becomes.NEW, listen=tuple(map(str, places(kind, settings))))


def _dropped(service: Running, settings: Any, *, up: bool) -> Iterator[str]:
    """Who loses a connection by limits and lists alone."""
    down = not up and getattr(settings, "when_down", None) is WhenDown.CLOSE
    for session in service.runs.sessions:
        if down or barred_by(address_of(session.peer.host), getattr(settings, "allow", ())):
            yield str(session.peer)


def _http(now: GatewaySettings, wanted: GatewaySettings) -> Iterator[Affected]:
    if now.http == wanted.http:
        return
    names = tuple(changed(now.http, wanted.http)) if now.http is not None and wanted.http is not None else ()
    listen = tuple(map(str, http_places(wanted.http)))
    if http_stays(now.http, wanted.http):
        becomes = Becomes.IN_PLACE
    elif now.http is None:
        becomes = Becomes.NEW
    else:
        becomes = Becomes.ENDS if wanted.http is None else Becomes.ANEW
    yield Affected("http", "", "http", becomes, names, listen=listen)


def _announced(now: GatewaySettings, wanted: GatewaySettings) -> Iterator[Affected]:
    for part in ("discovery", "mdns"):
        before, after = getattr(now, part), getattr(wanted, part)
        if before != after:
            yield Affected(part, "", part, _became(before, after), _differences(before, after))


def _edge(now: GatewaySettings, wanted: GatewaySettings, replaced: set[str]) -> Iterator[Affected]:
    before, after = now.edge, wanted.edge
    archive = before is not None and (after is None or before.archive != after.archive)
    if before != after and (archive or before is None):
        yield Affected("archive", "", "archive", _became(before, after))
    for part in ("station", "upstream"):
        were = {each.name: each for each in getattr(before, f"{part}s", ())}
        will = {each.name: each for each in getattr(after, f"{part}s", ())}
        for name in were | will:
            one, other = were.get(name), will.get(name)
            moved = part == "station" and one is not None and one.to in replaced
            if one != other or moved or archive:
                yield Affected(part, "", name, _became(one, other), _differences(one, other))


def _gateway(now: GatewaySettings, wanted: GatewaySettings) -> Iterator[Affected]:
    were, will = {each.name: each for each in now.tls}, {each.name: each for each in wanted.tls}
    for name in were | will:
        if were.get(name) != will.get(name):
            becomes = _became(were.get(name), will.get(name))
            becomes = Becomes.IN_PLACE if becomes is Becomes.ANEW else becomes
            yield Affected("certificates", "", name, becomes, _differences(were.get(name), will.get(name)))
    if names := [name for name in changed(now, wanted) if name not in _OF_THEIR_OWN]:
        yield Affected("gateway", "", wanted.name, Becomes.IN_PLACE, tuple(names))


def _became(before: object, after: object) -> Becomes:
    if before is None:
        return Becomes.NEW
    return Becomes.ENDS if after is None else Becomes.ANEW


def _differences(before: object, after: object) -> tuple[str, ...]:
    return tuple(changed(before, after)) if before is not None and type(before) is type(after) else ()
