"""
Run benchmarks and print their tables: `python -m benchmarks [--quick] [name ...]`, by default all
that need nothing else.

The tables are Markdown, made to be put into docs/benchmarks.md as they are. A benchmark that
breaks or takes more than its time is told, and the others run all the same; the exit status is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import signal
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import cast

import uvloop

from benchmarks.machine import describe, load
from benchmarks.scale import FULL, QUICK, Scale
from benchmarks.table import Table

_NAMES = (
    *("submit", "claim", "lives", "start", "isolation", "sse", "output", "memory", "keys"),
    *("publish", "recovery", "webhooks"),
)
_WHEN_NAMED = ("peers", "losses")
"""They take ten minutes, and environments that `make peers` makes."""
_LIMIT_SECONDS = 150
"""Of one benchmark; a module may say more by its own `LIMIT_SECONDS`."""


def main() -> int:
    """Read the command line and run what it names."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join((*_NAMES, *_WHEN_NAMED)))
    parser.add_argument("--quick", action="store_true", help="tiny numbers: does it still run?")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - {*_NAMES, *_WHEN_NAMED}:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, _interrupt)
    print(describe(), flush=True)
    scale = QUICK if arguments.quick else FULL
    broken = [name for name in arguments.names or _NAMES if not _measure(name, scale)]
    if broken:
        print(f"broken: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


def _interrupt(number: int, frame: object) -> None:
    """SIGTERM ends a run as Ctrl-C does: what was started is ended, directories are removed."""
    del number, frame
    signal.raise_signal(signal.SIGINT)


def _measure(name: str, scale: Scale) -> bool:
    """Print one benchmark's table; False when there is none."""
    module = importlib.import_module(f"benchmarks.bench_{name}")
    run = cast("Callable[[Scale], Awaitable[Table]]", module.run)
    seconds: int = getattr(module, "LIMIT_SECONDS", _LIMIT_SECONDS)
    before, began = load(), time.monotonic()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            table = runner.run(_within_limit(run, scale, seconds))
    except Exception:  # noqa: BLE001 -- told; the other benchmarks shall run all the same
        traceback.print_exc()
        return False
    print(f"\n{table.markdown()}\n\n({before}; took {time.monotonic() - began:.0f} s)", flush=True)
    return True


async def _within_limit(
    run: Callable[[Scale], Awaitable[Table]], scale: Scale, seconds: int
) -> Table:
    async with asyncio.timeout(seconds):
        return await run(scale)


if __name__ == "__main__":
    sys.exit(main())
