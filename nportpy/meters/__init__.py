"""Asking meters and outstations beyond Modbus, alone on their line for as long as one conversation takes.

One room for each protocol: `settings.py` is how a device is reached, and the client asks it. What the bytes mean is
the codecs' business (protocols/); what becomes of the values, that of those above.
"""
