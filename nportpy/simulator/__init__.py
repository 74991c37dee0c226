"""Simulated serial lines with true wire time: the demo, the tests and the benchmarks use the same ones.

    device.py           what a device on a line is: bytes heard, answers given; pure, like the wires
    bus.py              a device made of Modbus units: receiver.py finds requests, unit.py is one unit, store.py and
                        meter.py are what it may hold
    faults.py           a bus that misbehaves; script.py reads from a file how
    echo.py             another device
    cosem/              DLMS meters
    wire.py             when each character has passed over the line; delivery.py: when the gateway gets it; watch.py:
                        whether it keeps the silence between its frames
    unpaced.py          a wire on which nothing takes time
    memory.py           a line on an asyncio loop, against the other end of a pair of ports in memory
    terminal.py         lines on pseudo-terminals, for programs that open devices
    __main__.py         `python -m nportpy.simulator`: such lines in a process of their own, as the interpreter's
                        lock makes them late by milliseconds in a thread beside a busy gateway
    process.py          starts and ends that process; lines.py: what it is told and what it reports
    client.py           reads a meter as other people's programs do

A device that misbehaves is a device round another one; a wire that does is a wire.
"""
