import pytest

from nportpy.edge.influx import encode_lines
from nportpy.edge.sample import Quality, Sample, Tag, Value

TAG = Tag(1, "mains", "energy", "kWh", "float32", "energy")


def line(value: Value, tag: Tag = TAG, quality: Quality = Quality.GOOD, late: bool = False) -> str:
    return encode_lines([Sample(1, "ab", 1_700_000_000_000_001, tag, value, quality, 0)], "pi", late).decode()


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        (1.5, "value=1.5,quality=192i"),
        (1e300, "value=1e+300,quality=192i"),
        (5, "value=5,quality=192i"),
        (True, "value=1.0,quality=192i"),
        (False, "value=0.0,quality=192i"),
        (2**53 + 1, "value=9007199254740992.0,integer=9007199254740993i,quality=192i"),
        (-(2**63), "value=-9.223372036854776e+18,integer=-9223372036854775808i,quality=192i"),
        (2**64, 'value=1.8446744073709552e+19,text="18446744073709551616",quality=192i'),
        ("on", 'text="on",quality=192i'),
        ('a "b" \\ c\nd', 'text="a \\"b\\" \\\\ c d",quality=192i'),
        (None, "quality=192i"),
        (float("nan"), "quality=0i"),
        (float("inf"), "quality=0i"),
    ],
)
def test_values(value: Value, fields: str) -> None:
    expected = (
        f"reading,node=pi,station=mains,tag=energy,unit=kWh,class=energy {fields},late=false 1700000000000001000\n"
    )
    assert line(value) == expected


def test_names_are_escaped_and_empty_ones_left_out() -> None:
    tag = Tag(1, "a b,c=d", "x\\", "", "", "")
    assert line(1, tag, Quality.UNCERTAIN, late=True) == (
        "reading,node=pi,station=a\\ b\\,c\\=d,tag=x_ value=1,quality=64i,late=true 1700000000000001000\n"
    )


def test_one_line_each() -> None:
    samples = [Sample(n, "ab", n, TAG, n, Quality.GOOD, 0) for n in range(3)]
    assert encode_lines(samples, "pi", late=False).count(b"\n") == 3
    assert encode_lines([], "pi", late=False) == b""
