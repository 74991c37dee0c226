"""What a tap on a line tells, and what is made of it: packets for Wireshark, rows for a monitor, filters, triggers."""
