"""
Rows 1 and 2 of the promises, all at once: tasks by the hundred while everything about them fails.

The long round is `make chaos`; this is a short one of the same, on a seed of its own each day.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.chaos_round.batch import run_batch
from tests.support.chaos_round.ground import BatchPlan
from tests.support.chaos_round.table import last_line, render

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

_ROOT = Path(__file__).parents[2]
_GIT = shutil.which("git") or "git"
_BEFORE = "f527964"
"""The last commit of the release before."""


async def test_nothing_is_lost_or_doubled_while_everything_fails(tmp_path: Path) -> None:
    """
    Workers, servers and Redis are killed, stopped and cut off: each accepted task ends once.
    """
    await _run(tmp_path, "short", tasks=600)


async def test_nothing_is_lost_or_doubled_beside_workers_of_the_release_before(
    tmp_path: Path,
) -> None:
    """
    A rolling upgrade: half of the workers are of the release before, on the same Redis.
    """
    await _run(tmp_path, "mixed", tasks=300, old_tree=_tree_before(tmp_path))


async def _run(directory: Path, name: str, *, tasks: int, old_tree: Path | None = None) -> None:
    seed = f"{name}-{datetime.now(UTC):%Y-%m-%d}"
    plan = BatchPlan(seed=seed, first=0, count=tasks, old_tree=old_tree)

    result = await run_batch(plan, directory / "kept")

    assert result.is_clean, f"{render([result])}\n{last_line([result], seed)}"
    assert result.tasks > tasks * 0.9  # some joined another by their deduplication key


def _tree_before(directory: Path) -> Path:
    """The files of the release before, where this clone has them."""
    found = subprocess.run(
        [_GIT, "archive", "--format=tar", _BEFORE, "internal", "cmd", "api"],
        cwd=_ROOT,
        capture_output=True,
        check=False,
    )
    if found.returncode != 0:
        pytest.skip(f"commit {_BEFORE} is not here: {found.stderr.decode()[:200]}")
    tree = directory / "before"
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as archive:
        archive.extractall(tree, filter="data")
    return tree
