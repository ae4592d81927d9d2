"""The table of agents."""

from __future__ import annotations

from internal.agent import catalog


def test_every_driver_is_found_by_its_name() -> None:
    """Name and driver agree."""
    for name, driver in catalog.AVAILABLE.items():
        assert driver.name == name
        assert catalog.find(name) is driver


def test_a_planned_agent_is_known_and_has_no_driver() -> None:
    """So a caller can tell `not available yet` from a mistake."""
    assert "codex" in catalog.KNOWN
    assert catalog.find("codex") is None
    assert "nonexistent-cli" not in catalog.KNOWN
