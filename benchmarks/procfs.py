"""What other processes cost, read from /proc."""

from __future__ import annotations

import os
from pathlib import Path

_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Resident memory (RSS)."""
    return _status(pid, "VmRSS")


def proportional_bytes(pid: int) -> int:
    """Proportional memory (PSS): pages that several processes share count in parts."""
    return _kilobytes(Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii"), "Pss")


def cpu_seconds(pid: int) -> float:
    """Processor time used so far, by user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_SECONDS


def children(pid: int) -> list[int]:
    """Direct children of a process' main thread."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _status(pid: int, name: str) -> int:
    return _kilobytes(Path(f"/proc/{pid}/status").read_text(encoding="utf-8"), name)


def _kilobytes(text: str, name: str) -> int:
    for line in text.splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"the kernel does not tell {name}")
