"""What a request says of a pull request: `config.pr` of a new task, and the body of a create-pr."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from internal.errors import Invalid
from internal.git.remote import check_target
from internal.server.complaints import complain
from internal.server.fields import Body
from internal.task.pullrequest import PullRequestOptions

_MAX_WORDS = 16


def _check_branch(name: str) -> str:
    try:
        return check_target(name) if name else name
    except Invalid as error:
        raise complain("must be the name of a branch") from error


Word = Annotated[str, StringConstraints(max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
Words = Annotated[list[Word], Field(max_length=_MAX_WORDS)]


class PullRequestBody(Body):
    """All members are free; what is left out is chosen by the task, the operator, the host."""

    title: Annotated[str, StringConstraints(max_length=256)] | None = None
    description: Annotated[str, StringConstraints(max_length=65_536)] | None = None
    target_branch: Annotated[str, AfterValidator(_check_branch)] | None = None
    draft: bool | None = None
    labels: Words | None = None
    reviewers: Words | None = None

    def options(self) -> PullRequestOptions:
        """What was chosen; "" chooses nothing."""
        return PullRequestOptions(
            title=(self.title or "").strip() or None,
            description=self.description or None,
            target_branch=self.target_branch or None,
            draft=self.draft,
            labels=None if self.labels is None else tuple(self.labels),
            reviewers=None if self.reviewers is None else tuple(self.reviewers),
        )
