"""Fixtures that every test may ask for; each lives in its own file of tests/support."""

pytest_plugins = ["tests.support.redis"]
