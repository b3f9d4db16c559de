"""The command `quartermaster`, a client of the gateway."""
