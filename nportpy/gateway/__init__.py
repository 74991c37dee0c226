"""The composition: what a configuration file says becomes lines, buses and services, in one task group.

plans.py       the settings of everything
running.py     the gateway: starts, reloads, drains and stops
lines.py       a line with its services; servers elsewhere
services.py    the services of one port or router
sockets.py     the listening sockets
"""
