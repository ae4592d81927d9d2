"""Encryption at rest and message authentication."""
