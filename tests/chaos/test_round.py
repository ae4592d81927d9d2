"""
Rows 1 and 2 of the promises, all at once: tasks by the hundred while everything about them fails.

The long round is `make chaos`; this is a short one of the same, on a seed of its own each day.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.chaos_round.batch import run_batch
from tests.support.chaos_round.before import RELEASE_BEFORE, tree_of
from tests.support.chaos_round.ground import BatchPlan
from tests.support.chaos_round.table import last_line, render

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]


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
    tree = tree_of(RELEASE_BEFORE, tmp_path)
    if tree is None:
        pytest.skip(f"commit {RELEASE_BEFORE} is not in this clone")

    await _run(tmp_path, "mixed", tasks=300, old_tree=tree)


async def _run(directory: Path, name: str, *, tasks: int, old_tree: Path | None = None) -> None:
    seed = f"{name}-{datetime.now(UTC):%Y-%m-%d}"
    plan = BatchPlan(seed=seed, first=0, count=tasks, old_tree=old_tree)

    result = await run_batch(plan, directory / "kept")

    faults = [*result.lost, *result.doubled, *result.zombies, *result.wrong]
    assert result.is_clean, "\n".join([*faults, render([result]), last_line([result], seed)])
    assert result.accepted > tasks * 0.9  # some joined another by their deduplication key
