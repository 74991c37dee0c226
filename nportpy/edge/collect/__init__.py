"""The other end: what nodes have sent is taken from brokers and kept in a database, each sample once.

| module | what |
|---|---|
| `settings` | where from, where to |
| `arrivals` | what a broker delivers, decoded; what cannot be |
| `ledger` | which numbers of a node are stored: the watermark. Pure |
| `intake` | what waits for its commit, bounded |
| `collector` | `Collector`: from sources to the store; nothing is acknowledged before it is stored |
| `sources`, `mqtt`, `jetstream` | brokers |
| `stores`, `rows`, `sqlite`, `postgres`, `schema` | databases |
| `verify` | produced against stored |
| `metrics` | for Prometheus |
"""
