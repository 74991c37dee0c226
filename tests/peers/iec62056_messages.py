"""What `iec62056-21` makes of messages: run by itself, JSON in and out. Never imported by the tests."""

import json
import sys

from iec62056_21 import messages


def read(kind: str, data: bytes) -> object:
    message = getattr(messages, kind).from_bytes(data)
    if kind == "ReadoutDataMessage":
        return [
            [each.address, each.value, each.unit] for line in message.data_block.data_lines for each in line.data_sets
        ]
    if kind == "AnswerDataMessage":
        return [[each.address, each.value, each.unit] for each in message.data]
    if kind == "CommandMessage":
        return [message.command, str(message.command_type), message.data_set.address, message.data_set.value]
    if kind == "AckOptionSelectMessage":
        return [message.baud_char, message.mode_char]
    if kind == "RequestMessage":
        return message.device_address
    return [message.manufacturer, message.switchover_baudrate_char, message.identification]


def written(what: dict[str, str]) -> bytes:
    if what["kind"] == "readout":
        sets = [messages.DataSet(value="000077.160", address="1.8.0", unit="kWh"), messages.DataSet("32.7", "230.6")]
        lines = [messages.DataLine(data_sets=[each]) for each in sets]
        return messages.ReadoutDataMessage(messages.DataBlock(data_lines=lines)).to_bytes()  # type: ignore[no-any-return]
    if what["kind"] == "read":
        return messages.CommandMessage.for_single_read(what["address"], "").to_bytes()  # type: ignore[no-any-return]
    if what["kind"] == "password":
        data_set = messages.DataSet("", what["password"])
        return messages.CommandMessage("P", 1, data_set).to_bytes()  # type: ignore[no-any-return]
    if what["kind"] == "break":
        return messages.CommandMessage("B", 0, None).to_bytes()  # type: ignore[no-any-return]
    return messages.AckOptionSelectMessage(what["speed"], what["option"]).to_bytes()  # type: ignore[no-any-return]


asked = json.load(sys.stdin)
answers = [read(each["kind"], bytes.fromhex(each["hex"])) for each in asked["read"]]
json.dump({"read": answers, "written": [written(each).hex() for each in asked["written"]]}, sys.stdout)
