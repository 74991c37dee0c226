"""The tables, in SQLite's SQL and in PostgreSQL's; docs/collect.md describes them.

A change of the tables is a new version: another entry at the end of STEPS, which brings a database of the version
before to this one. What stands there is never changed.
"""

from typing import Final

NAME: Final = "nportpy_collect"
"""In the table of versions: whose tables these are."""

_SQLITE_1: Final = """
CREATE TABLE series (
  id INTEGER PRIMARY KEY, site TEXT NOT NULL, node TEXT NOT NULL, meta TEXT NOT NULL, number INTEGER NOT NULL,
  station TEXT, tag TEXT, unit TEXT, type TEXT, class TEXT, UNIQUE (site, node, meta, number)
);
CREATE TABLE samples (
  node TEXT NOT NULL, boot TEXT NOT NULL, seq INTEGER NOT NULL, series INTEGER NOT NULL, at INTEGER NOT NULL,
  received INTEGER NOT NULL, value REAL, text TEXT, quality INTEGER NOT NULL, late INTEGER NOT NULL,
  PRIMARY KEY (node, boot, seq)
) WITHOUT ROWID;
CREATE INDEX samples_series_at ON samples (series, at);
CREATE TABLE nodes (
  site TEXT NOT NULL, node TEXT NOT NULL, stored_upto INTEGER NOT NULL DEFAULT 0, boot TEXT NOT NULL DEFAULT '',
  online INTEGER NOT NULL DEFAULT 0, state_at INTEGER, oldest INTEGER, newest INTEGER, evicted INTEGER,
  ledger TEXT NOT NULL DEFAULT '', PRIMARY KEY (site, node)
) WITHOUT ROWID;
CREATE TABLE dead_letters (
  id INTEGER PRIMARY KEY AUTOINCREMENT, received INTEGER NOT NULL, topic TEXT NOT NULL, reason TEXT NOT NULL,
  size INTEGER NOT NULL, payload BLOB NOT NULL
);
CREATE VIEW readings AS
  SELECT strftime('%Y-%m-%dT%H:%M:%fZ', samples.at / 1e6, 'unixepoch') AS time, series.site, samples.node,
    series.station, series.tag, series.unit, samples.value, samples.text, samples.quality, samples.late,
    samples.at, samples.received, samples.boot, samples.seq, samples.series
  FROM samples JOIN series ON series.id = samples.series;
"""

_POSTGRES_1: Final = """
CREATE TABLE series (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, site text NOT NULL, node text NOT NULL, meta text NOT NULL,
  number bigint NOT NULL, station text, tag text, unit text, type text, class text, UNIQUE (site, node, meta, number)
);
CREATE TABLE samples (
  node text NOT NULL, boot text NOT NULL, seq bigint NOT NULL, at timestamptz NOT NULL, received timestamptz NOT NULL,
  value double precision, series integer NOT NULL, quality smallint NOT NULL, late boolean NOT NULL, text text,
  PRIMARY KEY (node, boot, seq)
);
CREATE INDEX samples_series_at ON samples (series, at);
CREATE TABLE nodes (
  site text NOT NULL, node text NOT NULL, stored_upto bigint NOT NULL DEFAULT 0, boot text NOT NULL DEFAULT '',
  online boolean NOT NULL DEFAULT false, state_at timestamptz, oldest bigint, newest bigint, evicted bigint,
  ledger text NOT NULL DEFAULT '', PRIMARY KEY (site, node)
) WITH (fillfactor = 50);
CREATE TABLE dead_letters (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, received timestamptz NOT NULL, topic text NOT NULL,
  reason text NOT NULL, size integer NOT NULL, payload bytea NOT NULL
);
CREATE VIEW readings AS
  SELECT samples.at AS time, series.site, samples.node, series.station, series.tag, series.unit, samples.value,
    samples.text, samples.quality, samples.late, samples.at, samples.received, samples.boot, samples.seq,
    samples.series
  FROM samples JOIN series ON series.id = samples.series;
"""

SQLITE_STEPS: Final = (_SQLITE_1,)
POSTGRES_STEPS: Final = (_POSTGRES_1,)

MOST_DEAD_LETTERS: Final = 1000
"""The newest ones that are kept; how many there have been is their highest id."""
