"""Profiles of meters: what they have, and how their manuals count; each names the register table it was made from."""
