"""The HTTP edge: REST, event streams, health."""
