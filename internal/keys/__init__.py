"""Registered keys: tokens for git hosts and model providers, sealed, and which one a run uses."""
