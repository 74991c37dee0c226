"""The Modbus translator: what stands between those who ask in the network and the lines.

    settings.py    what a configuration says of buses, routes and rules
    question.py    one request from the network, until it is answered
    routing.py     which bus a unit id belongs to, and who may ask what (rules.py)
    bus.py         the units of one line: one transaction for many who ask (sharing.py), units that do not answer and
                   how long to wait for those that do (health.py), the counts (tally.py)

The network side, sockets and framings, is nportpy/modes/; the wire itself is nportpy/line/transaction.py.
"""
