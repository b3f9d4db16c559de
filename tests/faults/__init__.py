"""The fault matrix: real engines and real processes, broken on purpose one row at a time."""
