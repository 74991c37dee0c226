"""A serial device server: serial lines on TCP, raw and RFC 2217, with metrics."""

__version__ = "0.1.0"
