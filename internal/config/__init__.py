"""Settings: read, merged and checked once, at the start."""
