"""Sockets: addresses, who is let in, connections from and to others, datagrams."""
