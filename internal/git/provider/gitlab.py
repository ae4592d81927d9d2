"""
Merge requests on GitLab, its public site and self-managed ones, REST API version 4.

The project is asked for by its path, subgroups and all, and then named by its number: a path that
was renamed answers reads only. A draft is a prefix of the title, so an update that forgets it would
make the merge request ready. Lines of a description can be commands, so they are escaped.

Source: docs.gitlab.com/api/merge_requests.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote

from internal.egress.client import HttpClient
from internal.errors import Invalid
from internal.git.model import PullRequest, PullRequestState, PullRequestWanted
from internal.git.provider.api import Api, Repository
from internal.git.provider.base import TokenCheck
from internal.git.provider.opening import AlreadyOpen
from internal.git.provider.root import Place
from internal.git.provider.shape import Number, Shape, WebUrl, branch_of
from internal.git.provider.text import fit_text, fit_title, without_commands
from internal.git.provider.tokencheck import ask_user

MAX_TITLE_CHARS = 255
MAX_DESCRIPTION_CHARS = 1_048_576

_DRAFT = "Draft: "
_IS_DRAFT = re.compile(r"\s*(?:draft:|\[draft\]|\(draft\))", re.IGNORECASE)
_STATES = {
    "opened": PullRequestState.OPEN,
    "locked": PullRequestState.OPEN,  # it is being merged just now
    "merged": PullRequestState.MERGED,
}


class _Project(Shape):
    id: int
    default_branch: str | None = None


class _User(Shape):
    id: int
    username: str


class _Token(Shape):
    scopes: tuple[str, ...] = ()


class _Merge(Shape):
    iid: Number
    web_url: WebUrl
    state: str
    title: str
    source_branch: str
    target_branch: str
    source_project_id: int | None = None
    """None when a fork was deleted."""
    reviewers: tuple[_User, ...] = ()


def gitlab_api(http: HttpClient, root: str, token: str | None) -> Api:
    """The API at *root*; every kind of token goes as a bearer's, personal ones too."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return Api(http, root=root, headers=headers, secrets=[token] if token else [])


async def check_gitlab_token(api: Api) -> TokenCheck:
    """Who the token belongs to, and its scopes unless it came by OAuth."""
    check = await ask_user(api, login="username")
    if check.login is None:
        return check
    reply = await api.call("GET", "/personal_access_tokens/self")
    scopes = api.read(reply, _Token).scopes if reply.ok else ()
    return TokenCheck(ok=True, login=check.login, scopes=scopes)


class GitLab:
    """The calls of one project on GitLab."""

    def __init__(self, api: Api, place: Place) -> None:
        self._api = api
        path = f"/projects/{quote(place.path, safe='')}"
        self._project = Repository(api, path, _Project)

    async def get(self, number: int) -> _Merge:
        path = f"{self._project.path}/merge_requests/{number}"
        return await self._api.find(path, _Merge, f"merge request {number}")

    async def default_branch(self) -> str:
        return branch_of(self._api.host, (await self._project.get()).default_branch)

    async def find_open(self, head: str) -> _Merge | None:
        project = await self._project.get()
        merges = await self._api.get(
            f"{await self._path()}/merge_requests",
            list[_Merge],
            {"state": "opened", "source_branch": head, "per_page": "50"},
        )
        ours = [
            merge
            for merge in merges
            if merge.source_branch == head and merge.source_project_id == project.id
        ]
        return min(ours, key=lambda merge: merge.iid, default=None)

    async def create(self, request: PullRequestWanted) -> _Merge:
        body: dict[str, object] = {
            **_texts(request, draft=request.draft),
            "source_branch": request.head,
            "target_branch": request.base,
            # A fork may be set to send its merge requests upstream.
            "target_project_id": (await self._project.get()).id,
        }
        reply = await self._api.call("POST", f"{await self._path()}/merge_requests", body=body)
        if reply.status == 409:
            raise AlreadyOpen
        if reply.status in {400, 422}:
            raise Invalid(reply.refusal().message)
        return self._api.read(reply, _Merge)

    async def update(self, found: _Merge, request: PullRequestWanted) -> _Merge:
        body: dict[str, object] = {**_texts(request, draft=_is_draft(found.title))}
        if found.target_branch != request.base:
            body["target_branch"] = request.base
        return await self._put(found, body)

    async def add_labels(self, found: _Merge, labels: Sequence[str]) -> list[str]:
        fit = [label for label in labels if "," not in label]
        if fit:
            await self._put(found, {"add_labels": ",".join(fit)})
        return [f"{label}: GitLab has no label with a comma" for label in labels if "," in label]

    async def add_reviewers(self, found: _Merge, reviewers: Sequence[str]) -> list[str]:
        known = {name: await self._user(name) for name in reviewers}
        wanted = {user.id: name for name, user in known.items() if user}
        refused = [f"{name}: there is no such user" for name, user in known.items() if not user]
        if wanted:
            # The list is replaced, so who was asked before is named again.
            everybody = dict.fromkeys([user.id for user in found.reviewers] + [*wanted])
            merge = await self._put(found, {"reviewer_ids": [*everybody]})
            asked = {user.id for user in merge.reviewers}
            refused += [
                f"{name}: GitLab did not take this user; the free tier takes one reviewer"
                for number, name in wanted.items()
                if number not in asked
            ]
        return refused

    def shown(self, found: _Merge) -> PullRequest:
        return PullRequest(
            number=found.iid,
            url=found.web_url,
            state=_STATES.get(found.state, PullRequestState.CLOSED),
            branch=found.source_branch,
        )

    async def _put(self, found: _Merge, body: dict[str, object]) -> _Merge:
        path = f"{await self._path()}/merge_requests/{found.iid}"
        reply = await self._api.call("PUT", path, body=body)
        if reply.status in {400, 409, 422}:
            raise Invalid(reply.refusal().message)
        return self._api.read(reply, _Merge)

    async def _user(self, name: str) -> _User | None:
        users = await self._api.get("/users", list[_User], {"username": name})
        wanted = name.casefold()
        return next((user for user in users if user.username.casefold() == wanted), None)

    async def _path(self) -> str:
        return f"/projects/{(await self._project.get()).id}"


def _is_draft(title: str) -> bool:
    return _IS_DRAFT.match(title) is not None


def _texts(request: PullRequestWanted, *, draft: bool) -> dict[str, str]:
    prefix = _DRAFT if draft and not _is_draft(request.title) else ""
    return {
        "title": prefix + fit_title(request.title, MAX_TITLE_CHARS - len(prefix)),
        "description": fit_text(without_commands(request.description), MAX_DESCRIPTION_CHARS),
    }
