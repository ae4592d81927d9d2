"""Agent drivers: what to start for a prompt, and what its output lines mean."""
