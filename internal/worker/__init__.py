"""The worker: claims tasks, runs agents, keeps their work."""
