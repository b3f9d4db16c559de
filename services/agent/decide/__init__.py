"""Whether a command is obeyed, and what it comes to: pure functions."""
