"""Measurements: nportpy beside socat and ser2net, in one run, on equal pseudo-terminals. `make bench` runs them."""
