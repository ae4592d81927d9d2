"""
Third step of a run: what the agent left is recorded, under the claim.

Snapshot, diff and session; nothing of it counts before the report of the run is in Redis, and what
is never reported is swept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace

from internal.agent.model import AgentResult
from internal.fault import fault_point
from internal.redact import spellings
from internal.task import diffstore
from internal.task.event import new_event
from internal.task.model import Outcome, Work
from internal.worker.prepare import Prepared
from internal.worker.run import Run
from internal.workspace.manager import Workspaces


async def keep_work(
    run: Run,
    prepared: Prepared,
    result: AgentResult,
    outcome: Outcome,
    *,
    workspaces: Workspaces,
    hidden: Sequence[str],
) -> Outcome:
    """
    *outcome* with the work; where the diff holds what is *hidden*, however it is spelled, its text
    is left out.

    Raises:
        GitFailed, DiskFull, OSError: it cannot be read or kept.
    """
    claim, task, tree = run.claim, run.claim.task, prepared.workspace.tree
    snapshot = await prepared.repo.snapshot(tree, base=prepared.base, claim=claim.claim)
    fault_point("snapshot_made")
    if snapshot.embedded:
        _warn(run, "embedded_repositories", paths=list(snapshot.embedded[:20]))
    if not snapshot.complete:
        _warn(run, "files_not_recorded")
    diff = await prepared.repo.diff(prepared.base, snapshot.commit)
    withhold = await asyncio.to_thread(_holds, diff.patch, hidden)
    if withhold:
        _warn(run, "secret_in_diff")
    packed, truncated = await asyncio.to_thread(diffstore.pack, diff, withhold=withhold)
    await workspaces.keep(task.tenant, task.id, claim.claim)
    fault_point("work_kept")
    work = Work(
        commit=snapshot.commit,
        claim=claim.claim,
        home=claim.home,
        truncated=truncated,
        session_id=result.session_id,
    )
    return replace(outcome, changes=diff.changes, work=work, stored_diff=packed)


def _holds(patch: bytes, hidden: Iterable[str]) -> bool:
    return any(form.encode() in patch for secret in hidden for form in spellings(secret))


def _warn(run: Run, reason: str, **details: object) -> None:
    run.recorder.add(new_event("system", "warning", {"reason": reason, **details}))
