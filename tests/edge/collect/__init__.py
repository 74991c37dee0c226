"""The other end."""
