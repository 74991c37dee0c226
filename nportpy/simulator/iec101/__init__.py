"""Simulated outstations of IEC 60870-5-101, unbalanced.

Their codec is their own, written from the standard and never shared with the client's, so that a misreading of one
does not meet its twin in the other.

    frames.py       FT1.2: frames of the link
    asdu.py         what they carry; clock.py: times
    points.py       what an outstation measures and reports
    settings.py     what one is like
    application.py  interrogations, events, the clock: what is to be said
    outstation.py   the link: who is asked, what is said, what is said again
    line.py         outstations on a line: a device
    faults.py       what goes wrong; script.py reads from a file how

Sources: IEC 60870-5-1 and -2 (frames, link), -5-3 to -5-5 (application), -5-101:2003 (what of it is used).
"""
