"""The network side: one thin adapter per operation mode."""
