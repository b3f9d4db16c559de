"""How what was recorded is told: in words, in groups, and as a chain of causes."""
