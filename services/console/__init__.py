"""The console: the fleet in a browser, rendered here, over nothing but the gateway's HTTP API."""
