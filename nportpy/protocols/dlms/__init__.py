"""DLMS/COSEM, pure: HDLC and the TCP wrapper, ACSE, xDLMS by logical and short names, A-XDR values (IEC 62056)."""
