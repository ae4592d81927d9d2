"""Policies of the queue: which gates a task must pass before it runs."""
