"""`[tls.NAME]` in a configuration: what it means, and what is wrong with it."""

import pytest

from nportpy.config import fault_lines, parse
from nportpy.errors import ConfigError
from nportpy.gateway.plans import GatewaySettings
from nportpy.modbus.settings import Action, Matching, Rule, ServerSettings
from nportpy.network.addresses import Endpoint
from nportpy.network.tls_settings import Clients, Expired, KeyPair, TlsSettings
from nportpy.port.base import PortSettings

PORT = '[port.a]\ndevice = "/dev/null"\n'
SHOWN = '[tls.plant]\ncert_file = "/s.crt"\nkey_file = "/s.key"\n'
MUTUAL = SHOWN + 'ca_file = "/ca.crt"\n'


def read(text: str) -> GatewaySettings:
    return parse(text, "x.toml")


def faults(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return "\n".join(fault_lines(caught.value))


def test_s1_what_a_table_means() -> None:
    text = PORT + '[port.a.raw]\nlisten = 4001\ntls = "plant"\n[http]\ntls = "plant"\n' + MUTUAL
    found = read(text)
    assert found.ports[0].raw[0].tls == "plant"
    assert found.http is not None
    assert found.http.tls == "plant"
    assert found.tls == (TlsSettings("plant", (KeyPair("/s.crt", "/s.key"),), "/ca.crt", Clients.REQUIRED),)


def test_s1_every_key_of_a_table() -> None:
    text = """[tls.plant]
cert_file = ["/rsa.crt", "ec.crt"]
key_file = ["/rsa.key", "ec.key"]
key_password_file = "/password"
ca_file = "/ca.crt"
clients = "optional"
crl_file = "/ca.crl"
crl_expired = "warn"
minimum = "1.3"
server_name = "Broker.Example"
"""
    pairs = (KeyPair("/rsa.crt", "/rsa.key", "/password"), KeyPair("ec.crt", "ec.key", "/password"))
    assert read(PORT + text).tls == (
        TlsSettings("plant", pairs, "/ca.crt", Clients.OPTIONAL, "/ca.crl", Expired.WARN, "1.3", "broker.example"),
    )


def test_s12_port_802_is_modbus_security() -> None:
    text = PORT + '[port.a.modbus]\nlisten = {}\ntls = "plant"\n' + MUTUAL
    assert read(text.format(802)).ports[0].modbus[0].security
    assert not read(text.format(502)).ports[0].modbus[0].security
    assert read(text.format('"0.0.0.0:802"')).ports[0].modbus[0].security
    assert not read(PORT + "[port.a.modbus]\nlisten = 802\nsecurity = false\n").ports[0].modbus[0].security


def test_s13_roles_in_rules() -> None:
    text = PORT + '[port.a.modbus]\nlisten = 802\ntls = "plant"\nrules = [{ action = "deny", roles = ["A", ""] }]\n'
    routing = read(text + MUTUAL).ports[0].modbus[0].routing
    assert routing.rules == (Rule(Matching(roles=frozenset({"A", ""})), Action.DENY),)


def test_s12_a_route_by_tls() -> None:
    text = '[modbus.m]\nlisten = 502\nroutes = [{ units = "1", to = "tls://192.0.2.1", tls = "plant" }]\n'
    to = read(text + MUTUAL).routers[0].service.routing.routes[0].to
    assert isinstance(to, ServerSettings)
    assert (to.endpoint, to.tls, to.name) == (Endpoint("192.0.2.1", 802), "plant", "tls://192.0.2.1:802")


def test_s1_a_station_and_an_upstream_by_tls() -> None:
    text = "".join(
        STATION.format(number, target) + 'tls = "plant"\n'
        for number, target in enumerate(("tls://192.0.2.1", "raws://192.0.2.1:4001", "rfc2217s://192.0.2.1:5001"))
    )
    text += '[upstream.u]\nurl = "mqtts://b"\ntls = "plant"\n'
    settings = read(text + MUTUAL)
    assert settings.edge is not None
    direct, raw, com = (each.to for each in settings.edge.stations)
    assert isinstance(direct, ServerSettings)
    assert (direct.endpoint, direct.tls) == (Endpoint("192.0.2.1", 802), "plant")
    assert isinstance(raw, PortSettings)
    assert isinstance(com, PortSettings)
    assert (raw.device, raw.tls) == ("raws://192.0.2.1:4001", settings.tls[0])
    assert (com.device, com.tls) == ("rfc2217s://192.0.2.1:5001", settings.tls[0])
    assert settings.edge.upstreams[0].tls == settings.tls[0]


def test_s1_an_upstream_with_files_of_its_own() -> None:
    edge = read(PORT + '[upstream.u]\nurl = "mqtts://b"\nca_file = "/ca"\ncert_file = "/c"\nkey_file = "/k"\n').edge
    assert edge is not None
    assert edge.upstreams[0].tls == TlsSettings("", (KeyPair("/c", "/k"),), "/ca")


def test_s9_a_certificate_of_our_own_where_others_see_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/nportpy")
    own = TlsSettings("self", (KeyPair("/var/lib/nportpy/tls/self.crt", "/var/lib/nportpy/tls/self.key"),), made=True)
    pages = '[http]\nlisten = "0.0.0.0:9550"\nconsole = "view"\n'
    for text, used, tables in (
        (pages, "self", (own,)),
        (pages + 'tls = "plant"\n', "plant", ()),
        (pages.replace("view", "off"), "", ()),
        (pages.replace("view", "edit"), "self", (own,)),
        *((pages.replace("view", each) + 'accounts_file = "/a.json"\n', "self", (own,)) for each in ("view", "edit")),
        (pages.replace("0.0.0.0", "127.0.0.1"), "", ()),
        (pages.replace('"0.0.0.0:9550"', '["127.0.0.1:9550", "192.0.2.1:9550"]'), "self", (own,)),
        ('[http]\nlisten = "[::]:9550"\n', "", ()),
        ("[http]\nlisten = false\n" + RAW.format("self"), None, (own,)),
        (pages + SHOWN.replace("plant", "self"), "self", ()),
    ):
        found = read(text + ("" if "[tls." in text else SHOWN) + ("" if "[port" in text else PORT))
        assert (None if found.http is None else found.http.tls) == used, text
        assert tuple(each for each in found.tls if each.made) == tables, text


STATION = '[station.s{}]\nevery = "1s"\ntags = [{{ name = "a", at = 41001 }}]\ntarget = "{}"\n'
UPSTREAM = '[upstream.u]\nurl = "{}"\ntls = "plant"\n'
RAW = PORT + '[port.a.raw]\nlisten = 4001\ntls = "{}"\n'
MODBUS = PORT + "[port.a.modbus]\nlisten = 802\n"
ROUTE = '[modbus.m]\nlisten = 502\nroutes = [{{ units = "1", to = "{}"{} }}]\n'
FAULTS = {
    "no such table": (RAW.format("other") + SHOWN, "x.toml:5: port.a.raw.tls", "there is no such table", '"plant"'),
    "no table at all": (RAW.format("plant"), "x.toml:5", "there is no such table", "a table [tls.NAME]"),
    "nothing to show": (
        RAW.format("plant") + '[tls.plant]\nca_file = "/ca.crt"\n', "x.toml:5", "no certificate to show", "cert_file",
    ),
    "key without certificate": ('[tls.p]\nkey_file = "/k"\n', "x.toml:2: tls.p.key_file", "go in pairs", "as many"),
    "two of one": (
        '[tls.p]\ncert_file = ["/a", "/b"]\nkey_file = "/a.key"\n',
        "x.toml:3: tls.p.key_file", "go in pairs", "as many",
    ),
    "a list for nobody": (SHOWN + 'crl_file = "/ca.crl"\n', "x.toml:4: tls.plant.crl_file", "revoked", "ca_file"),
    "clients of nobody": (SHOWN + 'clients = "required"\n', "x.toml:4: tls.plant.clients", "believed", "ca_file"),
    "a password for nothing": ('[tls.p]\nkey_password_file = "/p"\n', "key_password_file", "no key", "key_file"),
    "a relative path": ('[tls.p]\nca_file = "tls/ca.crt"\n', "x.toml:2", "is no path of a file", "absolute path"),
    "an old version": ('[tls.p]\nminimum = "1.1"\n', "x.toml:2", "none of the words", '"1.2", "1.3"'),
    "UDP": (
        PORT + '[port.a.modbus]\nlisten = 502\nprotocol = "udp"\ntls = "plant"\n' + SHOWN,
        "x.toml:6", "over UDP", "no such",
    ),
    "802 in the clear": (
        MODBUS, "x.toml:4: port.a.modbus.listen = 802", "port 802 is MODBUS/TCP Security", "security = false",
    ),
    "802 without certificates": (
        MODBUS + 'tls = "plant"\n' + SHOWN, "x.toml:4", "wants a certificate of every client", "ca_file",
    ),
    "802 that leaves it open": (
        MODBUS + 'tls = "plant"\n' + MUTUAL + 'clients = "optional"\n', "x.toml:4", "wants a certificate", '"required"',
    ),
    "802 by a certificate that nobody issued": (
        MODBUS + 'tls = "self"\n', "x.toml:4", "wants a certificate of every client", "ca_file",
    ),
    "our own certificate for whom we call": (
        PORT + '[port.a.tcp_client]\nhosts = ["192.0.2.1:4001"]\ntls = "self"\n',
        "x.toml:5", "no such table", "[tls.NAME]",
    ),
    "security in RTU": (
        PORT + '[port.a.modbus]\nlisten = 5020\nsecurity = true\nprotocol = "rtu"\ntls = "plant"\n' + MUTUAL,
        "x.toml:5: port.a.modbus.security", "is Modbus TCP", '"tcp"',
    ),
    "a route by TLS to anybody": (
        ROUTE.format("tls://192.0.2.1", ""), "x.toml:3: modbus.m.routes[0].to", "whom to believe", 'tls = "NAME"',
    ),
    "a plain route with a table": (
        ROUTE.format("tcp://192.0.2.1", ', tls = "plant"') + SHOWN, "routes[0].tls", "by TLS", "tls://192.0.2.1",
    ),
    "a station by TLS to anybody": (
        STATION.format("", "tls://192.0.2.1"), "x.toml:4: station.s.target", "whom to believe", 'tls = "NAME"',
    ),
    "a plain station with a table": (
        STATION.format("", "192.0.2.1") + 'tls = "plant"\n' + SHOWN, "x.toml:5: station.s.tls", "by TLS", "raws://",
    ),
    "a DLMS meter by TLS": (
        STATION.format("", "tls://192.0.2.1:4059").replace("41001", '"1.0.1.8.0.255"')
        + 'tls = "plant"\nprotocol = "dlms"\n' + SHOWN,
        "x.toml:4: station.s.target", "is Modbus, not dlms", "raws://192.0.2.1:4059",
    ),
    "an upstream's table that is not there": (
        UPSTREAM.format("mqtts://b"), "x.toml:3: upstream.u.tls", "there is no such table", "[tls.NAME]",
    ),
    "a plain upstream with a table": (
        UPSTREAM.format("mqtt://b") + SHOWN, "x.toml:3: upstream.u.tls", "by TLS", 'url = "mqtts://b"',
    ),
    "an upstream with both": (
        UPSTREAM.format("mqtts://b") + 'ca_file = "/ca"\n' + SHOWN,
        "x.toml:4: upstream.u.ca_file", "goes not with tls", "ca_file in [tls.plant]",
    ),
    "a role that none can have": (
        PORT + '[port.a.modbus]\nlisten = 502\nrules = [{ action = "deny", roles = ["a\\nb"] }]\n',
        "x.toml:5", "characters that cannot stand here", "64",
    ),
    "TLS where there is none": (
        PORT + '[port.a.udp]\nlisten = 4001\ntls = "plant"\n' + SHOWN,
        "x.toml:5", "does not belong", "tls in [http]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_s1_what_is_wrong_is_said_at_its_line(case: str) -> None:
    text, where, reason, allowed = FAULTS[case]
    said = faults(text if "[port" in text or "[modbus" in text else text + PORT)
    for part in (where, reason, allowed):
        assert part in said, said
