"""ser2net's own options of a connection (ser2net.yaml(5)): the keys that they are here, or a remark."""

import re
from ipaddress import ip_address

from nportpy.config.toml import toml_text
from nportpy.migration.packets import packing
from nportpy.migration.source import Connection, Notes, Option, Remark, switch

_LONGEST_SIGNATURE = 255
_MOST_CLIENTS = 1000

# Why there is nothing of the kind. Switched off, it is as it is here, and nothing is said.
_WITHOUT_EQUAL = {
    "banner": "clients get the line's bytes and nothing else",
    "openstr": "nothing is sent to the device when a client comes",
    "closestr": "nothing is sent to the device when the last client goes",
    "closeon": "nothing that the device says closes a connection",
    "led-tx": "no LEDs are driven; what goes over a line is counted in /metrics",
    "led-rx": "no LEDs are driven; what goes over a line is counted in /metrics",
    "net-to-dev-bufsize": "buffers have sizes of their own; see `allowance`",
    "dev-to-net-bufsize": "buffers have sizes of their own; see `allowance`",
    "authdir": "there are no logins; see `allow`",
    "pamauth": "there are no logins; see `allow`",
    "allowed-users": "there are no logins; see `allow`",
    "mdns": "[mdns] announces services, of all ports",
    "telnet-brk-on-sync": "a telnet BREAK makes a break, a telnet sync does not",
}
# Without telnet they do nothing in ser2net either.
_OF_TELNET = frozenset(("telnet-brk-on-sync", "signature"))
# Done here in any case, or said by another option.
_NOTHING_TO_SAY = frozenset(("accepter-retry-time", "connector-retry-time", "timeout-on-os-queue", "connback"))
_DEFAULTS = (
    "max-connections", "kickolduser", "chardelay", "chardelay-scale", "chardelay-min", "chardelay-max", "sendon",
    "telnet-brk-on-sync", "remaddr",
)  # fmt: skip


class Options:
    """The options of one connection."""

    def __init__(self, connection: Connection, keys: dict[str, object], remarks: list[Remark], notes: Notes) -> None:
        """`keys` of the service and `remarks` of the connection are filled in."""
        self._all = list(connection.options)
        for name in _DEFAULTS:
            default = connection.default("ser2net", name)
            if default is not None and all(option.name != name for option in connection.options):
                self._all.append(Option(name, default, connection.line))
        self._given = {option.name: option for option in self._all}  # the last of a name counts
        self._connection = connection
        self._keys = keys
        self._remarks = remarks
        self._notes = notes

    def read(self, kind: str, character_time: float) -> None:
        """Go through them; `kind` is the service's, `character_time` the line's in seconds."""
        most, kick = (self._given.pop(name, None) for name in ("max-connections", "kickolduser"))
        if kind != "udp":  # nobody connects there
            self._max_connections(most)
            self._kick(kick)
        self._remote_addresses(self._given.pop("remaddr", None))
        self._direction()
        self._packing(character_time)
        announced = "mdns" in self._given and switch(self._given["mdns"].value) is not False
        for option in self._all:
            of_telnet, of_mdns = option.name in _OF_TELNET, option.name.startswith("mdns")
            if option.name in self._given and (kind == "rfc2217" or not of_telnet) and (announced or not of_mdns):
                self._option(option)

    def _direction(self) -> None:
        ways = {"no-con-to-acc": "to_line", "no-acc-to-con": "to_network"}
        shut = [option for name in ways if (option := self._given.pop(name, None)) and self._switched(option)]
        if shut:
            self._keys["direction"] = ways[shut[0].name]
        if len(shut) > 1:
            self._remark(shut[1], "one way is open: no bytes at all would be of no use")

    def _packing(self, character_time: float) -> None:
        names = ("chardelay", "sendon", "chardelay-scale", "chardelay-min", "chardelay-max")
        said = {name: option for name in names if (option := self._given.pop(name, None)) is not None and option.value}
        if "chardelay" in said and switch(said["chardelay"].value) is not False:
            del said["chardelay"]
        try:
            value = packing(said, character_time)
        except ValueError as error:
            self._remark(said.get("sendon") or next(iter(said.values())), str(error))
            return
        if value is not None:
            self._keys["packing"] = value

    def _max_connections(self, option: Option | None) -> None:
        if option is not None and not re.fullmatch(r"[1-9]\d{0,8}", option.value.strip()):
            self._fault(option, "is no number of clients", f"1 to {_MOST_CLIENTS}")
            return
        wanted = 1 if option is None else int(option.value)  # 1 is ser2net's default
        if option is not None and wanted > _MOST_CLIENTS:
            self._remark(option, f"the most is {_MOST_CLIENTS}")
        self._keys["max_clients"] = min(wanted, _MOST_CLIENTS)

    def _kick(self, option: Option | None) -> None:
        if option is None or not self._switched(option):
            return
        self._keys["when_full"] = "kick_oldest"
        clients = self._keys.get("max_clients")
        if clients != 1:
            self._remark(option, "one client makes room, not all")

    def _remote_addresses(self, last: Option | None) -> None:
        """Who may come: it may be given several times, and must not become anyone."""
        if last is None:
            return
        allowed: list[object] = []
        given = [option for option in self._connection.options if option.name == "remaddr"] or [last]
        for option in given:
            for text in filter(None, (part.strip() for part in option.value.split(";"))):
                if text.startswith("!"):
                    self._remark(option, f"{text}: [port.NAME.tcp_client] calls hosts")
                host, _, port = text.removeprefix("!").removeprefix("tcp,").rpartition(",")
                try:
                    allowed.append(str(ip_address(host.removeprefix("ipv4,").removeprefix("ipv6,"))))
                except ValueError:
                    self._fault(option, f"{text} is no address and port", '"192.168.0.7,0"')
                    continue
                if port != "0" and not text.startswith("!"):
                    self._remark(option, f"{text}: the address may connect from any port of its own")
        if allowed:
            self._keys["allow"] = allowed

    def _option(self, option: Option) -> None:
        if option.name in _NOTHING_TO_SAY or not option.value or switch(option.value) is False:
            return
        if option.name == "signature" and re.fullmatch(rf"[ -\[\]-~]{{1,{_LONGEST_SIGNATURE}}}", option.value):
            self._keys["signature"] = option.value
        elif option.name.startswith("trace-"):
            self._remark(option, "nothing is written to files; `trace = true` of the port logs its bytes")
        else:
            self._remark(option, _WITHOUT_EQUAL.get(option.name, "no equal"))

    def _switched(self, option: Option) -> bool:
        on = switch(option.value)
        if on is None:
            self._fault(option, "is neither true nor false")
        return bool(on)

    def _remark(self, option: Option, reason: str) -> None:
        shown = f"{option.name} = {toml_text(option.value)}" if option.value else option.name
        self._remarks.append(Remark(option.line, f"{shown}: {reason}"))

    def _fault(self, option: Option, reason: str, allowed: str = "") -> None:
        key = f"{self._connection.name}.{option.name} = {toml_text(option.value)}"
        self._notes.fault(option.line, key, reason, allowed)
