"""The database, as the query service's routes want it."""
