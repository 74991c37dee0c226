"""Simulated meters of IEC 62056-21 (the former IEC 1107).

Their codec is their own, written from the standard and never shared with the client's, so that a misreading of one
does not meet its twin in the other.

    messages.py      what a meter says and hears
    settings.py      what one is like
    contents.py      what it holds; profile.py: its load profile
    programming.py   passwords, single values, profiles
    meter.py         the meter: a device with a speed and clock of its own
    faults.py        what goes wrong; script.py reads from a file how
"""
