"""Measure Valence beside other servers, under overload, and with its telemetry on."""
