"""
The real Claude Code for tests: where it is installed, and a run of it against a scripted model.
"""

from __future__ import annotations

import os
from pathlib import Path

VERSIONS = ("2.1.328", "2.1.197")
"""The newest, and what npm installs with Node 20; tests/agents/install.sh installs both."""

KEY = "sk-ant-for-tests-only"


def installed(version: str) -> Path | None:
    """The program of *version* as tests/agents/install.sh leaves it, or None."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "codeforge-agents"
    directory = Path(os.environ.get("CODEFORGE_AGENTS_DIR") or cache)
    program = directory / f"claude-{version}" / "node_modules" / ".bin" / "claude"
    return program if os.access(program, os.X_OK) else None
