"""What the vault keeps its secrets with."""
