"""Asking Modbus units from here: targets, reads, scans."""
