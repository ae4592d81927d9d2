"""Fixtures that every test may ask for; each lives in its own file of tests/support."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.support.leftbehind", "tests.support.redis"]

# A loaded machine is slow now and then; that is no fault of what is under test.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")
