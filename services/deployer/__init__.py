"""Start and stop what the scheduler wants, until a node confirms it."""
