"""The second storey: meters are read here, every reading is archived, and what is archived is sent on.

| module | what |
|---|---|
| `sample` | `Tag`, `Reading` (goes into the archive), `Sample` (comes out of it), `Quality` |
| `clock` | `Clock`: stamps readings; knows whether the wall clock can be believed |
| `settings` | `ArchiveSettings` |
| `archive` | `Archive`: add, read, cursors of upstreams; the only one that others need to know |
| `wire` | what goes to upstreams: `encode_batches`, `Meta`; `deflated` is in `fields`, with all limits |
| `messages` | `State`, `Acknowledgement`, `Command`, `Answer` |
| `topics` | topics and subjects |
| `influx` | the same samples as InfluxDB line protocol |
| `writer`, `store`, `database`, `rows`, `epochs`, `recovery` | how the archive does it |
"""
