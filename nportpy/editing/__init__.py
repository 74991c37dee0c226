"""The configuration file changed from the console: read with its hash, written whole or not at all, tried, kept.

    files.py    the file: reading it, and exchanging it for another one in one step
    history.py  what it was, and who changed it when and why
    editor.py   a candidate checked, tried for a while, and kept or taken back

What a text means is not known here: who makes an `Editor` brings a checker and what goes over to other settings.
"""
