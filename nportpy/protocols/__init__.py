"""Pure codecs: bytes and times go in, values come out. No I/O, no clock."""
