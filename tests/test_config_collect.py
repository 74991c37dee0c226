"""A collector's file: what it becomes, and what is said of its faults."""

import re
from pathlib import Path

import pytest

from nportpy.config import fault_lines
from nportpy.config.collect_build import parse
from nportpy.edge.collect.settings import CollectSettings, SourceSettings
from nportpy.errors import ConfigError
from nportpy.network.tls_settings import KeyPair, TlsSettings

EXAMPLE = Path(__file__).parent.parent / "etc/collect.toml"
SOURCE = '[source.plant]\nurl = "mqtt://broker"\n'


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "x.toml")
    return fault_lines(caught.value, excerpts=False)


def test_the_smallest_file() -> None:
    settings = parse(SOURCE, "x")
    (source,) = settings.sources
    assert source.urls == ("mqtt://broker",)
    assert source.client.startswith("nportpy-collect-")
    assert settings.store.path.endswith("/collected.db")
    assert settings.metrics == ()


def test_everything_is_passed_on() -> None:
    settings = parse(
        """
        [source.plant]
        url = ["nats://a:4222,b:4222", "tls://c:4222"]
        group = "archive"
        keepalive = "10s"
        user = "me"
        password_file = "/p"
        credentials_file = "/c"
        ca_file = "/ca"
        cert_file = "/cert"
        key_file = "/key"
        [source.other]
        url = "mqtts://d"
        client = "one"
        session = "1h"
        [store]
        url = "postgresql://me@db/x"
        password_file = "/q"
        commit = "1s"
        [http]
        listen = "127.0.0.1:9551"
        [log]
        level = "debug"
        """,
        "x",
    )
    assert settings.sources == (
        SourceSettings(
            "plant", ("nats://a:4222,b:4222", "tls://c:4222"), "archive", settings.sources[0].client, 7 * 86400.0, 10.0,
            "me", "/p", "/c", TlsSettings("", (KeyPair("/cert", "/key"),), "/ca"),
        ),
        SourceSettings("other", ("mqtts://d",), client="one", session=3600.0),
    )  # fmt: skip
    assert (settings.store.url, settings.store.password_file, settings.store.commit) == (
        "postgresql://me@db/x", "/q", 1.0,
    )  # fmt: skip
    assert settings.metrics == (("127.0.0.1", 9551),)
    assert settings.log.level == "debug"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "source: is missing"),
        ("[source]\n", "source: is missing"),
        ("source = 1\n", "x.toml:1: source = 1: must be a table"),
        ("[source.a]\n", 'x.toml:1: source.a.url: is missing (allowed: a line such as url = "nats://'),
        ('[source."a.b"]\nurl = "mqtt://b"\n', "a.b"),
        ('[source.a]\nurl = "http://b"\n', 'x.toml:2: source.a.url = "http://b": is no URL of a broker'),
        ('[source.a]\nurl = "influx+http://b"\n', "is no URL of a broker"),
        ('[source.a]\nurl = "mqtt://me:secret@b"\n', "has a user in it"),
        ('[source.a]\nurl = ["mqtt://b", "nats://c"]\n', "leads to MQTT and to NATS"),
        (SOURCE + 'pasword_file = "/x"\n', "did you mean password_file?"),
        (SOURCE + 'password_file = "/x"\n', "has a password and no user"),
        (SOURCE + 'cert_file = "/x"\n', "a certificate goes with its key"),
        (SOURCE + 'keepalive = 5\n', "keepalive"),
        (SOURCE + 'group = "a b"\n', "group"),
        (SOURCE + '[store]\npath = "a"\nurl = "postgresql://b/c"\n', "x.toml:5: store.url: goes not with path"),
        (SOURCE + '[store]\nurl = "mysql://b/c"\n', "is no URL of PostgreSQL"),
        (SOURCE + '[store]\nurl = "postgresql://me:secret@b/c"\n', "has a password in it"),
        (SOURCE + '[store]\nurl = "postgresql://b/c?password=secret"\n', "has a password in it"),
        (SOURCE + '[store]\nurl = "postgresql://b:x/c"\n', "has a port that is none"),
        (SOURCE + '[store]\npassword_file = "/x"\n', "is for PostgreSQL"),
        (SOURCE + "[store]\npath = 3\n", "x.toml:4: store.path = 3"),
        (SOURCE + "[http]\n", "http.listen: is missing"),
        (SOURCE + "[http]\nlisten = 9551\n", 'allowed: "127.0.0.1:9551"'),
        (SOURCE + "[gateway]\nname = 'x'\n", "x.toml:3: gateway"),
        (SOURCE + "[store]\ngroup = 'x'\n", "group in [source.NAME]"),
        (SOURCE + "[log]\nlevel = 'loud'\n", "log.level"),
        ("[source.a\nurl = 'mqtt://b'\n", "x.toml:1"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_line(text: str, said: str) -> None:
    lines = faults(text)
    assert len(lines) == 1
    assert said in lines[0]
    assert "secret" not in lines[0]


def test_all_faults_at_once() -> None:
    assert len(faults('[source.a]\nurl = "x"\nkeepalive = 1\n[store]\ncommit = "x"\n[htpp]\n')) == 4


def test_the_example_is_loaded_and_shows_the_defaults() -> None:
    assert parse(EXAMPLE.read_text(), "x").sources[0].urls == ("nats://127.0.0.1:4222",)
    commented = re.sub(r"(?m)^# (?!e\.g\.)(?=[a-z_]+ = )", "", EXAMPLE.read_text())
    shown, usual = parse(commented, "x"), parse(EXAMPLE.read_text(), "x")
    assert shown == usual


def test_every_key_is_in_the_example() -> None:
    from nportpy.config.collect_tables import Http, Source, Store

    text = EXAMPLE.read_text()
    for model in (Source, Store, Http):
        for key in model.model_fields:
            assert re.search(rf"(?m)^(# (e\.g\. )?)?{key} = ", text), key


STORE = '[source.a]\nurl = "nats://a"\n[store]\n'


def test_s1_a_database_by_tls() -> None:
    text = STORE + 'url = "postgresql://db/x"\nca_file = "/ca"\ncert_file = "/c"\nkey_file = "/k"\n'
    assert parse(text, "x").store.tls == TlsSettings("", (KeyPair("/c", "/k"),), "/ca")
    assert parse(STORE + 'url = "postgresql://db/x"\n', "x").store.tls is None


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ('ca_file = "/ca"\n', "is for PostgreSQL"),
        ('url = "postgresql://db/x?sslmode=require"\nca_file = "/ca"\n', "goes not with what the url says of TLS"),
        ('url = "postgresql://db/x"\ncert_file = "/c"\n', "a certificate goes with its key"),
    ],
)
def test_s1_what_is_wrong_with_a_database_by_tls(keys: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(STORE + keys, "x")
    assert [fault.reason for fault in caught.value.faults] == [reason]


def test_every_example_is_right() -> None:
    text = re.sub(r"(?m)^# e\.g\. ", "", EXAMPLE.read_text())
    text = re.sub(r'(?m)^(url = "postgresql|\w+_file = "/etc/nportpy/postgresql)', r"# \1", text)
    settings = parse(text, "x")
    assert isinstance(settings, CollectSettings)
    assert settings.sources[0].client == "collector-1"
