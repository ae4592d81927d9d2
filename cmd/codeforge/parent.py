"""Processes that `up` and workers start end with them, also when those are killed."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping

PARENT_VARIABLE = "CODEFORGE_PARENT"
_PR_SET_PDEATHSIG = 1


def environment_for_child(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child that is to end with this process."""
    return {**environ, PARENT_VARIABLE: str(os.getpid())}


def end_with_parent(environ: Mapping[str, str]) -> None:
    """
    In a child of ours: get SIGTERM when the parent is gone, so that it drains. Linux only.

    The parent may have died before this is called; then the signal comes at once.
    """
    parent = environ.get(PARENT_VARIABLE)
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        os.kill(os.getpid(), signal.SIGTERM)
