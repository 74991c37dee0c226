"""What an open serial line is: one contract (base.py), and its forms on this machine and elsewhere."""
