"""Each benchmark still runs: once, with tiny numbers that say nothing about speed."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[3]
_LIMIT_SECONDS = 110
_GROUPS = (
    ("recovery", "webhooks", "publish"),
    ("peers", "losses"),
    ("submit", "claim", "lives", "start", "isolation"),
    ("sse", "output", "memory", "keys"),
)


@pytest.mark.parametrize("names", _GROUPS, ids="-".join)
async def test_every_benchmark_prints_its_table(names: tuple[str, ...], tmp_path: Path) -> None:
    """
    A benchmark that nobody can run any more measures nothing; it leaves no file behind either.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks", "--quick", *names),
        cwd=_ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(_LIMIT_SECONDS):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    said = output.decode()
    assert process.returncode == 0, said
    assert said.count("\n## ") == len(names), said
    assert not os.listdir(tmp_path)
