"""
Fault points: named places at which a process can be told to die, for tests and drills.

`FAULT=after:<name>` in the environment of a worker or server ends it with status 137 the first time
it passes that point, as `kill -9` would: nothing is flushed, closed or handed back. What has to be
true afterwards is docs/reliability.md. Each name stands in the code exactly once, behind the step
it names. Unset, a point costs one comparison.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

EXIT_STATUS = 137
"""What a shell reports of a process that SIGKILL ended."""

_FORM = "after:"

POINTS: Mapping[str, str] = {
    # a run of an agent, in order
    "claimed": "the task is leased to this worker",
    "secrets_opened": "the run's secrets are decrypted",
    "admitted": "what guards the run's key and endpoint has let it in",
    "mirror_fetched": "the repository's mirror has the commits of the remote",
    "workspace_ready": "the claim has its files",
    "running_written": "the task is `running`",
    "agent_started": "the agent's process runs",
    "events_appended": "the first batch of events is in the log",
    "agent_ended": "the agent and all its processes are gone",
    "judged": "breakers and quotas know how it went",
    "snapshot_made": "the tree is a commit in the trusted git directory",
    "work_kept": "diff and session are ready to be recorded",
    "report_begun": "every event is in the log, nothing of the end is",
    "finished": "end, record and webhooks of a run are written",
    "suspended": "a pause is written, with the work so far",
    "handed_back": "the task is given back to the queue",
    "claim_cleaned": "what a run that does not count left on disk is removed",
    # a create-pr, in order
    "commit_made": "the commit to publish exists on this home",
    "push_begun": "the step behind which no cancel is taken is written",
    "token_opened": "the token for the push is decrypted",
    "pushed": "the branch is at the host",
    "pr_opened": "the pull request is at the host",
    "pr_finished": "the end of the create-pr is written",
    # a server
    "task_stored": "a submitted task is queued, its client has no answer",
    "cancel_stored": "a cancel is written, its client has no answer",
    "pause_stored": "a pause is written, its client has no answer",
    "input_taken": "a payload of the input list is leased",
    "input_settled": "a payload of the input list is answered and gone",
    # every process
    "delivery_claimed": "a webhook is leased to this process",
    "delivery_sent": "a webhook was sent, its result is not recorded",
    "lease_renewed": "a heartbeat renewed a lease",
    "spent": "what a run has used so far is written",
    "reaped": "tasks of a lost worker are back in the queue",
    "op_taken": "a question to this home is out of its list",
    "op_answered": "a question to this home is answered",
}
"""Name -> what has just been done there."""

_armed: str | None = None


def arm(text: str) -> str | None:
    """
    Take what the environment says in `FAULT`; the point that is armed now, None without one.

    Raises:
        ValueError: it is not `after:` and a name of `POINTS`.
    """
    global _armed  # noqa: PLW0603 -- one process dies once
    name = text.removeprefix(_FORM)
    if text and (name == text or name not in POINTS):
        raise ValueError(f"{text!r} is not {_FORM} and one of {', '.join(POINTS)}")
    _armed = name or None
    return _armed


def fault_point(name: str) -> None:
    """What *name* says has just been done; ends the process here when it was told to."""
    if _armed is not None and _armed == name:
        os.write(2, f"FAULT: ended {_FORM}{name}\n".encode())
        os._exit(EXIT_STATUS)
