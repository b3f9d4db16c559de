"""The journal: the only writer of the log, its publisher, and who answers history."""
