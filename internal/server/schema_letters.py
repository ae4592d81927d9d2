"""The body of a request about many dead letters."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo

from internal.server.complaints import complain
from internal.server.fields import Body, Moment, rules_of
from internal.task.letters import LetterFilter
from internal.task.model import Reason

MOST = 1_000
"""Letters that one call requeues or discards."""
USUAL = 100


def _check_reason(text: str) -> str:
    if text not in list(Reason):
        raise complain(f"must be one of: {', '.join(Reason)}")
    return text


def _check_agent(name: str, info: ValidationInfo) -> str:
    known = rules_of(info).agents
    if name not in known:
        raise complain(f"must be one of: {', '.join(known)}")
    return name


class RequeueLetters(Body):
    """The body of `POST /dead-letters/requeue`; what is left out does not restrict."""

    reason: Annotated[str, AfterValidator(_check_reason)] | None = None
    agent: Annotated[str, AfterValidator(_check_agent)] | None = None
    repo_url: Annotated[str, StringConstraints(min_length=1)] | None = None
    since: Moment | None = None
    limit: Annotated[int, Field(ge=1, le=MOST)] | None = None

    def wanted(self) -> LetterFilter:
        """Which letters."""
        return LetterFilter(
            reason=Reason(self.reason) if self.reason else None,
            agent=self.agent,
            repo_url=self.repo_url,
            since=self.since,
        )
