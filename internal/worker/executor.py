"""
One task from claimed to finished, as named steps: admit, prepare, run, conclude, report.

The only place where agents, git and workspaces meet. Whatever ends a run early (cancel, limit,
shutdown, a lost lease) arrives through its `Hold` or the watchdog. Every end but a lost lease is
reported; a lost one counts for nothing, on disk neither.
"""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import structlog

from internal.agent.base import Agent
from internal.agent.model import AgentRequest, Ending
from internal.clock import Clock
from internal.control.escalation import RuleOf, encode_rules
from internal.control.outcome import OutcomePolicy
from internal.errors import CodeforgeError, Fenced
from internal.fault import fault_point
from internal.redact import KNOWN
from internal.task.event import new_event
from internal.task.fenced import CancelAccepted
from internal.task.model import Claim
from internal.task.queue import TaskQueue
from internal.task.state import State
from internal.telemetry import semconv
from internal.telemetry.tracing import span
from internal.worker.admission import Admission, Admitted
from internal.worker.agents import AgentHost
from internal.worker.budgets import Budgets
from internal.worker.endings import Endings
from internal.worker.lease import Hold, Stop
from internal.worker.patience import until_answered, until_written
from internal.worker.prepare import Prepared, Preparer
from internal.worker.prompt import GO_ON, prompt_of, rebuilt_prompt
from internal.worker.recorder import Recorder
from internal.worker.report import End, Parked, run_reported, with_usage
from internal.worker.run import Run
from internal.worker.secrets import Secrets, SecretSource
from internal.worker.signals import Signals
from internal.worker.stopping import Stopped, until_stopped
from internal.worker.supervision import Ended
from internal.worker.verdict import Judge
from internal.worker.watchdog import Limits
from internal.workspace.manager import Workspaces

log = structlog.get_logger(__name__)

T = TypeVar("T")


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
        self._endings = Endings(workspaces, policy, clock)

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
            return self._endings.early(run, stopped.reason)
        except CancelAccepted:
            return self._endings.early(run, Stop.CANCEL)
        except Fenced:
            raise
        except Exception as error:
            if not isinstance(error, CodeforgeError):
                log.exception("run.failed")
            return self._endings.of_error(run, error)

    async def _open_secrets(self, claim: Claim, agent: Agent) -> Secrets:
        found = await self._secrets.open(claim, agent)
        fault_point("secrets_opened")
        from_environment = self._agents.has_credential(agent, claim.task.tenant)
        return replace(found, from_environment=from_environment)

    async def _steps(self, run: Run, agent: Agent, admitted: Admitted) -> End:
        """Prepare, run, conclude; every early end is an exception."""
        if over := run.spending.find_used_up():
            return self._endings.early(run, over)
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
        return await self._endings.conclude(run, prepared, ended, hidden)

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

    async def _until_stopped(self, run: Run, step: Coroutine[Any, Any, T]) -> T:
        seconds = run.limits.seconds_left(self._clock.monotonic())
        return await until_stopped(step, run.hold.stopped, seconds=seconds)

    def _limits(self, claim: Claim) -> Limits:
        config = claim.task.config
        return Limits(
            timeout_seconds=config.timeout_seconds,
            silence_seconds=config.silence_seconds,
            deadline=self._clock.monotonic() + claim.allowed_seconds,
        )

    async def _clean(self, claim: Claim) -> None:
        """Remove what this claim wrote; the sweep does it where this fails."""
        try:
            await self._workspaces.drop(claim.task.tenant, claim.task.id, claim.claim)
            fault_point("claim_cleaned")
        except (CodeforgeError, OSError) as error:
            log.warning("run.left_for_the_sweep", error=str(error))


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
