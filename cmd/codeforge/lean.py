"""
What a library would load for nothing is left out.

redis-py imports OpenTelemetry wherever it is installed, for a feature that is off here; that would
cost every process 3 MB. structlog and typer import rich, for what a terminal shows; that would cost
a server and a worker 4 MB.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import cast

_NAME = "opentelemetry"
_modules = cast("dict[str, ModuleType | None]", sys.modules)


_SERVICES = ("serve", "worker")


def leave_out(arguments: Sequence[str]) -> None:
    """
    Call it before whatever imports redis or typer; to importers these are not installed then.

    *arguments* are the words of the command line: only a service does without rich.
    """
    _modules.setdefault(_NAME, None)  # the import system's own way to say so
    if arguments[:1] and arguments[0] in _SERVICES:
        _modules.setdefault("rich", None)
        os.environ["TYPER_USE_RICH"] = "0"  # typer does not ask whether it is there


def allow() -> None:
    """For a process that traces: from now on whoever wants OpenTelemetry gets it."""
    if _modules.get(_NAME, sys) is None:
        del _modules[_NAME]
