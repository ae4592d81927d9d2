"""What is to be started, and how it ended: the words of `supervise`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from internal.process.limits import Limits
from internal.process.lines import DEFAULT_MAX_LINE_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """
    What is put in front of an agent; see `enclosed`.

    `argv` ends with the call of `inside.main`, to which descriptors are appended. It reads each
    of `files` from a descriptor of its own, from `spawn.FIRST_FILE` on.
    """

    argv: Sequence[str]
    files: Sequence[bytes] = ()


Launcher = Callable[[Sequence[str], Mapping[str, str], Path], Front | None]
"""
The seam for isolation: from argv, environment and working directory to what is put in front.

The front must make `inside.main` the first process of a PID namespace and end with it.
"""


def no_isolation(argv: Sequence[str], environment: Mapping[str, str], cwd: Path) -> Front | None:
    """The launcher that puts nothing in front."""
    del argv, environment, cwd
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """
    All that is needed to start one agent.

    `environment` is complete: nothing of ours is inherited, and only `CODEFORGE_RUN` is added, with
    `run_marker` as its value. The executable is looked for on the PATH in it.
    """

    argv: Sequence[str]
    environment: Mapping[str, str]
    cwd: Path
    run_marker: str
    stdin: bytes = b""
    close_stdin: bool = True
    """False keeps stdin open after these bytes, for `write_stdin`."""
    limits: Limits = field(default_factory=Limits)
    outage_grace_seconds: float = 120.0
    """How long a tree stays frozen after its lease before it is killed."""
    drain_seconds: float = 5.0
    """How long what the agent left running may still write after the agent itself has ended."""
    max_line_bytes: int = DEFAULT_MAX_LINE_BYTES
    launcher: Launcher = no_isolation


class Cause(StrEnum):
    """Why an agent ended, as far as we had to do with it."""

    EXITED = "exited"
    """By itself, or by somebody else's signal (the kernel's, short of memory)."""
    ENDED = "ended"
    """By `end`, `kill` or leaving the context."""
    LEASE = "lease"
    """The dead-man's timer: no lease came for the whole grace."""
    SHIM_LOST = "shim_lost"
    """Something killed the shim; the rest of the tree was found by its marker and killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """The end of an agent; exactly one of `code` and `signal` is set."""

    code: int | None
    signal: int | None
    cause: Cause
    reason: str | None = None
    """What `end` was called with."""
