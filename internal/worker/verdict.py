"""
What the end of an attempt says beyond its own run: about the agent program, the endpoint, the key.

Said to JUDGE before the end is reported, so that whoever runs next knows. A run that we ended, or
that failed at its task, says nothing; one that was refused by its key speaks of that key alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from redis.exceptions import RedisError

from internal.agent.model import AgentResult, Ending, Fault
from internal.clock import Clock
from internal.control.breaker import Sample
from internal.control.outcome import OutcomePolicy
from internal.control.quota import Shut, UsedUp
from internal.errors import Fenced
from internal.fault import fault_point
from internal.ids import random_token
from internal.task.judgement import Judgement
from internal.task.queue import TaskQueue
from internal.worker.admission import Admitted
from internal.worker.failure import of_agent
from internal.worker.patience import until_written
from internal.worker.report import HandBack
from internal.worker.retries import warn
from internal.worker.run import Run
from internal.worker.supervision import Ended

log = structlog.get_logger(__name__)

_NOTHING = Judgement()
_ABOUT_THE_KEY = frozenset({Ending.RATE_LIMITED, Ending.QUOTA_EXHAUSTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to tell JUDGE; and for how long the run waits for a quota instead of failing, if so."""

    judgement: Judgement = _NOTHING
    quota_seconds: float | None = None


class Judge:
    """Weighs the ends of attempts by a policy, and tells them to *queue*."""

    def __init__(self, queue: TaskQueue, policy: OutcomePolicy, clock: Clock) -> None:
        self._queue = queue
        self._policy = policy
        self._clock = clock

    async def confirm(self, run: Run, admitted: Admitted) -> None:
        """
        Its first answer opens half-open gates for those who wait there.

        Tried once: when Redis is away, the end of the run says it again.
        """
        try:
            judgement = Judgement(works=admitted.gates())
            await self._queue.judge(run.claim, judgement, random_token())
        except (Fenced, RedisError, OSError) as error:
            log.debug("run.unconfirmed", error=str(error))

    async def end(self, run: Run, admitted: Admitted, ended: Ended) -> HandBack | None:
        """
        Say what the end means for others; the end of this attempt, when it is to wait for a quota.

        Raises:
            Fenced: nothing of this run counts.
        """
        verdict = self.weigh(ended, admitted, waits=run.claim.task.quota_waits)
        if verdict.judgement:
            await until_written(
                lambda operation: self._queue.judge(run.claim, verdict.judgement, operation)
            )
            fault_point("judged")
        failure = of_agent(ended.result, ended.log_tail)
        if verdict.quota_seconds is None or failure is None:
            return None
        warn(run, failure)
        return HandBack(
            reason=failure.reason.value,
            delay_seconds=0 if admitted.has_next else verdict.quota_seconds,
            quota=True,
            gate="" if admitted.has_next else admitted.quota or "",
        )

    def weigh(self, ended: Ended, admitted: Admitted, *, waits: int) -> Verdict:
        """The verdict on *ended*; *waits*: how often its run has waited for a quota already."""
        if ended.stopped is not None:
            return Verdict()
        result = ended.result
        if result.fault is None and result.ending in _ABOUT_THE_KEY:
            return self._of_key(result, admitted, waits)
        works = admitted.gates() if result.ending is Ending.COMPLETED else ()
        return Verdict(judgement=Judgement(works=works, samples=self._samples(result, admitted)))

    def _of_key(self, result: AgentResult, admitted: Admitted, waits: int) -> Verdict:
        seconds = self._seconds_to_reset(result)
        if seconds is None and result.ending is Ending.RATE_LIMITED:
            seconds = result.retry_after_seconds
            if not admitted.has_next:  # it passes by itself: one of the run's own repeats
                return Verdict(judgement=_shut(result, admitted, seconds))
        used_up = UsedUp(seconds=seconds, waits=waits, has_next=admitted.has_next)
        pause = self._policy.quota_wait(used_up)
        return Verdict(judgement=_shut(result, admitted, pause), quota_seconds=pause)

    def _samples(self, result: AgentResult, admitted: Admitted) -> Sequence[Sample]:
        """One of the program and one of the endpoint, as far as the end speaks of them."""
        worked = result.ending is Ending.COMPLETED
        found: list[Sample] = []
        if worked or result.fault is Fault.PROGRAM:
            found.append(self._sample(admitted.agent, failed=not worked))
        if admitted.endpoint and (worked or result.fault is Fault.ENDPOINT):
            seconds = result.first_answer_seconds or 0.0
            found.append(self._sample(admitted.endpoint, failed=not worked, seconds=seconds))
        return found

    def _sample(self, key: str, *, failed: bool, seconds: float = 0.0) -> Sample:
        return Sample(key=key, failed=failed, rule=self._policy.breaker(key), seconds=seconds)

    def _seconds_to_reset(self, result: AgentResult) -> float | None:
        if result.resets_at is None:
            return None
        return max(0.0, (result.resets_at - self._clock.now()).total_seconds())


def _shut(result: AgentResult, admitted: Admitted, seconds: float | None) -> Judgement:
    if admitted.quota is None or not seconds:
        return _NOTHING
    return Judgement(shut=(Shut(key=admitted.quota, seconds=seconds, why=result.ending.value),))
