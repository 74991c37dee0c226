"""Opens whatever a `device` names: a tty by its path, a connection, anything else by pyserial's URL handlers."""

from nportpy.port.base import Port, PortReceiver, PortSettings
from nportpy.port.tty import open_tty
from nportpy.port.url import open_url


async def open_port(settings: PortSettings, receiver: PortReceiver) -> Port:
    """Open the device. See `Opener`."""
    if settings.device.startswith("tcp://"):
        # Here, because few gateways need it.
        from nportpy.port.tcp import open_tcp

        return await open_tcp(settings, receiver)
    if settings.device.startswith("raws://"):
        from nportpy.port.tls import open_raws

        return await open_raws(settings, receiver)
    if "://" in settings.device:
        return await open_url(settings, receiver)
    return await open_tty(settings, receiver)
