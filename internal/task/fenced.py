"""
What the holder of a claim writes: each write is one script, fenced by the claim's random token.

A worker that lost its lease gets `Fenced`, and nothing of it counts. A write whose reply was lost
is sent again: by the name of its operation, or because it says what is and not what is added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from internal.agent.model import NO_USAGE, Usage
from internal.control.gate import Gate, encode_gates
from internal.errors import Conflict, Fenced
from internal.rdb.keys import Keys
from internal.rdb.scripts import Script
from internal.task import scripts
from internal.task.codec import storable
from internal.task.dayspending import DaySpending, decode_spending
from internal.task.event import NewEvent
from internal.task.judgement import Judgement, judge_args
from internal.task.model import Claim, Outcome
from internal.task.outcome import finish_args, finish_pr_args, suspend_args, usage_args
from internal.task.pullrequest import NotPublished, Published
from internal.task.state import State

_HEADS = 32
"""Commits remembered as ours at a task's branch; each publishing that changes it adds one."""


class CancelAccepted(Exception):  # noqa: N818 -- not an error: the run is to end as cancelled
    """A cancel was accepted meanwhile; the run must end with reason `canceled`."""


def ref_of(claim: Claim) -> str:
    """How queue structures name the task of a claim: `<tenant>/<id>`."""
    return f"{claim.task.tenant}/{claim.task.id}"


class FencedWrites:
    """
    Go on, pass gates, tell, spend, end or give back, as the holder of a claim.

    With *replicas*, what begins or ends a run is confirmed by so many of them.
    """

    def __init__(self, redis: Redis, keys: Keys, *, replicas: int) -> None:
        self._redis = redis
        self._keys = keys
        self._replicas = replicas

    async def advance(
        self, claim: Claim, to: State, fields: Mapping[str, str], operation: str
    ) -> None:
        """
        Go on to *to* (running) and record *fields* (base_commit, isolation, key_source).

        `clone_mode` and `clone_seconds` among them count in the histogram of clones.

        With replicas, no agent starts on a claim that a failover forgets, and none of its ends
        finds a task that has not begun. Repeat it with the same *operation* until it answers.

        Raises:
            Fenced: the claim is not the task's any more.
            CancelAccepted: end the run instead.
            Unavailable: written, but not yet on a replica; repeat.
        """
        args: list[str | int] = [ref_of(claim), claim.token, operation, to.value]
        for name, value in fields.items():
            args += [name, storable(value)]
        _judge(await self._run_durable(scripts.TRANSITION, args))

    async def admit(
        self, claim: Claim, candidates: Sequence[Sequence[Gate]], operation: str
    ) -> int | None:
        """
        Pass gates that only this worker knows; the index of the first of *candidates* that is open.

        None when none is: the task was given back, uncharged, and waits at the gate that opens
        first. What is taken is released with the claim. *candidates* are at least one, in order of
        preference. Repeat it with the same *operation* until it answers.

        Raises:
            Fenced: the claim is not the task's any more.
            CancelAccepted: end the run instead.
        """
        args = [ref_of(claim), claim.token, operation, *map(encode_gates, candidates)]
        reply = _judge(await self._run(scripts.ADMIT, args))
        return None if reply[0] == "parked" else int(reply[1])

    async def judge(self, claim: Claim, judgement: Judgement, operation: str) -> None:
        """
        Tell what the attempt has learned of agent programs, endpoints and keys.

        Repeat it with the same *operation* until it answers; once in an attempt and once more at
        its end, before that is reported.

        Raises:
            Fenced: the claim is not the task's any more; nothing was counted.
        """
        args = [ref_of(claim), claim.token, operation, *judge_args(judgement)]
        _judge(await self._run(scripts.JUDGE, args))

    async def append(self, claim: Claim, batch: int, events: Sequence[NewEvent]) -> int:
        """
        Add events to the task's log; returns the number of the last one.

        *batch* counts from 1 within the claim; a repeated batch is added once.
        """
        args: list[str | int] = [ref_of(claim), claim.token, batch, *_triples(events)]
        return int(_judge(await self._run(scripts.APPEND, args))[1])

    async def spend(self, claim: Claim, usage: Usage) -> Sequence[DaySpending]:
        """
        Note what the attempt has used so far, and ask how the day budgets above it stand.

        *usage* is of the whole attempt, so a repeat adds nothing.

        Raises:
            Fenced: the claim is not the task's any more.
        """
        args = [ref_of(claim), claim.token, *usage_args(claim.task, usage)]
        return decode_spending(_judge(await self._run(scripts.SPEND, args))[1:])

    async def finish(
        self, claim: Claim, outcome: Outcome, operation: str, tail: Sequence[NewEvent] = ()
    ) -> State:
        """
        End the run: *tail*, state, final event, record and webhook in one step; returns the state.

        Repeat it with the same *operation* until it answers.

        Raises:
            Fenced: nothing of this run counts.
            CancelAccepted: report it again with reason `canceled`.
            Unavailable: written, but not yet on a replica; repeat.
        """
        args: list[str | bytes | int | float] = [
            *(ref_of(claim), claim.token, operation),
            *finish_args(claim.task, outcome),
            *_triples(tail),
        ]
        reply = await self._run_durable(scripts.FINISH, args)
        return State(_judge(reply)[1])

    async def begin_push(self, claim: Claim, head: str, operation: str) -> None:
        """
        Go on to push the commit *head*: from here on a create-pr cannot be cancelled.

        That the branch may be at *head* is recorded before it is, so whoever repeats this run
        knows our own work at the remote. Repeat it with the same *operation* until it answers.

        Raises:
            Fenced: the claim is not the task's any more.
            CancelAccepted: end the run instead.
            Unavailable: written, but not yet on a replica; repeat.
        """
        heads = [known for known in claim.task.pr_heads if known != head][1 - _HEADS :]
        args = [ref_of(claim), claim.token, operation, "pushing", "pr_heads"]
        _judge(await self._run_durable(scripts.TRANSITION, [*args, " ".join([*heads, head])]))

    async def finish_pr(
        self, claim: Claim, outcome: Published | NotPublished, operation: str
    ) -> State:
        """
        End a create-pr run; returns the state.

        Raises:
            Fenced: nothing of this run counts.
            CancelAccepted: report it again, without a pull request, with reason `canceled`.
            Unavailable: written, but not yet on a replica; repeat.
        """
        args = [ref_of(claim), claim.token, operation, *finish_pr_args(outcome)]
        reply = await self._run_durable(scripts.FINISH_PR, args)
        return State(_judge(reply)[1])

    async def hand_back(
        self,
        claim: Claim,
        operation: str,
        *,
        reason: str,
        delay_seconds: float = 0,
        repeat: bool = False,
        quota: bool = False,
        gate: str = "",
        usage: Usage = NO_USAGE,
    ) -> None:
        """
        Give the task back to the queue it came from; no life is lost.

        It waits at *gate*, if that is shut; else for the delay; with none it stands at the head of
        its list. *repeat* counts it as a retry of the run, *quota* as a wait for a provider's
        quota. What its agent has used, *usage*, is added to the task's total: it was paid for.

        Raises:
            Fenced: the claim is not the task's any more.
            Unavailable: written, but not yet on a replica; repeat.
        """
        args: list[str | int] = [
            ref_of(claim),
            claim.token,
            operation,
            int(delay_seconds * 1000),
            reason,
            "quota" if quota else "repeat" if repeat else "",
            gate,
        ]
        if usage != NO_USAGE:
            args += usage_args(claim.task, usage)
        _judge(await self._run_durable(scripts.HANDBACK, args))

    async def suspend(
        self,
        claim: Claim,
        outcome: Outcome,
        operation: str,
        *,
        ran_seconds: float,
        tail: Sequence[NewEvent] = (),
    ) -> None:
        """
        Pause the run: what it has so far is recorded as `finish` does it, and it is not over.

        *ran_seconds* of its time are used up by this attempt. Repeat it with the same *operation*
        until it answers.

        Raises:
            Fenced: nothing of this attempt counts.
            CancelAccepted: report the end of the run with reason `canceled`.
            Unavailable: written, but not yet on a replica; repeat.
        """
        args: list[str | bytes | int | float] = [
            *(ref_of(claim), claim.token, operation, max(0, int(ran_seconds * 1000))),
            *suspend_args(claim.task, outcome),
            *_triples(tail),
        ]
        reply = await self._run_durable(scripts.SUSPEND, args)
        _judge(reply)

    async def signal(self, claim: Claim, rules: str) -> None:
        """
        Count watchdog signals of this attempt, by *rules* (`control.escalation.encode_rules`).

        Each counts once for an attempt, so it may be repeated until it answers.

        Raises:
            Fenced: nothing of this run counts.
        """
        args = [ref_of(claim), claim.token, rules]
        _judge(await self._run(scripts.SIGNAL, args))

    async def listen(
        self, claim: Claim, *, takes_input: bool, heard: Sequence[str] = ()
    ) -> list[tuple[str, str]]:
        """
        Say whether the agent takes input now; returns what waits for it: ids and texts in order.

        *heard* names those that it has taken up in this claim: they are done once its work is
        recorded, and told again elsewhere if that never happens. Safe to repeat.

        Raises:
            Fenced: the claim is not the task's any more.
        """
        args = [ref_of(claim), claim.token, str(int(takes_input)), " ".join(heard)]
        found = _judge(await self._run(scripts.LISTEN, args))[1:]
        return list(zip(found[::2], found[1::2], strict=True))

    async def _run(self, script: Script, args: Sequence[str | bytes | int | float]) -> Any:
        return await script(self._redis, [self._keys.prefix], args)

    async def _run_durable(self, script: Script, args: Sequence[str | bytes | int | float]) -> Any:
        return await script.durable(self._redis, [self._keys.prefix], args, replicas=self._replicas)


def _judge(reply: list[Any]) -> list[Any]:
    word = reply[0]
    if word == "fenced":
        raise Fenced("The claim is not the task's any more.")
    if word == "cancelled":
        raise CancelAccepted
    if word == "illegal":
        raise Conflict(f"The task is {reply[1]}; this step is not allowed there.")
    return reply


def _triples(events: Sequence[NewEvent]) -> list[str]:
    return [part for event in events for part in (event.type, event.event, event.data)]
