"""
The watchdog signals of one attempt: each is told in the task's log at once, and counted at its end.

So one run can raise nothing alone: it shows each signal at most once, whatever its agent does.
"""

from __future__ import annotations

from collections.abc import Sequence

from internal.control.escalation import Signal
from internal.task.event import new_event
from internal.worker.recorder import Recorder


class Signals:
    """What one attempt has shown so far."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._told: set[Signal] = set()
        self._counted: list[Signal] = []

    def note(self, signal: Signal, *, counts: bool = True, **detail: str | float) -> None:
        """
        Say *signal* in the log, once; without *counts* it says nothing of anything but this run.
        """
        if signal in self._told:
            return
        self._told.add(signal)
        if counts:
            self._counted.append(signal)
        told = {"signal": signal.value, **detail}
        self._recorder.add(new_event("control", "warning", told))

    @property
    def counted(self) -> Sequence[Signal]:
        """What is to be counted for agent, repository and worker."""
        return tuple(self._counted)
