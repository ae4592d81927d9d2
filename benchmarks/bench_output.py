"""Agent output: time and memory of a flood through parser, limits, redaction and file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from benchmarks.programs import hear, python
from benchmarks.scale import Scale
from benchmarks.table import Table, mebibytes


async def run(scale: Scale) -> Table:
    """One flood by the demo agent, its shim and our reader on the same cores."""
    with tempfile.TemporaryDirectory(prefix="codeforge-bench-") as name:
        log = Path(name, "log")
        words = ("benchmarks.output_probe", name, str(scale.output_mib))
        async with python(*words, environment=os.environ, log=log, stdio=True) as probe:
            seen = await hear(probe)
    if not seen["completed"]:
        raise RuntimeError("the agent did not complete")
    return Table(
        title=f"{scale.output_mib:,} MiB of agent output",
        aim="1 GiB in at most 20 s within 64 MiB more memory",
        columns=(
            "seconds",
            "MiB/s",
            "our CPU seconds",
            "memory more, MiB",
            "events given on",
            "of them stored, MiB",
            "kept for the operator, MiB",
        ),
        rows=[
            [
                f"{seen['seconds']:.1f}",
                f"{scale.output_mib / seen['seconds']:,.0f}",
                f"{seen['cpu']:.1f}",
                mebibytes(seen["peak"] - seen["idle"]),
                f"{seen['events']:,}",
                mebibytes(seen["stored"]),
                mebibytes(seen["kept"]),
            ]
        ],
        notes=("Lines of 1 KB; the agent that prints them uses the other core.",),
    )
