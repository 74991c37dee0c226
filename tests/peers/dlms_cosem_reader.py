"""Reads a meter by logical names with dlms-cosem, as a program of its own.

    python dlms_cosem_reader.py DEVICE CLIENT LOWER PASSWORD

prints JSON: values, the object list's names, and rows of the profile.
"""

import json
import sys
from datetime import datetime, timedelta
from typing import Any

import dateutil.tz
from dlms_cosem import cosem, enumerations, utils
from dlms_cosem.clients.dlms_client import DlmsClient
from dlms_cosem.cosem import selective_access
from dlms_cosem.cosem.capture_object import CaptureObject
from dlms_cosem.hdlc import frames


def main() -> None:
    device, client_address, lower, password = sys.argv[1:5]
    client = DlmsClient.with_serial_hdlc_transport(
        serial_port=device,
        client_logical_address=int(client_address),
        server_logical_address=1,
        server_physical_address=int(lower),
        authentication_method=enumerations.AuthenticationMechanism.LLS,
        password=password.encode(),
        block_transfer=True,
    )
    client.connect()
    client.associate()
    told = read(client)
    client.release_association()
    # It waits for ever for an information field in the UA that answers DISC, which has none there.
    link = client.io_interface
    disc = frames.DisconnectFrame(link.server_hdlc_address, link.client_hdlc_address)
    link._serial.write(disc.to_bytes())
    link._serial.flush()
    print(json.dumps(told))


def attribute(interface: enumerations.CosemInterface, obis: str, number: int) -> cosem.CosemAttribute:
    return cosem.CosemAttribute(interface=interface, instance=cosem.Obis.from_string(obis), attribute=number)


def read(session: DlmsClient) -> dict[str, Any]:
    def value(interface: enumerations.CosemInterface, obis: str, number: int = 2, selection: Any = None) -> Any:
        data = session.get(attribute(interface, obis, number), access_descriptor=selection)
        return utils.parse_as_dlms_data(data)

    kinds = enumerations.CosemInterface
    told: dict[str, Any] = {
        "energy": value(kinds.REGISTER, "1.0.1.8.0.255"),
        "scaler": value(kinds.REGISTER, "1.0.32.7.0.255", 3),
        "voltage": value(kinds.REGISTER, "1.0.32.7.0.255"),
        "clock": bytes(value(kinds.CLOCK, "0.0.1.0.0.255")).hex(),
        "serial": bytes(value(kinds.DATA, "0.0.96.1.0.255")).decode(),
    }
    objects = value(kinds.ASSOCIATION_LN, "0.0.40.0.0.255")
    told["objects"] = [".".join(str(part) for part in entry[2]) for entry in objects]
    columns = value(kinds.PROFILE_GENERIC, "1.0.99.1.0.255", 3)
    told["columns"] = [".".join(str(part) for part in column[1]) for column in columns]
    zone = dateutil.tz.tzoffset(None, 3600)
    yesterday = (datetime.now(zone) - timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    wanted = selective_access.RangeDescriptor(  # its EntryDescriptor cannot be sent
        restricting_object=CaptureObject(attribute(kinds.CLOCK, "0.0.1.0.0.255", 2), 0),
        from_value=yesterday,
        to_value=yesterday + timedelta(minutes=30),
    )
    rows = value(kinds.PROFILE_GENERIC, "1.0.99.1.0.255", 2, wanted)
    told["rows"] = [[bytes(row[0]).hex(), *row[1:]] for row in rows]
    return told


if __name__ == "__main__":
    main()
