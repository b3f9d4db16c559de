"""How the command reaches the platform."""
