"""
How full the memory of this server is: of its container where that has a limit, else of the machine.
"""

from __future__ import annotations

from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_MACHINE = Path("/proc/meminfo")


def memory_share(cgroup: Path = _CGROUP, machine: Path = _MACHINE) -> float:
    """0 to 1; 0 where the system does not tell. What can be taken back at once counts as free."""
    return max(_of_container(cgroup), _of_machine(machine))


def _of_container(cgroup: Path) -> float:
    try:
        most = (cgroup / "memory.max").read_text().strip()
        used = int((cgroup / "memory.current").read_text())
        stat = _numbers((cgroup / "memory.stat").read_text())
        return (used - stat.get("inactive_file", 0)) / int(most) if most != "max" else 0.0
    except (OSError, ValueError, ZeroDivisionError):
        return 0.0


def _of_machine(path: Path) -> float:
    try:
        found = _numbers(path.read_text())
        return 1 - found["MemAvailable:"] / found["MemTotal:"]
    except (OSError, ValueError, KeyError, ZeroDivisionError):
        return 0.0


def _numbers(text: str) -> dict[str, int]:
    rows = (line.split() for line in text.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1}
