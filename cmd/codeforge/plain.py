"""Text of others, made fit for a terminal: agents, hosts and repositories write what they like."""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]

STYLES = {
    "completed": "bold green",
    "pr_created": "bold green",
    "failed": "bold red",
    "running": "cyan",
    "cloning": "cyan",
}
"""Of states; all others are yellow."""


def clean(text: str) -> str:
    """*text* without control characters."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)


def one_line(text: str, width: int) -> str:
    """*text* on one line of at most *width* characters."""
    flat = clean(" ".join(text.split()))
    return flat if len(flat) <= width else f"{flat[: width - 1]}…"


def changes_in_words(changes: Document) -> str:
    """A `changes_summary` in words."""
    created, modified = changes["files_created"], changes["files_modified"]
    return f"{created} created, {modified} modified, {changes['files_deleted']} deleted, " + str(
        changes["diff_stats"]
    )


def wait_in_words(wait: Document) -> str:
    """Why a task waits, where, and until when that is known."""
    words = [wait["reason"]]
    words += [f"at {wait['gate']}"] if wait.get("gate") else []
    words += [f"until {wait['until'][:19]}Z"] if wait.get("until") else []
    return " ".join(words)
