"""Where alerts are carried to."""
