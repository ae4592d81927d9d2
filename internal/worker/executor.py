"""
One task from claimed to finished, as named steps: prepare, run, keep, report.

The only place where agents, git and workspaces meet. Whatever ends a run early (cancel, limit,
shutdown, a lost lease) arrives through its `Hold` or the watchdog. Every end but a lost lease is
reported; a lost one counts for nothing, on disk neither.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import structlog

from internal.agent.base import Agent
from internal.agent.model import AgentRequest, Ending
from internal.clock import Clock
from internal.control.budget import Standing, members_of
from internal.control.escalation import RuleOf, encode_rules
from internal.control.outcome import OutcomePolicy
from internal.errors import CodeforgeError, Fenced
from internal.fault import fault_point
from internal.redact import KNOWN
from internal.task.event import new_event
from internal.task.model import Claim, Outcome
from internal.task.queue import CancelAccepted, TaskQueue
from internal.task.state import State
from internal.telemetry import semconv
from internal.telemetry.tracing import span
from internal.worker import failure as failures
from internal.worker.admission import Admission, Admitted
from internal.worker.agents import AgentHost, Ended
from internal.worker.budgets import Budgets
from internal.worker.keep import keep_work
from internal.worker.lease import Hold, Stop
from internal.worker.patience import until_answered, until_written
from internal.worker.prepare import Prepared, Preparer
from internal.worker.prompt import GO_ON, prompt_of, rebuilt_prompt
from internal.worker.recorder import Recorder
from internal.worker.report import End, HandBack, Parked, Suspended, run_reported, with_usage
from internal.worker.retries import Retries
from internal.worker.run import Run
from internal.worker.secrets import Secrets, SecretSource
from internal.worker.signals import Signals
from internal.worker.stopping import Stopped, until_stopped
from internal.worker.verdict import Judge
from internal.worker.watchdog import LimitKind, Limits
from internal.workspace.manager import Workspaces

log = structlog.get_logger(__name__)

T = TypeVar("T")

_UNRECORDED = frozenset({Stop.FENCED, Stop.OUTAGE, Stop.SHUTDOWN, Stop.ESCALATED})
"""Reasons after which the run starts anew elsewhere, so its work does not count."""


_RECORD_SECONDS = 120
"""To record what an agent left, although the run's time is over: a large tree on a slow disk."""

_RECORD_GRACE_SECONDS = 30
"""The same, once somebody waits for the run's end: a cancelled run keeps its work, too."""


class Executor:
    """Runs claims, each by itself; holds no state of any."""

    def __init__(
        self,
        queue: TaskQueue,
        preparer: Preparer,
        workspaces: Workspaces,
        agents: AgentHost,
        *,
        secrets: SecretSource,
        admission: Admission,
        policy: OutcomePolicy,
        budgets: Budgets,
        clock: Clock,
        rule_of: RuleOf,
    ) -> None:
        self._queue = queue
        self._preparer = preparer
        self._workspaces = workspaces
        self._agents = agents
        self._secrets = secrets
        self._budgets = budgets
        self._clock = clock
        self._rule_of = rule_of
        self._admission = admission
        self._judge = Judge(queue, policy, clock)
        self._retries = Retries(policy)

    async def run(self, claim: Claim, hold: Hold) -> None:
        """Run one claim to its reported end; only cancellation gets out, the task handed back."""

        async def attempt(recorder: Recorder) -> End:
            spending = self._budgets.open(claim, recorder.add)
            run = Run(
                claim=claim,
                hold=hold,
                recorder=recorder,
                limits=self._limits(claim),
                spending=spending,
                signals=Signals(recorder),
                listen=partial(self._queue.listen, claim),
            )
            try:
                end = await self._attempt(run)
            finally:
                await spending.close()
            await self._tell_signals(run)
            return with_usage(end, spending.usage)

        if not await run_reported(self._queue, claim, attempt):
            await self._clean(claim)

    async def _tell_signals(self, run: Run) -> None:
        """Count what the attempt has shown, while its claim still counts. Raises Fenced."""
        told = encode_rules(self._rule_of, run.signals.counted)
        if told:
            await until_answered(lambda: self._queue.signal(run.claim, told))

    async def _attempt(self, run: Run) -> End:
        """
        All steps up to the end that is to be reported. Raises Fenced.

        The secrets stay known until what went wrong is said: an error may repeat them.
        """
        with ExitStack() as known:
            return await self._attempt_knowing(run, known)

    async def _attempt_knowing(self, run: Run, known: ExitStack) -> End:
        try:
            agent = self._agents.find(run.claim.task.config.cli)
            secrets = await self._until_stopped(run, self._open_secrets(run.claim, agent))
            known.enter_context(KNOWN.using(*secrets.values()))
            entering = self._admission.enter(run.claim, agent, secrets)
            admitted = await self._until_stopped(run, entering)
            return await self._steps(run, agent, admitted) if admitted else Parked()
        except Stopped as stopped:
            return self._end_early(run, stopped.reason, Outcome())
        except CancelAccepted:
            return self._end_early(run, Stop.CANCEL, Outcome())
        except Fenced:
            raise
        except Exception as error:
            if not isinstance(error, CodeforgeError):
                log.exception("run.failed")
            return self._retries.fail(run, failures.of_error(error), Outcome())

    async def _open_secrets(self, claim: Claim, agent: Agent) -> Secrets:
        found = await self._secrets.open(claim, agent)
        fault_point("secrets_opened")
        from_environment = self._agents.has_credential(agent, claim.task.tenant)
        return replace(found, from_environment=from_environment)

    async def _steps(self, run: Run, agent: Agent, admitted: Admitted) -> End:
        """Prepare, run, keep; every early end is an exception."""
        if over := run.spending.find_used_up():
            return self._over_budget(run, over, Outcome())
        secrets = admitted.secrets
        step = self._preparer.prepare(run.claim, agent, run.recorder, token=secrets.access_token)
        began = self._clock.monotonic()
        with span("task.clone") as cloning:
            prepared = await self._until_stopped(run, step)
            cloning.set(**{semconv.CHECKOUT_MODE: prepared.workspace.mode.value})
        await self._start_running(run, prepared, secrets, self._clock.monotonic() - began)
        with span("task.run", **{semconv.CLI_NAME: agent.name}):
            heard = replace(run, on_answer=lambda: self._judge.confirm(run, admitted))
            ended = await self._run_agent(heard, agent, prepared, secrets)
        fault_point("agent_ended")
        waiting = await self._judge.end(run, admitted, ended)
        if waiting is not None:
            return waiting
        hidden = (*secrets.values(), *self._agents.credentials(agent))
        return await self._conclude(run, prepared, ended, hidden)

    async def _start_running(
        self, run: Run, prepared: Prepared, secrets: Secrets, cloned_seconds: float
    ) -> None:
        fields = {
            "base_commit": prepared.base,
            "isolation": self._agents.isolation.name,
            "clone_mode": prepared.workspace.mode.value,
            "clone_seconds": f"{cloned_seconds:.3f}",
            "key_source": secrets.key_source or "",  # also when the run before had one
        }
        await run.recorder.flush()
        await until_written(
            lambda operation: self._queue.advance(run.claim, State.RUNNING, fields, operation)
        )
        fault_point("running_written")
        if run.hold.stopped.done():  # while Redis kept us waiting
            raise Stopped(run.hold.stopped.result())

    async def _run_agent(
        self, run: Run, agent: Agent, prepared: Prepared, secrets: Secrets
    ) -> Ended:
        """One run of the agent, and a second with a rebuilt prompt when its session is gone."""
        request = _request(run, prepared, secrets)
        ended = await self._agents.run(agent, request, run, secrets.values())
        if ended.result.ending is Ending.SESSION_LOST and ended.stopped is None:
            run.recorder.add(new_event("system", "warning", {"reason": "session_lost"}))
            task = replace(run.claim.task, iterations=prepared.iterations)
            prompt = rebuilt_prompt(task, goes_on=prepared.goes_on)
            request = replace(request, session_id=None, prompt=prompt)
            ended = await self._agents.run(agent, request, run, secrets.values())
        return ended

    async def _conclude(
        self, run: Run, prepared: Prepared, ended: Ended, hidden: Sequence[str]
    ) -> End:
        """Record what the agent left, without what is *hidden*, and judge how the run ended."""
        used, ran_seconds = Outcome(), self._ran_seconds(run)
        if ended.stopped is Stop.PAUSE and ended.result.ending is Ending.COMPLETED:
            ended = replace(ended, stopped=None)  # it had done its work before it was interrupted
        if ended.stopped is not None and ended.stopped in _UNRECORDED:
            return self._end_early(run, ended.stopped, used)
        outcome = replace(used, result=ended.result.text or None)
        failure = failures.of_agent(ended.result, ended.log_tail)
        own = self._own_limit(run, ended)
        if own is not None:
            failure = failures.of_budget(own, ended.log_tail)
            run.recorder.add(new_event("control", "budget_exceeded", members_of(own)))
        if ended.stopped is None and failure is not None:
            repeat = self._retries.find(run, failure, used, ended.result.retry_after_seconds)
            if repeat is not None:
                return repeat
        try:
            with span("task.record"):
                outcome = await self._record(run, prepared, ended, outcome, hidden)
        except Stopped as stopped:
            log.warning("run.not_recorded", error="it takes too long")
            return self._end_early(run, ended.stopped or stopped.reason, outcome, ended)
        except (CodeforgeError, OSError) as error:  # an agent can do a lot to its own tree
            log.warning("run.not_recorded", error=str(error))
            failure = failure or failures.of_error(error)
        if ended.stopped is Stop.PAUSE:
            ran_seconds -= ended.frozen_seconds
            return Suspended(outcome=replace(outcome, result=None), ran_seconds=ran_seconds)
        if ended.stopped is not None:
            return self._end_early(run, ended.stopped, outcome, ended)
        return outcome if failure is None else self._retries.fail(run, failure, outcome)

    async def _record(
        self, run: Run, prepared: Prepared, ended: Ended, outcome: Outcome, hidden: Sequence[str]
    ) -> Outcome:
        """*outcome* with the work. Raises Stopped: it takes too long; else as `keep_work`."""
        step = keep_work(
            run, prepared, ended.result, outcome, workspaces=self._workspaces, hidden=hidden
        )
        return await until_stopped(
            step,
            run.hold.stopped,
            seconds=max(_RECORD_SECONDS, self._seconds_left(run)),
            grace=_record_grace,
        )

    def _end_early(
        self,
        run: Run,
        reason: Stop | LimitKind | Standing,
        outcome: Outcome,
        ended: Ended | None = None,
    ) -> End:
        log_tail = ended.log_tail if ended else ""
        match reason:
            case Stop.FENCED:
                raise Fenced("The lease is lost.")
            case Stop.OUTAGE | Stop.SHUTDOWN | Stop.ESCALATED:
                return HandBack(reason=reason.value)
            case Stop.PAUSE:
                return Suspended(outcome=outcome, ran_seconds=self._ran_seconds(run))
            case Stop.CANCEL:
                run.recorder.add(new_event("system", "task_cancelled", {}))
                return replace(outcome, failure=failures.CANCELED)
            case LimitKind.REPEATS:
                repeated = ended.repeated if ended else None
                return replace(outcome, failure=failures.of_repeats(repeated, log_tail))
            case Standing():
                return self._over_budget(run, reason, outcome, log_tail)
            case LimitKind.TOTAL | LimitKind.SILENCE:
                seconds = run.limits.seconds(reason)
                told = {"timeout_seconds": seconds, "kind": reason.value}
                run.recorder.add(new_event("system", "task_timeout", told))
                failure = failures.of_limit(reason, seconds, log_tail)
                return self._retries.fail(run, failure, outcome)

    def _over_budget(
        self, run: Run, over: Standing, outcome: Outcome, log_tail: str = ""
    ) -> Outcome:
        run.recorder.add(new_event("control", "budget_exceeded", members_of(over)))
        return replace(outcome, failure=failures.of_budget(over, log_tail))

    @staticmethod
    def _own_limit(run: Run, ended: Ended) -> Standing | None:
        """The budget at which the CLI stopped by itself, when it said which."""
        if ended.stopped is not None or ended.result.ending is not Ending.BUDGET_EXCEEDED:
            return None
        return run.spending.standing(str((ended.result.detail or {}).get("budget")))

    async def _until_stopped(self, run: Run, step: Coroutine[Any, Any, T]) -> T:
        return await until_stopped(step, run.hold.stopped, seconds=self._seconds_left(run))

    def _seconds_left(self, run: Run) -> float:
        return max(0.0, run.limits.deadline - self._clock.monotonic())

    def _ran_seconds(self, run: Run) -> float:
        """How much of the run's time this attempt has used."""
        allowed = run.claim.task.config.timeout_seconds - run.claim.ran_seconds
        return max(0.0, allowed - (run.limits.deadline - self._clock.monotonic()))

    def _limits(self, claim: Claim) -> Limits:
        config = claim.task.config
        allowed = config.timeout_seconds - claim.ran_seconds
        return Limits(
            timeout_seconds=config.timeout_seconds,
            silence_seconds=config.silence_seconds,
            deadline=self._clock.monotonic() + allowed,
        )

    async def _clean(self, claim: Claim) -> None:
        """Remove what this claim wrote; the sweep does it where this fails."""
        try:
            await self._workspaces.drop(claim.task.tenant, claim.task.id, claim.claim)
            fault_point("claim_cleaned")
        except (CodeforgeError, OSError) as error:
            log.warning("run.left_for_the_sweep", error=str(error))


def _record_grace(reason: Stop) -> float:
    """Somebody waits for a run's end; a pause must not cost what the run has done."""
    return _RECORD_SECONDS if reason is Stop.PAUSE else _RECORD_GRACE_SECONDS


def _request(run: Run, prepared: Prepared, secrets: Secrets) -> AgentRequest:
    task, config = run.claim.task, run.claim.task.config
    prompt = GO_ON if prepared.goes_on else prompt_of(task)
    if prepared.is_rebuilt:
        known = replace(task, iterations=prepared.iterations)
        prompt = rebuilt_prompt(known, work_lost=prepared.work_lost, goes_on=prepared.goes_on)
    return AgentRequest(
        prompt=prompt,
        workspace=prepared.workspace.tree,
        home=prepared.workspace.home,
        readable=(prepared.objects,),
        session_id=prepared.session_id,
        model=config.ai_model,
        api_key=secrets.ai_api_key,
        api_url=secrets.ai_api_url,
        max_turns=run.spending.max_turns,
        max_budget_usd=run.spending.left_usd,
        mcp_servers=secrets.mcp_servers,
    )
