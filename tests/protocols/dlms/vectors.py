"""APDUs of the vectors that independent programs agreed on: taken out of frames with addresses of one byte."""

APDUS = {
    "L1": bytes.fromhex("C001C100030100010800FF0200"),  # get 3/1.0.1.8.0.255/2
    "L2": bytes.fromhex("C401C1000600012D68"),  # = u32 77160
    "L3": bytes.fromhex("C001C100030100010800FF0300"),  # get attr 3 (next sequence)
    "L4": bytes.fromhex("C401C10002020F00161E"),  # = scaler 0, unit 30 Wh
    "L5": bytes.fromhex("C001C100080000010000FF0200"),  # get clock 8/0.0.1.0.0.255/2
    "L6": bytes.fromhex("C401C100090C07EA0B1506123A0FFFFFC400"),  # = 2026-11-21 18:58:15 +01:00
    "L7": bytes.fromhex("C401C10104"),  # result 4 object undefined
    "L8": bytes.fromhex("C003C10200030100200700FF020000030100340700FF0200"),  # with list: U L1, U L2
    "L9": bytes.fromhex("C403C102001209020103"),  # = u16 2306, result 3
    "L10": bytes.fromhex(
        "C001C100070100630100FF0201010204020412000809060000010000FF0F02120000090C07EA0B15FF000000FF800000090C07EA0B15FF010000FF8000000100"
    ),  # profile 1.0.99.1.0.255 by range 00:00-01:00, all columns, deviation 8000
    "L11": bytes.fromhex("C001C100070100630100FF020102020406000000010600000002120001120000"),  # by entry 1..2
    "L12": bytes.fromhex(
        "C402C10000000001001E01020202090C07EA0B1506000000FFFFC40006000003E80202090C07EA0B"
    ),  # block 1, more
    "L13": bytes.fromhex("C002C100000001"),  # next after block 1
    "L14": bytes.fromhex(
        "C402C10100000002000E1506000F00FFFFC40006000003F4"
    ),  # block 2, last: rows (00:00, 1000) (00:15, 1012)
    "L15": bytes.fromhex("D80102"),  # exception 01 02
    "L16": bytes.fromhex("0E010601"),  # confirmedServiceError initiate 01
    "L17": bytes.fromhex(
        "C301C1000F0000280000FF0101091053D4537E37DAB4FF089629E25557AF9F"
    ),  # ACTION reply_to_HLS f(StoC) MD5
    "L18": bytes.fromhex("C701C10001000910870F56D7F2BA75482CA41BE31A21630B"),  # answer f(CtoS)
    "S1": bytes.fromhex("05010200B8"),  # read 00B8 (register at 00B0, attr 2)
    "S2": bytes.fromhex("0C01000600012D68"),  # = u32 77160
    "S3": bytes.fromhex("05020200B80200C0"),  # read 00B8 and 00C0
    "S4": bytes.fromhex("0C02000600012D680002020F00161E"),  # = 77160, scaler 0 unit 30
    "S5": bytes.fromhex("0C010104"),  # result 4
    "S6": bytes.fromhex(
        "0501041388010204020412000809060000010000FF0F02120000090C07EA0B15FF000000FF800000090C07EA0B15FF010000FF8000000100"
    ),  # buffer 1388 by range (as L10)
    "S7": bytes.fromhex("050104138802020406000000010600000002120001120000"),  # by entry 1..2
    "S8": bytes.fromhex("0C01020000011E01020202090C07EA0B1506000000FFFFC40006000003E80202090C07EA0B"),  # block 1, more
    "S9": bytes.fromhex("0501050001"),  # next after block 1
    "S10": bytes.fromhex("0C01020100020E1506000F00FFFFC40006000003F4"),  # block 2, last (rows as L14)
    "S11": bytes.fromhex("050102FA08"),  # read FA08 object list
    "S12": bytes.fromhex(
        "0C01000103020410FA0012000C110309060000280000FF02041000B0120003110009060100010800FF0204101380120007110109060100630100FF"
    ),  # = 3 objects: FA00 class 12 v3, 00B0 class 3, 1380 class 7 v1
    "S13": bytes.fromhex("0E050300"),  # confirmedServiceError read, service other
    "S14": bytes.fromhex("060102FA5801091053D4537E37DAB4FF089629E25557AF9F"),  # write FA58: reply_to_HLS f(StoC)
    "B1": bytes.fromhex("E0810001000009C401C1000600012D68"),  # L2 inside general block transfer, last
}
