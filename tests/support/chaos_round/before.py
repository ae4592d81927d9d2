"""The files of another version of the project, for workers that run it beside this one's."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

RELEASE_BEFORE = "f527964"
"""The last commit of the release before."""

_ROOT = Path(__file__).parents[3]
_GIT = shutil.which("git") or "git"


def tree_of(commit: str, directory: Path) -> Path | None:
    """The tree of *commit* below *directory*; None when this clone does not have it."""
    found = subprocess.run(
        [_GIT, "archive", "--format=tar", commit, "internal", "cmd", "api"],
        cwd=_ROOT,
        capture_output=True,
        check=False,
    )
    if found.returncode != 0:
        return None
    tree = directory / "before"
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as archive:
        archive.extractall(tree, filter="data")
    return tree
