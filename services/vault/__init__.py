"""The vault: keeps secrets encrypted, and opens them for the services that may read them."""
