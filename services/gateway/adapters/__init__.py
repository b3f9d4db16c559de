"""What the gateway speaks to: its own table, the vault, the query service."""
