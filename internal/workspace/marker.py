"""
The file that says whose a directory of workspaces is; without it nothing there is ever removed.

`workspace_base` is the operator's and may hold anything. Agents can write beside the marker in
theory, so what it says must fit the directory's own name and this home.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from internal.workspace.layout import MARKER_NAME


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """Whose directory it is; `created_at` in seconds since the epoch."""

    home: str
    tenant: str
    task: str
    created_at: float


def write_marker(folder: Path, marker: Marker, *, claim: str) -> None:
    """
    Mark *folder*, in one step; one that is marked as the same task's keeps its time of creation.

    *claim* keeps the temporary names of two writers apart.
    """
    known = read_marker(folder, marker.home)
    created_at = known.created_at if known and known.tenant == marker.tenant else marker.created_at
    making = folder / f"{MARKER_NAME}-{claim}"
    members = {"home": marker.home, "tenant": marker.tenant, "task": marker.task}
    making.write_text(json.dumps({**members, "created_at": created_at}))
    making.replace(folder / MARKER_NAME)


def read_marker(folder: Path, home: str) -> Marker | None:
    """The marker of a directory that belongs to *home*; None for everything else, and for links."""
    if folder.is_symlink():
        return None
    try:
        file = folder / MARKER_NAME
        members = json.loads(file.read_bytes())
        if members["home"] == home and members["task"] == folder.name:
            created_at = members.get("created_at")
            return Marker(
                home=home,
                tenant=str(members["tenant"]),
                task=str(members["task"]),
                created_at=file.stat().st_mtime if created_at is None else float(created_at),
            )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return None
