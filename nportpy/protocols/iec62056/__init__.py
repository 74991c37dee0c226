"""IEC 62056-21 (formerly IEC 1107): meters that are read as text. Pure.

messages.py writes what a reading device sends, reader.py understands what a meter sends; datasets.py, values.py,
codes.py and profile.py say what its text means.
"""
