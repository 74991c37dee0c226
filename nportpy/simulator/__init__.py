"""Simulated serial lines with true wire time: the demo, the tests and the benchmarks use the same ones.

    device.py           what a device on a line is: bytes heard, answers given; pure, like the wires
    bus.py              a device made of Modbus units: receiver.py finds requests, unit.py is one unit, store.py and
                        meter.py are what it may hold
    faults.py           a bus that misbehaves; script.py reads from a file how
    echo.py             another device
    cosem/              DLMS meters
    iec62056/           meters of IEC 62056-21
    iec101/             outstations of IEC 60870-5-101
    multidrop.py        several of them on one line, each with a speed of its own
    wire.py             when each character has passed over the line; delivery.py: when the gateway gets it; watch.py:
                        whether it keeps the silence between its frames
    uart.py             what characters become that were sent at another speed or with another parity
    unpaced.py          a wire on which nothing takes time
    memory.py           a line on an asyncio loop, against the other end of a pair of ports in memory
    port.py             a port on a wire: a gateway opens it as a device, and sets the wire's speed with it
    terminal.py         lines on pseudo-terminals, for programs that open devices; listening.py: lines on TCP
    __main__.py         `python -m nportpy.simulator`: such lines in a process of their own, as the interpreter's
                        lock makes them late by milliseconds in a thread beside a busy gateway
    spec.py             what that command line says of one device
    process.py          starts and ends that process; lines.py: what it is told and what it reports
    client.py           reads a meter as other people's programs do

A device that misbehaves is a device round another one; a wire that does is a wire.
"""
