"""Workspaces on disk: where they lie, who owns them, when they go."""
