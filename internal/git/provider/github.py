"""
Pull requests on GitHub and GitHub Enterprise, REST API version 2022-11-28.

The API unique key of a pull request is head and base together, so one of our branch with another
base is looked for by the branch alone. The filter `head` needs the owner, and an owner that was
renamed finds nothing: the canonical name is asked for first.

Source: docs.github.com/en/rest/pulls and GitHub's OpenAPI description.
"""

from __future__ import annotations

from collections.abc import Sequence

from internal.egress.client import HttpClient
from internal.errors import Invalid
from internal.git.model import PullRequest, PullRequestWanted
from internal.git.provider.api import Api, Repository
from internal.git.provider.base import TokenCheck
from internal.git.provider.githublike import (
    asked_path,
    present_path,
    request_reviewers,
    state_of,
)
from internal.git.provider.opening import AlreadyOpen, NoDrafts, each_or_all
from internal.git.provider.root import Place
from internal.git.provider.shape import Number, Shape, WebUrl
from internal.git.provider.text import fit_text, fit_title
from internal.git.provider.tokencheck import ask_user

MAX_TITLE_CHARS = 256
MAX_DESCRIPTION_CHARS = 65_536


class _Repository(Shape):
    id: int
    full_name: str
    default_branch: str


class _BranchRepository(Shape):
    id: int


class _Branch(Shape):
    ref: str
    repo: _BranchRepository | None = None
    """None when a fork was deleted."""


class _Pull(Shape):
    number: Number
    html_url: WebUrl
    state: str
    merged_at: str | None = None
    head: _Branch
    base: _Branch


def github_api(http: HttpClient, root: str, token: str | None) -> Api:
    """The API at *root* with GitHub's headers."""
    headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return Api(http, root=root, headers=headers, secrets=[token] if token else [])


async def check_github_token(api: Api) -> TokenCheck:
    """
    Who the token belongs to, with the scopes of a classic one.

    A token of an app (`ghs_`) is no user's: it may not ask, and is valid all the same.
    """
    return await ask_user(api, login="login", scopes_header="x-oauth-scopes")


class GitHub:
    """The calls of one repository on GitHub."""

    def __init__(self, api: Api, place: Place) -> None:
        """Raises Invalid when the repository's path is not `owner/name`."""
        self._api = api
        self._repository = Repository(api, asked_path(place), _Repository)

    async def get(self, number: int) -> _Pull:
        path = f"{self._repository.path}/pulls/{number}"
        return await self._api.find(path, _Pull, f"pull request {number}")

    async def default_branch(self) -> str:
        return (await self._repository.get()).default_branch

    async def find_open(self, head: str) -> _Pull | None:
        repository = await self._repository.get()
        owner = repository.full_name.partition("/")[0]
        pulls = await self._api.get(
            f"{await self._path()}/pulls",
            list[_Pull],
            {"state": "open", "head": f"{owner}:{head}", "per_page": "50"},
        )
        ours = [
            pull
            for pull in pulls
            if pull.head.ref == head and pull.head.repo and pull.head.repo.id == repository.id
        ]
        return min(ours, key=lambda pull: pull.number, default=None)

    async def create(self, request: PullRequestWanted) -> _Pull:
        body: dict[str, object] = {
            **_texts(request),
            "head": request.head,
            "base": request.base,
            "draft": request.draft,
        }
        reply = await self._api.call("POST", f"{await self._path()}/pulls", body=body)
        if reply.status == 422:
            words = reply.words.lower()
            if "already exists" in words:
                raise AlreadyOpen
            if request.draft and "draft" in words:
                raise NoDrafts
            raise Invalid(reply.refusal().message)
        return self._api.read(reply, _Pull)

    async def update(self, found: _Pull, request: PullRequestWanted) -> _Pull:
        body: dict[str, object] = {**_texts(request)}
        if found.base.ref != request.base:
            body["base"] = request.base
        path = f"{await self._path()}/pulls/{found.number}"
        reply = await self._api.call("PATCH", path, body=body)
        if reply.status == 422:
            raise Invalid(reply.refusal().message)
        return self._api.read(reply, _Pull)

    async def add_labels(self, found: _Pull, labels: Sequence[str]) -> list[str]:
        async def ask(names: Sequence[str]) -> None:
            path = f"{await self._path()}/issues/{found.number}/labels"
            reply = await self._api.call("POST", path, body={"labels": list(names)})
            if not reply.ok:
                raise reply.refusal()

        return await each_or_all(labels, ask)

    async def add_reviewers(self, found: _Pull, reviewers: Sequence[str]) -> list[str]:
        pull = f"{await self._path()}/pulls/{found.number}"
        return await request_reviewers(self._api, pull, reviewers)

    def shown(self, found: _Pull) -> PullRequest:
        return PullRequest(
            number=found.number,
            url=found.html_url,
            state=state_of(found.state, is_merged=bool(found.merged_at)),
            branch=found.head.ref,
        )

    async def _path(self) -> str:
        return present_path((await self._repository.get()).full_name)


def _texts(request: PullRequestWanted) -> dict[str, str]:
    return {
        "title": fit_title(request.title, MAX_TITLE_CHARS),
        "body": fit_text(request.description, MAX_DESCRIPTION_CHARS),
    }
