"""The serial line and its single owner."""
