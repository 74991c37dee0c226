"""The second storey: reads meters on the spot, archives every sample, sends what changed, fills gaps."""
