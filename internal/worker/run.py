"""What the steps of one claim share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from internal.task.model import Claim
from internal.worker.lease import Hold
from internal.worker.recorder import Recorder
from internal.worker.signals import Signals
from internal.worker.spending import Spending
from internal.worker.watchdog import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One claim under way: its permit, its lease, its way to the log, its time, its budget."""

    claim: Claim
    hold: Hold
    recorder: Recorder
    limits: Limits
    signals: Signals
    spending: Spending
    on_answer: Callable[[], Awaitable[None]] | None = None
    """Called when the agent's model gives its first answer."""
