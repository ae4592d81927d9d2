"""Redis: clients, keys, scripts, and an embedded server."""
