"""Opens whatever a `device` names: a tty by its path, anything else by pyserial's URL handlers."""

from nportpy.line.port import Port, PortReceiver, PortSettings
from nportpy.line.tty import open_tty
from nportpy.line.url import open_url


async def open_port(settings: PortSettings, receiver: PortReceiver) -> Port:
    """Open the device. See `Opener`."""
    if "://" in settings.device:
        return await open_url(settings, receiver)
    return await open_tty(settings, receiver)
