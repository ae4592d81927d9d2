"""What Gitea and Forgejo took over from GitHub's API, call for call."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from internal.git.model import PullRequestState
from internal.git.provider.api import Api
from internal.git.provider.opening import each_or_all
from internal.git.provider.root import Place


def asked_path(place: Place) -> str:
    """The repository as the task names it. Raises Invalid when that is not `owner/name`."""
    owner, name = place.owner_and_name
    return f"/repos/{quote(owner, safe='')}/{quote(name, safe='')}"


def present_path(full_name: str) -> str:
    """The repository under its present name; what writes is not redirected by every host."""
    return "/repos/" + quote(full_name, safe="/")


async def request_reviewers(api: Api, pull: str, reviewers: Sequence[str]) -> list[str]:
    """Ask people and teams (`owner/team`) of the pull request at *pull*; see `each_or_all`."""

    async def ask(names: Sequence[str]) -> None:
        body: dict[str, object] = {
            "reviewers": [name for name in names if "/" not in name],
            "team_reviewers": [name.partition("/")[2] for name in names if "/" in name],
        }
        reply = await api.call("POST", f"{pull}/requested_reviewers", body=body)
        if not reply.ok:
            raise reply.refusal()

    return await each_or_all(reviewers, ask)


def state_of(state: str, *, is_merged: bool) -> PullRequestState:
    """A merged pull request is closed, too, in the words of these hosts."""
    if is_merged:
        return PullRequestState.MERGED
    return PullRequestState.OPEN if state == "open" else PullRequestState.CLOSED
