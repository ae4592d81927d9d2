"""From what CLAIM answers to the permit that a worker runs by."""

from __future__ import annotations

from internal.task.codec import Hash, decode_options, decode_task
from internal.task.model import Claim


def decode_claim(fields: Hash, *, home: str, alone: bool) -> Claim:
    """What CLAIM gave a worker of *home*: the whole hash of the task, as it is now."""
    return Claim(
        task=decode_task(fields),
        token=fields["token"],
        claim=fields["claim"],
        worker=fields["worker"],
        home=home,
        attempt=int(fields["attempt"]),
        access_token=fields.get("access_token"),
        ai_api_key=fields.get("ai_api_key"),
        mcp_servers=fields.get("mcp_servers"),
        alone=alone,
        publish=fields.get("kind") == "publish",
        pr_options=decode_options(fields.get("pr_options")),
        traceparent=fields.get("traceparent"),
        queued_seconds=_queued_seconds(fields),
        lost_work=fields.get("lost_work") == "1",
        ran_seconds=int(fields.get("ran", 0)) / 1000,
    )


def _queued_seconds(fields: Hash) -> float | None:
    """Both times are Redis', so clocks that differ do no harm."""
    if fields["attempt"] != "1":
        return None
    return (int(fields["started_at"]) - int(fields["since"])) / 1000
