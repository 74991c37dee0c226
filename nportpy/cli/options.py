"""Options that commands about Modbus share, and how a parameter is read."""

from collections.abc import Callable
from typing import Final

import click

from nportpy.client.target import Target
from nportpy.config.values import ValueFault, duration
from nportpy.protocols.modbus.addresses import Numbering
from nportpy.protocols.modbus.values import Order, ValueType


def parsed(parse: Callable[[str], object]) -> Callable[[click.Context, click.Parameter, str | None], object]:
    """A callback that has `parse` read the parameter; what it raises is a ValueError."""

    def callback(ctx: click.Context, param: click.Parameter, value: str | None) -> object:
        try:
            return None if value is None else parse(value)
        except ValueFault as error:
            raise click.BadParameter(f"{value!r} {error.reason}; allowed: {error.allowed}", ctx, param) from None
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from None

    return callback


def parsed_each(
    parse: Callable[[str], object],
) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], tuple[object, ...]]:
    """A callback that has `parse` read each value of a parameter that may be there several times; see `parsed`."""
    one = parsed(parse)

    def callback(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[object, ...]:
        return tuple(one(ctx, param, value) for value in values)

    return callback


def named(text: str) -> tuple[str, str]:
    """The name, empty without one, and the address of what `nportpy read` is told to read: NAME=ADDRESS.

    Raises:
        ValueError: there is nothing on one side.
    """
    name, equals, address = text.rpartition("=")
    if equals and (not name.strip() or not address.strip() or not name.isprintable()):
        raise ValueError(f"{text!r} is no name and no address; write NAME=ADDRESS, as in L1=41053")
    return name.strip(), address


def patience(text: str) -> float:
    """Seconds that an answer may take.

    Raises:
        ValueFault: `text` is no time, or none that makes sense here.
    """
    return duration(text, "1ms", "10min")


DEVICE_TIMEOUT: Final = 1.0
NETWORK_TIMEOUT: Final = 3.0
"""Seconds that an answer may take: of a unit on a device of this machine, and over a network, where a gateway that
waits for the unit itself (two seconds for a read that it sends again) must have the time to say that nothing came."""

TIMEOUT: Final = click.option(
    "--timeout", metavar="TIME", callback=parsed(patience),
    help=f"How long an answer may take.  [default: {DEVICE_TIMEOUT:g}s on a device of this machine, "
    f"{NETWORK_TIMEOUT:g}s over a network, where a gateway waits for the unit itself]",
)  # fmt: skip


def timeout_for(target: Target, asked_for: float | None) -> float:
    """Seconds that an answer of `target` may take."""
    return asked_for or (NETWORK_TIMEOUT if target.far else DEVICE_TIMEOUT)


NUMBERING: Final = click.option(
    "--numbering", type=click.Choice([numbering.value for numbering in Numbering]), default="modicon",
    show_default=True,
    help="What numbers without a table mean: 41001 as in manuals, or holding registers from 0 (pdu) or from 1.",
)  # fmt: skip
TYPE: Final = click.option(
    "--type",
    "kind",
    metavar="TYPE",
    callback=parsed(ValueType.parse),
    help="int16 uint16 int32 uint32 int64 uint64 float32 float64 string:N bit; N is a number of characters.  "
    "[default: uint16, or bit for coils and discrete inputs]",
)
ORDER: Final = click.option(
    "--order", type=click.Choice([order.value for order in Order], case_sensitive=False), default="ABCD",
    metavar="|".join(Order), show_default=True,
    help="Order of a value's bytes; CDAB: the low register first.",
)  # fmt: skip
