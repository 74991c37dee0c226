"""Reads a meter with gurux-dlms, as a program of its own: that library is GPL and never meets the product.

    python gurux_reader.py DEVICE short|logical CLIENT LOWER [PASSWORD [MECHANISM [ciphered]]]

prints JSON: what the association agreed to, the object list, values by OBIS code, scalers, and rows of the profile.
"""

import json
import sys
import time
from datetime import datetime
from typing import Any

import serial
from gurux_dlms import GXByteBuffer, GXDLMSClient, GXReplyData
from gurux_dlms.enums import Authentication, InterfaceType, ObjectType, Security
from gurux_dlms.secure import GXDLMSSecureClient

PROFILE = "1.0.99.1.0.255"


class Reader:
    def __init__(self, port: serial.Serial, client: GXDLMSClient) -> None:
        self.port = port
        self.client = client

    def exchange(self, data: Any) -> GXReplyData:
        """One request and its whole answer, with all segments and blocks."""
        reply = GXReplyData()
        if not data:
            return reply
        self._frame(data, reply)
        while reply.isMoreData():
            data = self.client.receiverReady(reply)
            self._frame(data, reply)
        return reply

    def _frame(self, data: Any, reply: GXReplyData) -> None:
        notify = GXReplyData()
        self.port.write(bytes(data))
        heard = GXByteBuffer()
        until = time.monotonic() + 10
        while time.monotonic() < until:
            chunk = self.port.read(self.port.in_waiting or 1)
            if chunk:
                heard.set(chunk)
                if self.client.getData(heard, reply, notify):
                    if reply.error:
                        raise RuntimeError(f"error {reply.error}")
                    return
        raise TimeoutError(f"no answer to {bytes(data).hex()}, heard {heard}")

    def all(self, requests: Any) -> GXReplyData:
        reply = GXReplyData()
        for data in requests if isinstance(requests, list) else [requests]:
            reply = self.exchange(data)
        return reply

    def connect(self) -> None:
        self.client.parseUAResponse(self.exchange(self.client.snrmRequest()).data)
        self.client.parseAareResponse(self.all(self.client.aarqRequest()).data)
        if self.client.authentication > Authentication.LOW:
            answer = self.all(self.client.getApplicationAssociationRequest())
            self.client.parseApplicationAssociationResponse(answer.data)

    def objects(self) -> Any:
        return self.client.parseObjects(self.all(self.client.getObjectsRequest()).data, True)

    def read(self, held: Any, attribute: int) -> Any:
        reply = self.all(self.client.read(held, attribute))
        return self.client.updateValue(held, attribute, reply.value)


def plain(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if hasattr(value, "value") and isinstance(getattr(value, "value", None), datetime):
        return value.value.isoformat()
    return value if isinstance(value, (int, float, str, type(None))) else str(value)


def read(reader: Reader, *, profile: bool) -> dict[str, Any]:
    objects = reader.objects()
    by_name = {held.logicalName: held for held in objects}
    told: dict[str, Any] = {
        "conformance": int(reader.client.negotiatedConformance),
        "objects": [[held.logicalName, int(held.objectType), held.version, held.shortName] for held in objects],
        "values": {},
        "scalers": {},
    }
    for name in ("1.0.1.8.0.255", "1.0.32.7.0.255"):
        held = by_name[name]
        reader.read(held, 3)
        told["scalers"][name] = [held.scaler, int(held.unit)]
        told["values"][name] = plain(reader.read(held, 2))
    for name in ("0.0.1.0.0.255", "0.0.96.1.0.255", "1.0.0.2.0.255"):
        told["values"][name] = plain(reader.read(by_name[name], 2))
    if profile:
        held = by_name[PROFILE]
        assert held.objectType == ObjectType.PROFILE_GENERIC
        reader.read(held, 3)
        told["columns"] = [column.logicalName for column, _ in held.captureObjects]
        reply = reader.all(reader.client.readRowsByEntry(held, 1, 3))
        told["rows"] = plain(reader.client.updateValue(held, 2, reply.value))
    return told


def main() -> None:
    device, naming, client_address, lower = sys.argv[1:5]
    password, mechanism, ciphered = (*sys.argv[5:], None, None, None)[:3]
    authentication = (
        Authentication[mechanism] if mechanism else (Authentication.LOW if password else Authentication.NONE)
    )
    client = GXDLMSSecureClient(
        naming == "logical",
        int(client_address),
        GXDLMSClient.getServerAddress(1, int(lower)) if int(lower) else 1,
        authentication,
        password,
        InterfaceType.HDLC,
    )
    client.ciphering.systemTitle = b"MMM\0\0\0\0\1"
    client.ciphering.blockCipherKey = bytes(range(16))
    client.ciphering.authenticationKey = bytes(range(0xD0, 0xE0))
    client.ciphering.security = Security.AUTHENTICATION_ENCRYPTION if ciphered else Security.NONE
    with serial.Serial(device, 9600, timeout=0.05) as port:
        reader = Reader(port, client)
        try:
            reader.connect()
            told = read(reader, profile=int(client_address) != 16 or naming == "short")
        finally:
            reader.exchange(client.disconnectRequest())
    print(json.dumps(told))


if __name__ == "__main__":
    main()
