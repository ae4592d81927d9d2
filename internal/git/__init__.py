"""Repositories: mirrors, checkouts, and the trusted record of what an agent changed."""
