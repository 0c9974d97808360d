"""How far a label can be trusted: signals, calibration, routing."""
