"""Simulated meters that speak DLMS/COSEM: one by short names, one by logical names.

Their codec is their own, written from the standards and never shared with the client's, so that a misreading of one
does not meet its twin in the other. From the wire up:

    frames.py       HDLC frames; link.py: the meter's end of one HDLC connection
    wrapper.py      TCP instead of HDLC
    opening.py      the sign-on of mode E before HDLC
    acse.py         requests for an association and the answers; security.py: passwords, challenges, ciphering
    data.py         values by A-XDR; clock.py: dates and times
    association.py  who may associate, and what is agreed
    server.py       a logical device; logical.py and short.py: the services by logical and short names
    objects.py      what a meter holds; profile.py: a load profile; readings.py: what there is to measure
    zmd.py          a meter after the Landis+Gyr ZMD405C; mt880.py: one after the Iskraemeco MT880
    line.py         meters on a line: a `Device`
    faults.py       what goes wrong; script.py reads from a file how

Sources: Green Book (DLMS UA 1000-2), Blue Book (DLMS UA 1000-1), IEC 62056-46, -53, -61, -62; clauses stand beside the
code.
"""
