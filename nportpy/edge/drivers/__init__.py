"""What stations speak: one file for each protocol, each a `Driver` (../driver.py)."""
