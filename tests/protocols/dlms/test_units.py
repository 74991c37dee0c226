from decimal import Decimal

import pytest

from nportpy.protocols.dlms.units import UNITS, power_between, scaled, unit_name


def test_field_13_scalers_are_exact() -> None:
    assert scaled(77160, 0).scaleb(-3) == Decimal("77.160")
    assert str(scaled(2306, -1)) == "230.6"
    assert scaled((1 << 64) - 1, -3) == Decimal("18446744073709551.615")
    assert scaled(5, 3) == 5000
    for scaler in (-128, 127):
        assert scaled((1 << 64) - 1, scaler).scaleb(-scaler) == (1 << 64) - 1


@pytest.mark.parametrize(
    ("unit", "wanted", "power"),
    [
        ("Wh", "kWh", -3),
        ("Wh", "Wh", 0),
        ("Wh", "MWh", -6),
        ("W", "kW", -3),
        ("V", "mV", 3),
        ("A", "mA", 3),
        ("varh", "kvarh", -3),
        ("VArh", "kVArh", -3),
        ("var", "kVAr", -3),
        ("m³", "m3", 0),
        ("°C", "degC", 0),
        ("kg", "g", 3),
        ("min", "min", 0),
        ("Wh", "W", None),
        ("Wh", "kvarh", None),
        ("mo", "o", None),
        ("%", "k%", None),
        ("", "kWh", None),
        ("h", "mh", None),
        ("µV", "uV", 0),
    ],
)
def test_units_that_differ_by_a_power_of_ten(unit: str, wanted: str, power: int | None) -> None:
    assert power_between(unit, wanted) == power


def test_names_of_units() -> None:
    assert [unit_name(code) for code in (27, 30, 33, 35, 44, 255, 254, 99)] == [
        "W",
        "Wh",
        "A",
        "V",
        "Hz",
        "",
        "",
        "unit 99",
    ]
    assert all(power_between(unit, unit) == 0 for unit in UNITS.values())
