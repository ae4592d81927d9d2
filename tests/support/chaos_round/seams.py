"""
An agent that lives in the worker's process, put where a real one is started.

Only three steps of a run are replaced, and only for tasks that say so by a label: the workspace is
none, the agent does a script, its work is a name. A create-pr of such a task opens its pull request
at a host that is a directory. Everything around them is the worker's own. It must run in a worker
of the release before, too.

As a shim does for a real agent, a step is done only while the lease has 3 s left, so no two agents
of a task are ever at work at once; each step is noted with the time of that look.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from internal.agent.model import AgentRequest, AgentResult, Ending, Usage
from internal.git.model import Changes, Diff
from internal.git.work import TrustedRepo
from internal.task import diffstore
from internal.task.event import new_event
from internal.task.model import Claim, Outcome, Work
from internal.task.pullrequest import Published
from internal.worker import agents
from internal.worker.agents import AgentHost
from internal.worker.keep import keep_work
from internal.worker.lease import Hold, Stop
from internal.worker.patience import until_written
from internal.worker.prepare import Prepared, Preparer
from internal.worker.publish import Publisher
from internal.worker.recorder import Recorder
from internal.worker.run import Run
from internal.workspace.manager import Mode, OpenWorkspace
from tests.support.chaos_round.ledger import Ledger

if TYPE_CHECKING:
    from internal.worker.supervision import Ended
else:
    Ended = agents.Ended  # also in a worker from an earlier commit, which has no supervision

LABEL = "agent"
IN_PROCESS = "in-process"
BRANCH = "codeforge/"

_MARGIN_SECONDS = 3.0  # as internal.process.shim freezes
_QUOTA_SECONDS = 2
_BASE = "0" * 40
_NOWHERE = Path("/nonexistent")
_CHANGES = Changes(files_modified=1, insertions=3)
_DIFF, _ = diffstore.pack(
    Diff(base=_BASE, head="1" * 40, files=(), changes=_CHANGES, patch=b"a patch\n")
)

Method = Callable[..., Awaitable[Any]]


def install(ledger: Ledger, pulls: Path) -> None:
    """Replace the steps in this process; *pulls* is the directory of the host."""
    setattr(Preparer, "prepare", _prepare(ledger, Preparer.prepare))  # noqa: B010 - a method
    setattr(AgentHost, "run", _run(ledger, AgentHost.run))  # noqa: B010 - a method
    setattr(_caller_of_keep_work(), "keep_work", _keep_work(keep_work))  # noqa: B010
    real = getattr(Publisher, "_publish")  # noqa: B009 - the step between claim and report
    setattr(Publisher, "_publish", _publish(ledger, pulls, real))  # noqa: B010 - a method


def _caller_of_keep_work() -> ModuleType:
    """Also in a worker from an earlier commit, where the executor did it."""
    endings = "internal.worker.endings"
    return import_module(endings if find_spec(endings) else "internal.worker.executor")


def _is_in_process(claim: Claim) -> bool:
    return claim.task.labels.get(LABEL) == IN_PROCESS


def _note_claim(ledger: Ledger, claim: Claim) -> None:
    ledger.write(
        "claim",
        task=claim.task.id,
        claim=claim.claim,
        token=hashlib.sha256(claim.token.encode()).hexdigest()[:12],
        run=claim.task.started_at.isoformat() if claim.task.started_at else "",
        iteration=claim.task.iteration,
        attempt=claim.attempt,
        lost=claim.task.lost,
        alone=claim.alone,
        publish=claim.publish,
    )


def _prepare(ledger: Ledger, real: Method) -> Method:
    async def prepare(
        self: Preparer, claim: Claim, agent: object, recorder: Recorder, **named: Any
    ) -> Prepared:
        _note_claim(ledger, claim)
        if not _is_in_process(claim):
            return cast(Prepared, await real(self, claim, agent, recorder, **named))
        recorder.add(new_event("git", "clone_completed", {"claim": claim.claim}))
        return Prepared(
            workspace=OpenWorkspace(
                tree=_NOWHERE,
                home=_NOWHERE,
                mode=Mode.SPARE,
                commit=_BASE,
                branch="main",
                has_session=False,
            ),
            objects=_NOWHERE,
            repo=cast(TrustedRepo, None),
            base=_BASE,
            session_id=None,
            is_rebuilt=False,
            work_lost=claim.lost_work,
            iterations=(),
        )

    return prepare


def _run(ledger: Ledger, real: Method) -> Method:
    async def run(
        self: AgentHost, agent: object, request: AgentRequest, run: Run, *more: Any, **named: Any
    ) -> Ended:
        claim = run.claim
        ledger.write("start", task=claim.task.id, claim=claim.claim)
        run.recorder.add(new_event("system", "warning", {"reason": "chaos", "claim": claim.claim}))
        if _is_in_process(claim):
            ended = await _act(ledger, run)
        else:
            ended = cast(Ended, await real(self, agent, request, run, *more, **named))
            told = {"reason": "chaos", "claim": claim.claim}
            run.recorder.add(new_event("system", "warning", told))
        how = ended.stopped or ended.result.ending
        ledger.write("end", task=claim.task.id, claim=claim.claim, how=how)
        return ended

    return run


async def _act(ledger: Ledger, run: Run) -> Ended:
    """The script, step by step, for as long as the run may go on."""
    task, claim = run.claim.task, run.claim.claim
    script = json.loads(task.current_prompt or task.prompt)
    for number in range(script["steps"]):
        await asyncio.wait({run.hold.stopped}, timeout=script["pause"])
        # What an agent has said before it stood still is read when its worker goes on.
        run.recorder.add(new_event("stream", "text", {"text": f"to {number}", "claim": claim}))
        stopped = await _until_step(run.hold)
        if isinstance(stopped, Stop):
            result = AgentResult(ending=Ending.STOPPED, text=claim)
            return Ended(result=result, stopped=stopped, log_tail="")
        ledger.write("step", at=stopped, task=task.id, claim=claim)
        if script["end"] == "poison":
            os.kill(os.getpid(), signal.SIGKILL)
        await run.recorder.room()
    return Ended(result=_result(run.claim, script["end"]), stopped=None, log_tail="")


def _result(claim: Claim, end: str) -> AgentResult:
    ending, more = Ending.COMPLETED, dict[str, Any]()
    if end == "failed":
        ending = Ending.FAILED
    elif end == "limited" and claim.task.retries == 0:
        ending = Ending.RATE_LIMITED
    elif end == "quota" and getattr(claim.task, "quota_waits", 1) == 0:  # not known before
        ending = Ending.QUOTA_EXHAUSTED
        more["resets_at"] = datetime.now(UTC) + timedelta(seconds=_QUOTA_SECONDS)
    usage = Usage(input_tokens=10, output_tokens=1, turns=1, model="chaos")
    return AgentResult(ending=ending, text=claim.claim, message="as planned", usage=usage, **more)


async def _until_step(hold: Hold) -> Stop | float:
    """Why the run must end, or when its next step was allowed."""
    while not hold.stopped.done():
        now = time.monotonic()
        if now < hold.lease_end - _MARGIN_SECONDS:
            return now
        await asyncio.wait({hold.stopped}, timeout=0.05)
    return hold.stopped.result()


def _keep_work(real: Method) -> Method:
    async def keep(
        run: Run, prepared: Prepared, result: AgentResult, outcome: Outcome, **named: Any
    ) -> Outcome:
        claim = run.claim
        if not _is_in_process(claim):
            return cast(Outcome, await real(run, prepared, result, outcome, **named))
        commit = hashlib.sha1(claim.claim.encode(), usedforsecurity=False).hexdigest()
        work = Work(commit=commit, claim=claim.claim, home=claim.home)
        return replace(outcome, changes=_CHANGES, work=work, stored_diff=_DIFF)

    return keep


def _publish(ledger: Ledger, pulls: Path, real: Method) -> Method:
    async def publish(
        self: Publisher, claim: Claim, recorder: Recorder, *more: Any, **named: Any
    ) -> Published:
        _note_claim(ledger, claim)
        try:
            if not _is_in_process(claim):
                return cast(Published, await real(self, claim, recorder, *more, **named))
            return await _push(ledger, pulls, self, claim, recorder)
        finally:
            ledger.write("end", task=claim.task.id, claim=claim.claim, how="published")

    return publish


async def _push(
    ledger: Ledger, pulls: Path, publisher: Publisher, claim: Claim, recorder: Recorder
) -> Published:
    branch, task = f"{BRANCH}{claim.task.id}", claim.task.id
    queue = publisher._queue  # pyright: ignore[reportPrivateUsage]
    await until_written(lambda operation: queue.begin_push(claim, _BASE, operation))
    recorder.add(new_event("git", "push_started", {"branch": branch, "claim": claim.claim}))
    await asyncio.sleep(0.01)  # for those who kill
    is_new = _open_pull(pulls / branch.replace("/", "%"))
    ledger.write("pull", task=task, claim=claim.claim, is_new=is_new)
    await asyncio.sleep(0.01)
    url = f"https://chaos.invalid/pulls/{task}"
    number = int.from_bytes(hashlib.sha256(branch.encode()).digest()[:3]) + 1
    return Published(url=url, number=number, branch=branch, updated=not is_new)


def _open_pull(path: Path) -> bool:
    """Whether there was none of this branch: a host opens one for each branch."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
