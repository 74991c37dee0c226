"""Modbus: the protocol data unit, and the frames that carry it."""
