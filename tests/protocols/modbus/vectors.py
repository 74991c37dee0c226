"""Requests and answers: the examples of MODBUS Application Protocol V1.1b3, section 6, and a vendor's function."""

VENDOR = (bytes.fromhex("41 01 02"), bytes.fromhex("41 0A 0B 0C 0D 0E"))

PAIRS = [
    (bytes.fromhex(request), bytes.fromhex(answer))
    for request, answer in (
        ("01 0013 0013", "01 03 CD 6B 05"),
        ("02 00C4 0016", "02 03 AC DB 35"),
        ("03 006B 0003", "03 06 022B 0000 0064"),
        ("04 0008 0001", "04 02 000A"),
        ("05 00AC FF00", "05 00AC FF00"),
        ("06 0001 0003", "06 0001 0003"),
        ("07", "07 6D"),
        ("08 0001 FF00", "08 0001 FF00"),
        ("08 000B 0000", "08 000B 0021"),
        ("0B", "0B FFFF 0108"),
        ("0C", "0C 08 0000 0108 0121 20 00"),
        ("0F 0013 000A 02 CD01", "0F 0013 000A"),
        ("10 0001 0002 04 000A 0102", "10 0001 0002"),
        ("11", "11 03 41 FF 00"),
        ("14 0E 06 0004 0001 0002 06 0003 0009 0002", "14 0C 05 06 0DFE 0020 05 06 33CD 0040"),
        ("15 0D 06 0004 0007 0003 06AF 04BE 100D", "15 0D 06 0004 0007 0003 06AF 04BE 100D"),
        ("16 0004 00F2 0025", "16 0004 00F2 0025"),
        ("17 0003 0006 000E 0003 06 00FF 00FF 00FF", "17 0C 00FE 0ACD 0001 0003 000D 00FF"),
        ("18 04DE", "18 0006 0002 01B8 1284"),
        (
            "2B 0E 01 00",
            "2B 0E 01 01 00 00 03 00 16" + b"Company identification".hex() + "01 0F" + b"Product code XX".hex()
            + "02 05" + b"V2.11".hex(),
        ),
    )
] + [VENDOR]  # fmt: skip
"""Request and answer PDUs; 8/0, whose request tells no length, is not among them."""
