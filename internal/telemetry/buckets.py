"""
The histograms that Redis keeps, and their bounds in seconds: one table for scripts and scrapes.

A script adds 1 to the bucket that a value falls into, named by its upper bound, `inf` above the
last; a scrape adds up. So counting costs two commands, however many bounds there are.
"""

from __future__ import annotations

DURATION = (10, 30, 60, 120, 300, 600, 1800)
"""Of a run; version A's, which dashboards know."""

QUEUE_WAIT = (0.1, 0.5, 1, 5, 15, 60, 300, 1800)
CLONE = (0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300)


def as_lua() -> str:
    """The bounds as Lua source, each one a string, because a table would be built at every call."""
    rows = {"DURATION": DURATION, "QUEUE_WAIT": QUEUE_WAIT, "CLONE": CLONE}
    return "".join(
        f"local {name} = '{' '.join(str(bound) for bound in bounds)}'\n"
        for name, bounds in rows.items()
    )
