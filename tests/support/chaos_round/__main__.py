"""
The chaos round: `python -m tests.support.chaos_round --tasks 20000 --seed 1`.

It goes in batches; what became of each is kept below `.chaos/<seed>/`, so a round that was cut goes
on with the batch it was in. Ends with 1 when anything is not as promised.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TextIO

import uvloop

from tests.support.chaos_round.batch import BatchResult, run_batch
from tests.support.chaos_round.before import tree_of
from tests.support.chaos_round.ground import BatchPlan
from tests.support.chaos_round.table import last_line, render, report_row

_ROOT = Path(__file__).parents[3]


async def run_round(
    *, tasks: int, seed: str, size: int, kept: Path, real_percent: int, old_tree: Path | None
) -> list[BatchResult]:
    """All batches, those that were run before included."""
    results: list[BatchResult] = []
    for first in range(0, tasks, size):
        file = kept / f"batch-{first:06}.json"
        if not file.exists():
            plan = BatchPlan(
                seed=f"{seed}/{first}",
                first=first,
                count=min(size, tasks - first),
                real_percent=real_percent,
                old_tree=old_tree,
            )
            result = await run_batch(plan, kept / f"batch-{first:06}")
            file.write_text(result.as_json())
            say(f"{first + plan.count} of {tasks} tasks, {result.seconds:.0f} s", sys.stderr)
        results.append(BatchResult.of_json(file.read_text()))
    return results


def say(text: str, where: TextIO) -> None:
    """Write a line, now."""
    where.write(f"{text}\n")
    where.flush()


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="chaos_round")
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--batch", type=int, default=2_500)
    parser.add_argument("--real", type=int, default=10, help="percent with processes and git")
    parser.add_argument("--again", action="store_true", help="forget what was run before")
    parser.add_argument("--before", default="", help="a commit that half of the workers run")
    given = parser.parse_args()
    kept = _ROOT / ".chaos" / "-".join(filter(None, [given.seed, given.before]))
    if given.again:
        shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="cf-before-") as name,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        old_tree = tree_of(given.before, Path(name)) if given.before else None
        if given.before and old_tree is None:
            parser.error(f"commit {given.before} is not in this clone")
        results = runner.run(
            run_round(
                tasks=given.tasks,
                seed=given.seed,
                size=given.batch,
                kept=kept,
                real_percent=given.real,
                old_tree=old_tree,
            )
        )
    say(f"{render(results)}\n\n{report_row(results, given.seed)}", sys.stdout)
    say(last_line(results, given.seed), sys.stdout)
    return 0 if all(result.is_clean for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
