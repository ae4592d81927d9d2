"""What the steps of one claim share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from internal.task.model import Claim
from internal.worker.lease import Hold
from internal.worker.recorder import Recorder
from internal.worker.signals import Signals
from internal.worker.spending import Spending
from internal.worker.watchdog import Limits


class Listen(Protocol):
    """`TaskQueue.listen` of one claim."""

    def __call__(
        self, *, takes_input: bool, heard: Sequence[str]
    ) -> Awaitable[list[tuple[str, str]]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One claim under way: permit, lease, way to the log, time, budget, directives."""

    claim: Claim
    hold: Hold
    recorder: Recorder
    limits: Limits
    signals: Signals
    spending: Spending
    listen: Listen
    on_answer: Callable[[], Awaitable[None]] | None = None
    """Called when the agent's model gives its first answer."""
