"""Pure: what the API says becomes what a page shows."""
