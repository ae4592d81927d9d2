"""
Where things lie on disk. Pure paths; nothing here touches one.

`workspace_base` holds what agents write, by task and claim; `data_dir` what only we write.
Everything a run writes lies under its claim, so what a dead run left is known by its name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from internal.errors import Invalid

MARKER_NAME = ".codeforge"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The two roots of one home and everything below them."""

    data_dir: Path
    workspace_base: Path

    @property
    def home_id_file(self) -> Path:
        return self.data_dir / "home-id"

    @property
    def git_home(self) -> Path:
        """An empty directory: the HOME of our own git commands."""
        return self.data_dir / "git" / "home"

    @property
    def mirrors(self) -> Path:
        return self.data_dir / "git" / "mirrors"

    @property
    def works(self) -> Path:
        """The trusted git directories, `<tenant>/<task>.git`."""
        return self.data_dir / "git" / "work"

    @property
    def sessions(self) -> Path:
        """Kept homes of agents, `<tenant>/<task>/<claim>/`."""
        return self.data_dir / "sessions"

    @property
    def outputs(self) -> Path:
        """Whole outputs of agents for the operator, `<tenant>/<task>/<claim>`."""
        return self.data_dir / "outputs"

    @property
    def spares(self) -> Path:
        """
        Trees made ahead, on the file system of the workspaces so that a rename hands them over.
        """
        return self.workspace_base / ".spares"

    def task(self, task: str) -> Path:
        return self.workspace_base / checked_name(task)

    def marker(self, task: str) -> Path:
        """Says whose directory this is; only directories with our marker are ever removed."""
        return self.task(task) / MARKER_NAME

    def claim(self, task: str, claim: str) -> Path:
        return self.task(task) / checked_name(claim)

    def tree(self, task: str, claim: str) -> Path:
        """The agent's checkout."""
        return self.claim(task, claim) / "tree"

    def home(self, task: str, claim: str) -> Path:
        """The agent's HOME."""
        return self.claim(task, claim) / "home"


def checked_name(name: str) -> str:
    """
    *name* if it can be one part of a path and nothing else; ids of ours always can.

    Raises:
        Invalid: it could leave its directory, or hide in it.
    """
    if not _NAME.match(name):
        raise Invalid(f"not a name for a directory: {name!r}")
    return name
