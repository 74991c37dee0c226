"""Simulated serial lines with true wire time: the demo, the tests and the benchmarks use the same ones.

    device.py           what a device on a line is: bytes heard, answers given; pure, like wire.py
    meter.py, echo.py   devices
    wire.py             when each character has passed over the line
    memory.py           a line on an asyncio loop, against the other end of a pair of ports in memory
    terminal.py         lines on pseudo-terminals, for programs that open devices
    __main__.py         `python -m nportpy.simulator`: such lines in a process of their own, as the interpreter's
                        lock makes them late by milliseconds in a thread beside a busy gateway
    process.py          starts and ends that process
    client.py           reads a meter as other people's programs do

A device that misbehaves is a device round another one; a wire that does is a wire.
"""
