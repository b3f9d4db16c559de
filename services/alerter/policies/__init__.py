"""What is worth an alert: one rule in each file, each (state, now, limits) → conditions."""
