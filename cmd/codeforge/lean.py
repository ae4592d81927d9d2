"""
What a library would load for nothing is left out.

redis-py imports OpenTelemetry wherever it is installed, for a feature that is off here; that would
cost every process 3 MB.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import cast

_NAME = "opentelemetry"
_modules = cast("dict[str, ModuleType | None]", sys.modules)


def leave_out() -> None:
    """Call it before whatever imports redis; to importers OpenTelemetry is not installed then."""
    _modules.setdefault(_NAME, None)  # the import system's own way to say so


def allow() -> None:
    """For a process that traces: from now on whoever wants OpenTelemetry gets it."""
    if _modules.get(_NAME, sys) is None:
        del _modules[_NAME]
