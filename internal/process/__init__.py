"""Subprocesses: every tree has an owner and an end."""
