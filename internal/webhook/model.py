"""
Deliveries and what one attempt told us; and the part of a webhook's body that Python writes.

Pure. A delivery is one event for one URL. It is written to the outbox by the script that ends the
run, together with its exact body, so no event is lost and no body changes between attempts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

# Standard Webhooks advises bodies of at most 20 KB; the rest of the body fits in the difference.
_MAX_RESULT_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """
    A claimed delivery.

    `id` is the event's id, the same over all attempts: the receiver's key against duplicates.
    `token` is this claim's; only with it can the claim be settled. `endpoint` is scheme, host and
    port of `url`, the only part of it that may be logged: paths of webhooks often are secrets.
    """

    id: str
    tenant: str
    task_id: str
    url: str
    event: str
    body: str
    trace_id: str | None
    attempts: int
    """Attempts settled before this one."""
    endpoint: str
    token: str


class Verdict(StrEnum):
    """What an attempt means for its delivery."""

    DELIVERED = "delivered"
    FAILED = "failed"
    """It may be tried again."""
    REFUSED = "refused"
    """It will never be taken: trying again is pointless or unwelcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """
    How one attempt ended.

    `reason` is a short code or `http_<status>`; `detail` a sentence for the operator's log. Neither
    holds anything of the body, the path or the answer.
    """

    verdict: Verdict
    reason: str
    detail: str = ""
    status: int | None = None
    retry_after_seconds: float | None = None
    timed_out: bool = False


def run_members(
    *,
    result: str | None = None,
    failure: Mapping[str, object] | None = None,
    changes: Mapping[str, object] | None = None,
    usage: Mapping[str, object] | None = None,
) -> str:
    """
    The members of a webhook's body that describe a run, as JSON text that begins with a comma.

    The script that ends the run writes the others (type, ids, labels, times) around them; a member
    without a value is left out. `error` is the failure's message. A result over 16 KiB is cut
    between characters, and `result_truncated` says so. "" when nothing is given.
    """
    members: dict[str, object] = {}
    if result is not None:
        members["result"] = _cut(result)
        if members["result"] != result:
            members["result_truncated"] = True
    if failure is not None:
        members["error"] = failure["message"]
        members["failure"] = failure
    if changes is not None:
        members["changes_summary"] = changes
    if usage is not None:
        members["usage"] = usage
    if not members:
        return ""
    text = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
    # An agent can print half a surrogate pair, which UTF-8 cannot carry.
    return "," + text[1:-1].encode("utf-8", "replace").decode()


def _cut(text: str) -> str:
    raw = text.encode("utf-8", "surrogatepass")
    if len(raw) <= _MAX_RESULT_BYTES:
        return text
    return raw[:_MAX_RESULT_BYTES].decode("utf-8", "ignore")
