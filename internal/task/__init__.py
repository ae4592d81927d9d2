"""The task: its life, its queue, its events."""
