"""Settings that are accepted and have no effect in this version yet."""

from __future__ import annotations

from internal.config.load import Loaded

_LATER = (
    "tasks.result_ttl",
    "cli.codex.",
    "cli.gemini.",
    "cli.opencode.",
    "workers.queue_name",
)


def without_effect(loaded: Loaded) -> list[str]:
    """Paths that the operator set and that change nothing, in order."""
    return sorted(
        name for name in loaded.sources if name.startswith(_LATER) and loaded.was_set(name)
    )
