"""Webhooks: the outbox, signatures, and the loop that delivers."""
