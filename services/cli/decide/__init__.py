"""What the command knows and compares: no I/O."""
