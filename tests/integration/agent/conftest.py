"""The place that the tests here run agents in."""

from tests.support.agent_place import place

__all__ = ["place"]
