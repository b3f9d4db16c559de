"""One file per subject: what can happen to it."""
