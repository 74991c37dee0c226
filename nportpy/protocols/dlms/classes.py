"""What the objects of each class hold, and the lists of objects (DLMS UA 1000-1, 4.3 to 4.7)."""

from dataclasses import dataclass
from typing import Final

from nportpy.errors import ProtocolError
from nportpy.protocols.dlms.obis import SIZE, Obis
from nportpy.protocols.dlms.simple import Value

DATA, REGISTER, EXTENDED_REGISTER, DEMAND_REGISTER = 1, 3, 4, 5
PROFILE_GENERIC, CLOCK, ASSOCIATION_SN, ASSOCIATION_LN = 7, 8, 12, 15
SAP_ASSIGNMENT = 17

LOGICAL_NAME: Final = 1
VALUE: Final = 2

PROFILE_BUFFER, PROFILE_COLUMNS, PROFILE_PERIOD, PROFILE_SORT, PROFILE_SORT_OBJECT = 2, 3, 4, 5, 6
PROFILE_IN_USE, PROFILE_ENTRIES = 7, 8

CURRENT_ASSOCIATION: Final = Obis(bytes((0, 0, 40, 0, 0, 255)))
"""The association that is open, by logical names (class 15)."""

REPLY_TO_HLS: Final = 1
"""The method of class 15 that answers a challenge."""

CLASS_NAMES: Final = {
    1: "data", 3: "register", 4: "extended register", 5: "demand register", 6: "register activation",
    7: "profile generic", 8: "clock", 9: "script table", 10: "schedule", 11: "special days table", 12: "association SN",
    15: "association LN", 17: "SAP assignment", 18: "image transfer", 19: "IEC local port setup",
    20: "activity calendar", 21: "register monitor", 22: "single action schedule", 23: "IEC HDLC setup",
    24: "IEC twisted pair setup", 26: "utility tables", 27: "modem configuration", 28: "auto answer",
    29: "auto connect", 40: "push setup", 41: "TCP-UDP setup", 42: "IPv4 setup", 43: "MAC address setup",
    44: "PPP setup", 45: "GPRS modem setup", 46: "SMTP setup", 47: "GSM diagnostic", 48: "IPv6 setup",
    61: "register table", 62: "compact data", 63: "status mapping", 64: "security setup", 65: "parameter monitor",
    67: "sensor manager", 68: "arbitrator", 70: "disconnect control", 71: "limiter", 72: "M-Bus client",
    111: "account", 112: "credit", 113: "charge", 115: "token gateway",
}  # fmt: skip
"""Interface classes by their numbers."""


def usual_class(obis: bytes) -> int:
    """The class that objects of this name mostly have: a guess, which saves reading the object list (4.1 to 4.7)."""
    a, _, c, d = obis[:4]
    if c in (98, 99):
        return PROFILE_GENERIC
    if not a:
        return {1: CLOCK, 40: ASSOCIATION_LN, 41: SAP_ASSIGNMENT}.get(c, DATA)
    if c in (0, 96, 97):
        return DATA
    return {4: DEMAND_REGISTER, 5: DEMAND_REGISTER, 6: EXTENDED_REGISTER}.get(d % 10, REGISTER)


_SCALERS: Final = {REGISTER: 3, EXTENDED_REGISTER: 3, DEMAND_REGISTER: 4}
_SCALED: Final = {REGISTER: (2,), EXTENDED_REGISTER: (2,), DEMAND_REGISTER: (2, 3)}
_TIMES: Final = {EXTENDED_REGISTER: (5,), DEMAND_REGISTER: (6, 7), CLOCK: (2,)}
_NAMES: Final = {
    DATA: ("value",),
    REGISTER: ("value", "scaler_unit"),
    EXTENDED_REGISTER: ("value", "scaler_unit", "status", "capture_time"),
    DEMAND_REGISTER: ("current_average_value", "last_average_value", "scaler_unit", "status", "capture_time",
                      "start_time_current", "period", "number_of_periods"),
    6: ("register_assignment", "mask_list", "active_mask"),
    PROFILE_GENERIC: ("buffer", "capture_objects", "capture_period", "sort_method", "sort_object", "entries_in_use",
                      "profile_entries"),
    CLOCK: ("time", "time_zone", "status", "daylight_savings_begin", "daylight_savings_end",
            "daylight_savings_deviation", "daylight_savings_enabled", "clock_base"),
    ASSOCIATION_SN: ("object_list", "access_rights_list", "security_setup"),
    ASSOCIATION_LN: ("object_list", "associated_partners_id", "application_context_name", "xdlms_context_info",
                     "authentication_mechanism_name", "secret", "association_status", "security_setup"),
    SAP_ASSIGNMENT: ("sap_assignment_list",),
    19: ("default_mode", "default_baud", "prop_baud", "response_time", "device_addr", "pass_p1", "pass_p2", "pass_w5"),
    23: ("comm_speed", "window_size_transmit", "window_size_receive", "max_info_field_length_transmit",
         "max_info_field_length_receive", "inter_octet_time_out", "inactivity_time_out", "device_address"),
}  # fmt: skip


def class_name(class_id: int) -> str:
    """The name of a class; `class 8192` where it is a manufacturer's or too new."""
    return CLASS_NAMES.get(class_id, f"class {class_id}")


def attribute_name(class_id: int, number: int) -> str:
    """The standard's name of an attribute; `attribute 9` where it is not known here."""
    if number == LOGICAL_NAME:
        return "logical_name"
    names = _NAMES.get(class_id, ())
    return names[number - 2] if 2 <= number < len(names) + 2 else f"attribute {number}"


def attributes(class_id: int) -> range:
    """The numbers of the attributes that the standard gives a class; name and value where it is unknown here."""
    return range(1, len(_NAMES.get(class_id, ("value",))) + 2)


def scaler_attribute(class_id: int, number: int) -> int | None:
    """Which attribute has scaler and unit of this one; None: it is no number with a unit."""
    return _SCALERS[class_id] if number in _SCALED.get(class_id, ()) else None


def is_time(class_id: int, number: int) -> bool:
    """Whether an attribute is a date-time, though it may come as an octet string."""
    return number in _TIMES.get(class_id, ())


@dataclass(frozen=True, slots=True)
class ListedObject:
    """An entry of an object list.

    Attributes:
        class_id: its class.
        version: of that.
        name: its logical name.
        base_name: where its short names begin; None in an association by logical names.
    """

    class_id: int
    version: int
    name: Obis
    base_name: int | None = None


def object_list(value: Value) -> list[ListedObject]:
    """The entries of an object list: attribute 2 of class 15, or of class 12, which begin with their base names.

    Entries that are none are left out: a meter that describes one of 500 objects oddly has 499 others.

    Raises:
        ProtocolError: it is no list, or none of its entries is one.
    """
    if not isinstance(value, list):
        raise ProtocolError("the object list is no array")
    found = [listed for entry in value if (listed := _listed(entry)) is not None]
    if value and not found:
        raise ProtocolError("the object list has no entry that describes an object")
    return found


def _listed(entry: Value) -> ListedObject | None:
    match entry:
        case (int(base), int(class_id), int(version), bytes(name)) if len(name) == SIZE:
            return ListedObject(class_id, version, Obis(name), base % 0x10000)
        case (int(class_id), int(version), bytes(name), *_) if len(name) == SIZE:
            return ListedObject(class_id, version, Obis(name))
    return None


def scaler_unit(value: Value) -> tuple[int, int] | None:
    """The scaler and the unit's code that an attribute `scaler_unit` holds; None: it holds none."""
    match value:
        case (int(scaler), int(unit)):
            return scaler, unit
    return None
