"""Simulated devices on a paced line: the demo and the tests use the same ones."""
