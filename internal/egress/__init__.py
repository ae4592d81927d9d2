"""Outgoing HTTP through one guarded client."""
