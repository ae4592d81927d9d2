"""What isolation costs a start, and what it saves: objects borrowed from the mirror, not copied."""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.repository import make_repository
from benchmarks.scale import Scale, bounded
from benchmarks.table import Table, millis, percentile
from internal.process.isolation import NOT_WANTED, Isolation, Places, find_isolation
from internal.process.spec import ProcessSpec
from internal.process.supervise import start
from internal.workspace.files import disk_bytes
from internal.workspace.spare import SpareSettings
from tests.support.git_home import GitHome, git_home

_LONGEST_SECONDS = 30


async def run(scale: Scale) -> Table:
    """Both kinds take turns, so both see the same machine."""
    with tempfile.TemporaryDirectory(prefix="codeforge-bench-") as name:
        directory = Path(name)
        isolation = await _isolation(directory)
        kinds = (NOT_WANTED,) if isolation.sandbox is None else (NOT_WANTED, isolation)
        starts: dict[str, list[float]] = {kind.name: [] for kind in kinds}
        for _ in bounded(scale.isolation_starts, _LONGEST_SECONDS):
            for kind in kinds:
                starts[kind.name].append(await _start(kind, directory))
        url = await asyncio.to_thread(
            make_repository,
            directory / "large.git",
            files=scale.start_files,
            commits=scale.start_commits,
        )
        checkouts: dict[str, tuple[Sequence[float], float]] = {
            kind.name: await _checkouts(directory / kind.name, url, scale, borrow=kind is isolation)
            for kind in kinds
        }
    return Table(
        title="Isolation",
        aim="a sandbox costs a start at most 50 ms, and a checkout less than it does without",
        columns=(
            *("isolation", "start to end of `true`, p50 ms", "best ms"),
            *("checkout, p50 ms", "`.git` of the checkout, MB"),
        ),
        rows=[
            [name, *_times(seconds), *_times(checkouts[name][0])[:1], f"{checkouts[name][1]:.2f}"]
            for name, seconds in starts.items()
        ],
        notes=(
            "From asking for the process to the end of its output: shim, sandbox, its first "
            "process, the program.",
            f"The checkout: {scale.start_files:,} files of 34 KiB from a mirror with "
            f"{scale.start_commits} commits, without a ready tree.",
            *([] if isolation.sandbox else [f"No sandbox here: {isolation.reason}."]),
        ),
    )


async def _isolation(directory: Path) -> Isolation:
    places = Places(
        data_dir=directory / "data", workspace_base=directory / "ws", user_home=Path.home()
    )
    return await find_isolation("auto", places, environment=os.environ)


async def _start(isolation: Isolation, directory: Path) -> float:
    spec = ProcessSpec(
        argv=("/bin/true",),
        environment={"PATH": os.environ["PATH"]},
        cwd=directory,
        run_marker=f"bench.{os.getpid()}.1.{secrets.token_hex(8)}",
        launcher=isolation.launcher(),
    )
    began = time.monotonic()
    async with await start(spec) as process:
        async for _ in process.stdout_lines():
            pass
        return time.monotonic() - began


async def _checkouts(
    root: Path, url: str, scale: Scale, *, borrow: bool
) -> tuple[Sequence[float], float]:
    """Seconds of each, and the megabytes that the last one's `.git` takes."""
    home: GitHome = git_home(root, borrow=borrow, spares=SpareSettings(per_repository=0))
    mirror = await home.mirror(url)
    seconds: list[float] = []
    size = 0.0
    for number in bounded(scale.isolation_checkouts, _LONGEST_SECONDS):
        began = time.monotonic()
        workspace, _ = await home.open(mirror, task=f"t{number}", claim="c")
        seconds.append(time.monotonic() - began)
        size = await asyncio.to_thread(disk_bytes, workspace.tree / ".git") / 1e6
    return seconds, size


def _times(seconds: Sequence[float]) -> list[str]:
    return [millis(percentile(seconds, 50)), millis(min(seconds))]
