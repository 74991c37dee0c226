"""Frames of DLMS/COSEM over HDLC that independent programs generated or parsed, by their ids."""

from tests.protocols.dlms.vectors import FRAMES

VECTORS = {name: frame for name, frame in FRAMES.items() if not name.startswith("FIELD_")}


def vector(name: str) -> bytes:
    """The frame."""
    return bytes.fromhex(VECTORS[name])
