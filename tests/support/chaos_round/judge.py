"""
The verdict: Redis' final state held against what was kept outside of it.

    lost      an accepted task that is not finished, or a run without its final event
    doubled   a run with two final events, a key that made two tasks, a step of one claim behind the
              beginning of the next, a recorded result of another claim than the last
    zombie    an event that a claim wrote into the log behind the beginning of the next
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from internal.task.event import FINAL_EVENTS
from internal.task.state import FINISHED, State
from tests.support.chaos_round.book import Accepted, Book
from tests.support.chaos_round.ledger import Line
from tests.support.chaos_round.plan import LEASE_SECONDS
from tests.support.world import World

_BEGINNINGS = {State.AWAITING_INSTRUCTION, State.PENDING, State.CREATING_PR}
_OUTAGE_SECONDS = 3.0
"""With the pauses of those who ask again, a silence after which nothing is reaped for a lease."""
_TOLD = {
    ("result", "task_completed"),
    ("system", "task_failed"),
    ("git", "pr_created"),
}
"""The events that a `callback_url` gets."""


@dataclass
class Verdict:
    """What is wrong, in words, and what was counted."""

    lost: list[str] = field(default_factory=list[str])
    doubled: list[str] = field(default_factory=list[str])
    zombies: list[str] = field(default_factory=list[str])
    wrong: list[str] = field(default_factory=list[str])
    """Everything else that must not be."""
    pulls: Counter[str] = field(default_factory=Counter[str])
    """Pull requests opened, by task."""
    outcomes: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])
    """By kind of task: tasks, runs, attempts, lives lost, and how runs ended."""
    recoveries: list[float] = field(default_factory=list[float])
    """Seconds from a worker's death to the next claim of its tasks."""
    recoveries_away: list[float] = field(default_factory=list[float])
    """The same where Redis was away for long: nothing is reaped for a lease after a silence."""
    recoveries_alone: list[float] = field(default_factory=list[float])
    """The same of tasks that lost two workers, and wait for one of their own."""


def judge(world: World, ledger: Sequence[Line], book: Book) -> Verdict:
    """Look at everything once."""
    verdict = Verdict(doubled=list(book.doubled), wrong=list(book.wrong))
    claims = _claims(ledger)
    strangers = set(world.tasks) - {task.ref for task in book.accepted.values()}
    verdict.doubled += [f"{ref} was made, but its client has another" for ref in sorted(strangers)]
    for task in book.accepted.values():
        if task.ref not in world.tasks:
            verdict.lost.append(f"{task.ref} is not there")
            continue
        _judge_task(world, task, claims.get(task.id, []), verdict)
    for line in ledger:
        if line.kind == "pull" and line.members["is_new"]:
            verdict.pulls[line.task] += 1
    _judge_steps(ledger, claims, verdict)
    _judge_keys(ledger, book, verdict)
    _measure_recovery(ledger, claims, verdict)
    return verdict


def _claims(ledger: Sequence[Line]) -> Mapping[str, list[Line]]:
    """
    The claims of each task as Redis gave them: by the run's first claim, then by attempt.

    Not by when they were noted: a worker may have been stopped with the answer on its way.
    """
    found: defaultdict[str, list[Line]] = defaultdict(list)
    for line in ledger:
        if line.kind == "claim":
            found[line.task].append(line)
    for lines in found.values():
        lines.sort(key=lambda line: (line.members["run"], line.members["attempt"]))
    return found


def _judge_task(world: World, task: Accepted, claims: Sequence[Line], verdict: Verdict) -> None:
    events = world.events(task.ref)
    finals = [event for event in events if _name(event) in FINAL_EVENTS]
    begun = [event for event in events if _begins(event)]
    runs = 1 + len(begun)
    status = State(world.document(task.ref)["status"])
    if status not in FINISHED:
        verdict.lost.append(f"{task.ref} is {status}")
    elif len(finals) < runs:
        verdict.lost.append(f"{task.ref} had {runs} runs and {len(finals)} ends")
    if len(finals) > runs:
        verdict.doubled.append(f"{task.ref} had {runs} runs and {len(finals)} ends")
    asked = sum(event["data"]["to"] != State.CREATING_PR for event in begun)
    if asked < task.runs:
        verdict.lost.append(f"{task.ref} began {asked} of {task.runs} accepted follow-ups")
    if asked > task.runs + task.unknown:
        verdict.doubled.append(f"{task.ref} began {asked} follow-ups, asked for {task.runs}")
    _judge_log(task, events, verdict)
    _judge_viewers(task, events, verdict)
    _count(verdict, task, runs, claims, finals)


def _judge_log(task: Accepted, events: Sequence[Mapping[str, Any]], verdict: Verdict) -> None:
    """The events of a claim lie together, between two states or the claims beside it."""
    over: set[str] = set()
    current, state = "", State.PENDING
    for event in events:
        data = event["data"]
        claim = str(data.get("claim", ""))
        if _name(event) == ("system", "state"):
            state = State(data["to"])
            if state is not State.RUNNING:
                over, last, current = over | {current}, current, ""
                if state is State.COMPLETED:
                    _judge_result(task, events, event["id"], last, verdict)
        elif not claim or claim == current:
            continue
        elif claim in over or (current and state is not State.CREATING_PR):
            verdict.zombies.append(f"{task.ref} event {event['id']}: {claim} amid {current}")
        else:
            over, current = over | {current}, claim


def _judge_result(
    task: Accepted,
    events: Sequence[Mapping[str, Any]],
    number: int,
    claim: str,
    verdict: Verdict,
) -> None:
    """The result behind event *number* is that of the claim before it."""
    final = events[number]  # numbers begin with 1
    if _name(final) != ("result", "task_completed") or task.plan.is_real:
        return
    if final["data"]["result"] != claim:
        verdict.doubled.append(f"{task.ref} has a result of {final['data']['result']}, not {claim}")


def _judge_viewers(task: Accepted, events: Sequence[Mapping[str, Any]], verdict: Verdict) -> None:
    for seen in task.viewed:
        told = [json.loads(text) for _, text in seen]
        if told != list(events[: len(told)]):
            verdict.wrong.append(f"{task.ref}: a viewer was sent something else than the log")
        elif not told or _name(told[-1]) not in FINAL_EVENTS:
            verdict.wrong.append(f"{task.ref}: a viewer was not sent the end")


def _judge_steps(
    ledger: Sequence[Line], claims: Mapping[str, Sequence[Line]], verdict: Verdict
) -> None:
    """No step of a claim is done once a later claim of the task has begun."""
    next_at: dict[str, float] = {}
    for lines in claims.values():
        soonest = float("inf")
        for line in reversed(lines):
            next_at[line.claim] = soonest
            soonest = min(soonest, line.at)
    for line in ledger:
        if line.kind == "step" and line.at >= next_at[line.claim]:
            late = line.at - next_at[line.claim]
            verdict.doubled.append(f"{line.task}: {line.claim} worked {late:.3f} s too long")


def _judge_keys(ledger: Sequence[Line], book: Book, verdict: Verdict) -> None:
    """Of the tasks with one deduplication key, none works once a later one has begun to."""
    keys = {
        task.id: (task.plan.tenant, task.plan.dedup[0])
        for task in book.accepted.values()
        if task.plan.dedup is not None
    }
    newest: dict[tuple[str, str], str] = {}
    past: set[str] = set()
    for line in ledger:
        if line.kind != "step" or line.task not in keys:
            continue
        key = keys[line.task]
        if line.claim in past:
            verdict.doubled.append(f"{line.task} worked although another one has its key")
        elif newest.get(key) != line.claim:
            past.add(newest.get(key, ""))
            newest[key] = line.claim


def _measure_recovery(
    ledger: Sequence[Line], claims: Mapping[str, Sequence[Line]], verdict: Verdict
) -> None:
    """From each kill to the next claim of what that process had claimed and not ended."""
    running: defaultdict[int, dict[str, Line]] = defaultdict(dict)
    outages = _outages(ledger)
    for line in ledger:
        if line.kind == "claim":
            running[line.pid][line.claim] = line
        elif line.kind == "end":
            running[line.pid].pop(line.claim, None)
        elif line.kind == "kill":
            for claim in running.pop(line.members["process"], {}).values():
                _recovered(claim, line.at, claims[claim.task], outages, verdict)


def _recovered(
    claim: Line,
    killed_at: float,
    claims: Sequence[Line],
    outages: Sequence[tuple[float, float]],
    verdict: Verdict,
) -> None:
    following = claims[claims.index(claim) + 1 :][:1]
    if not following or _attempt(following[0]) != (claim.members["run"], _attempt(claim)[1] + 1):
        return  # it had ended just before, or was cancelled, or that was its last life
    kept, until = verdict.recoveries, following[0].at
    if following[0].members["alone"]:
        kept = verdict.recoveries_alone
    elif any(gone < until and back > killed_at for gone, back in outages):
        kept = verdict.recoveries_away
    kept.append(until - killed_at)


def _outages(ledger: Sequence[Line]) -> list[tuple[float, float]]:
    """When Redis was away for long, and for one lease behind that."""
    gone = [line.at for line in ledger if line.kind == "redis gone"]
    back = [line.at for line in ledger if line.kind == "redis back"]
    return [
        (begin, end + LEASE_SECONDS)
        for begin, end in zip(gone, back, strict=False)
        if end - begin > _OUTAGE_SECONDS
    ]


def _attempt(claim: Line) -> tuple[str, int]:
    return claim.members["run"], claim.members["attempt"]


def _count(
    verdict: Verdict,
    task: Accepted,
    runs: int,
    claims: Sequence[Line],
    finals: Sequence[Mapping[str, Any]],
) -> None:
    counts = verdict.outcomes.setdefault(task.plan.kind, Counter())
    counts["tasks"] += 1
    counts["runs"] += runs
    counts["claims"] += len(claims)
    for final in finals:
        name = final["event"].removeprefix("task_")
        if name == "failed":
            name = f"failed: {final['data']['failure']['reason']}"
        counts[name] += 1


def expected_hooks(world: World, book: Book) -> set[str]:
    """The ids of every webhook that some event of these tasks must have sent."""
    return {
        f"evt_{task.id}_{event['id']}"
        for task in book.accepted.values()
        if task.plan.has_callback and task.ref in world.tasks
        for event in world.events(task.ref)
        if _name(event) in _TOLD
    }


def _name(event: Mapping[str, Any]) -> tuple[str, str]:
    return event["type"], event["event"]


def _begins(event: Mapping[str, Any]) -> bool:
    """Whether a finished task was queued again."""
    if _name(event) != ("system", "state"):
        return False
    data = event["data"]
    return State(data["from"]) in FINISHED and State(data["to"]) in _BEGINNINGS
