"""Where the log is kept: PostgreSQL, or memory for tests and simulation."""
