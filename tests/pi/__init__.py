"""The software Raspberry Pi: an aarch64 guest with real Linux UART drivers, and what nportpy does there."""
