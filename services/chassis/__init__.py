"""What every process needs, and no service in particular."""
