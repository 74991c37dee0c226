"""IEC 60870-5-101 outstations, asked as an unbalanced controlling station does it.

| file | what it is |
|---|---|
| `settings.py` | how an outstation is reached |
| `exchange.py` | one request and its answer on the line, repeated where it must be |
| `client.py` | rounds of polling: start of the link, class 1 and 2, what waits to be asked |
| `procedures.py` | what takes several exchanges: interrogations, clock synchronisation |
"""
