"""
The states of a task and the one table of what may follow what.

The Lua scripts get this table from here (`as_lua`), so there is no second copy. A drawing is in
docs/state-machine.md.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a task is in its life."""

    PENDING = "pending"
    """Queued for its first iteration."""
    CLONING = "cloning"
    """Claimed; the workspace is being prepared (also for a follow-up)."""
    RUNNING = "running"
    """The agent's process runs."""
    COMPLETED = "completed"
    AWAITING_INSTRUCTION = "awaiting_instruction"
    """A follow-up is queued."""
    CREATING_PR = "creating_pr"
    """A pull request is queued or being made, in a lane of its own."""
    PR_CREATED = "pr_created"
    PAUSED = "paused"
    FAILED = "failed"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.PENDING: frozenset({State.CLONING, State.FAILED, State.PAUSED}),
    State.CLONING: frozenset(
        {State.RUNNING, State.FAILED, State.PENDING, State.AWAITING_INSTRUCTION, State.PAUSED}
    ),
    State.RUNNING: frozenset(
        {State.COMPLETED, State.FAILED, State.PENDING, State.AWAITING_INSTRUCTION, State.PAUSED}
    ),
    State.COMPLETED: frozenset({State.AWAITING_INSTRUCTION, State.CREATING_PR}),
    State.AWAITING_INSTRUCTION: frozenset(
        {State.CLONING, State.FAILED, State.PAUSED, State.COMPLETED, State.PR_CREATED}
    ),
    State.CREATING_PR: frozenset({State.PR_CREATED, State.COMPLETED, State.FAILED}),
    State.PR_CREATED: frozenset({State.AWAITING_INSTRUCTION, State.CREATING_PR}),
    State.PAUSED: frozenset(
        {
            State.PENDING,
            State.AWAITING_INSTRUCTION,
            State.COMPLETED,
            State.PR_CREATED,
            State.FAILED,
        }
    ),
    State.FAILED: frozenset({State.PENDING, State.AWAITING_INSTRUCTION, State.CREATING_PR}),
}

FINISHED = frozenset({State.COMPLETED, State.PR_CREATED, State.FAILED})
"""Nothing happens to such a task by itself; its keys have a TTL."""

CLAIMED = frozenset({State.CLONING, State.RUNNING})
"""States that only a worker's claim holds (a claimed create-pr stays `creating_pr`)."""

INSTRUCTABLE = FINISHED
RETRYABLE = frozenset({State.FAILED})
CANCELLABLE = frozenset(
    {
        State.PENDING,
        State.CLONING,
        State.RUNNING,
        State.AWAITING_INSTRUCTION,
        State.CREATING_PR,
        State.PAUSED,
    }
)
DELETABLE = FINISHED


def may_follow(before: State, after: State) -> bool:
    """Whether the table allows *after* directly behind *before*."""
    return after in TRANSITIONS[before]


def as_lua() -> str:
    """
    The table as Lua source for the scripts' library: each legal step in `NEXT`, as ` from>to `, and
    `FINISHED[state]`. One string, because a table would be built anew with every call.
    """
    steps = " ".join(
        f"{before}>{after}"
        for before, followers in TRANSITIONS.items()
        for after in sorted(followers)
    )
    done = ", ".join(f"{state} = 1" for state in sorted(FINISHED))
    return f"local NEXT = ' {steps} '\nlocal FINISHED = {{{done}}}\n"
