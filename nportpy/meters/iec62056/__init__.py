"""IEC 62056-21 meters: signing on, readouts, registers and load profiles, over a line that is held for it."""
