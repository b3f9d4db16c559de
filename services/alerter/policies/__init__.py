"""What is worth an alert: one rule in each file, each view → conditions."""
