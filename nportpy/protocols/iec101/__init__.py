"""IEC 60870-5-101, the side that asks, unbalanced: frames, the link, ASDUs and time tags. Pure.

| file | what it is |
|---|---|
| `ft12.py` | frames on the line |
| `link.py` | requests and answers of one outstation: FCB, ACD, DFC |
| `addresses.py` | addresses of objects as people write them |
| `asdu.py` | the data of a frame: type, cause, addresses; what this side sends |
| `elements.py` | the types and what their objects hold |
| `times.py` | time tags |
| `hints.py` | which sizes would fit where those agreed do not |
"""
