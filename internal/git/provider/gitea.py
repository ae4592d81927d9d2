"""
Pull requests on Gitea and Forgejo (Codeberg), REST API version 1.

Their list has no filter for a branch, so open pull requests are paged through, the latest first.
Labels have numbers, which belong to the repository or its organisation. A draft is a prefix of the
title.

Source: Gitea's own description, `/swagger.v1.json` on every instance.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

from internal.egress.client import HttpClient
from internal.errors import Invalid
from internal.git.model import PullRequest, PullRequestWanted
from internal.git.provider.api import Api, Repository
from internal.git.provider.base import ProviderError, TokenCheck
from internal.git.provider.githublike import (
    asked_path,
    present_path,
    request_reviewers,
    state_of,
)
from internal.git.provider.opening import AlreadyOpen
from internal.git.provider.root import Place
from internal.git.provider.shape import Number, Shape, WebUrl, branch_of
from internal.git.provider.text import fit_text, fit_title
from internal.git.provider.tokencheck import ask_user

MAX_TITLE_CHARS = 255
MAX_DESCRIPTION_CHARS = 65_536

_DRAFT = "WIP: "
_IS_DRAFT = re.compile(r"\s*(?:wip:|\[wip\])", re.IGNORECASE)
_PAGE = 50  # what an instance answers at most, unless its operator raised it
_MAX_PAGES = 40

Item = TypeVar("Item", bound=Shape)


class _Repository(Shape):
    id: int
    full_name: str
    default_branch: str | None = None


class _Branch(Shape):
    ref: str
    repo_id: int = 0


class _Pull(Shape):
    number: Number
    html_url: WebUrl
    state: str
    merged: bool = False
    title: str
    head: _Branch
    base: _Branch


class _Label(Shape):
    id: int
    name: str


def gitea_api(http: HttpClient, root: str, token: str | None) -> Api:
    """The API at *root*; the scheme `token` is known to all versions."""
    headers = {"Authorization": f"token {token}"} if token else {}
    return Api(http, root=root, headers=headers, secrets=[token] if token else [])


async def check_gitea_token(api: Api) -> TokenCheck:
    """Who the token belongs to; scopes are not told."""
    return await ask_user(api, login="login")


class Gitea:
    """The calls of one repository on Gitea or Forgejo."""

    def __init__(self, api: Api, place: Place) -> None:
        """Raises Invalid when the repository's path is not `owner/name`."""
        self._api = api
        self._repository = Repository(api, asked_path(place), _Repository)

    async def get(self, number: int) -> _Pull:
        path = f"{self._repository.path}/pulls/{number}"
        return await self._api.find(path, _Pull, f"pull request {number}")

    async def default_branch(self) -> str:
        return branch_of(self._api.host, (await self._repository.get()).default_branch)

    async def find_open(self, head: str) -> _Pull | None:
        repository = await self._repository.get()
        query = {"state": "open", "sort": "recentupdate"}
        oldest: _Pull | None = None
        async for pull in self._every(f"{await self._path()}/pulls", list[_Pull], query):
            ours = pull.head.ref == head and pull.head.repo_id == repository.id
            if ours and (oldest is None or pull.number < oldest.number):
                oldest = pull
        return oldest

    async def create(self, request: PullRequestWanted) -> _Pull:
        body: dict[str, object] = {
            **_texts(request, draft=request.draft),
            "head": request.head,
            "base": request.base,
        }
        reply = await self._api.call("POST", f"{await self._path()}/pulls", body=body)
        if reply.status == 409:
            raise AlreadyOpen
        # The repository was read just now, so what is not found is one of the branches.
        if reply.status in {400, 404, 422}:
            raise Invalid(reply.refusal().message)
        return self._api.read(reply, _Pull)

    async def update(self, found: _Pull, request: PullRequestWanted) -> _Pull:
        body: dict[str, object] = {**_texts(request, draft=_is_draft(found.title))}
        if found.base.ref != request.base:
            body["base"] = request.base
        path = f"{await self._path()}/pulls/{found.number}"
        reply = await self._api.call("PATCH", path, body=body)
        if reply.status in {400, 404, 409, 422}:
            raise Invalid(reply.refusal().message)
        return self._api.read(reply, _Pull)

    async def add_labels(self, found: _Pull, labels: Sequence[str]) -> list[str]:
        numbers = await self._labels()
        known = [numbers[label] for label in labels if label in numbers]
        if known:
            path = f"{await self._path()}/issues/{found.number}/labels"
            reply = await self._api.call("POST", path, body={"labels": known})
            if not reply.ok:
                raise reply.refusal()
        return [f"{label}: there is no such label" for label in labels if label not in numbers]

    async def add_reviewers(self, found: _Pull, reviewers: Sequence[str]) -> list[str]:
        pull = f"{await self._path()}/pulls/{found.number}"
        return await request_reviewers(self._api, pull, reviewers)

    def shown(self, found: _Pull) -> PullRequest:
        return PullRequest(
            number=found.number,
            url=found.html_url,
            state=state_of(found.state, is_merged=found.merged),
            branch=found.head.ref,
        )

    async def _labels(self) -> dict[str, int]:
        """Names to numbers; the repository's own go before those of its organisation."""
        path = await self._path()
        owner = path.split("/")[2]
        found: list[_Label] = []
        try:
            found += [one async for one in self._every(f"/orgs/{owner}/labels", list[_Label], {})]
        except ProviderError as error:
            if error.retryable:
                raise  # else the owner is a user, or the token may not read organisations
        found += [one async for one in self._every(f"{path}/labels", list[_Label], {})]
        return {label.name: label.id for label in found}

    async def _every(
        self, path: str, shape: type[list[Item]], query: dict[str, str]
    ) -> AsyncIterator[Item]:
        """All items of a list."""
        seen = 0
        for page in range(1, _MAX_PAGES + 1):
            paged = {**query, "page": str(page), "limit": str(_PAGE)}
            reply = await self._api.call("GET", path, query=paged)
            items = self._api.read(reply, shape)
            for item in items:
                yield item
            seen += len(items)
            # An instance may answer with fewer than asked for although there are more.
            if not items or str(seen) == reply.headers.get("x-total-count"):
                return
        raise ProviderError(f"{self._api.host} lists more than {seen} of {path}")

    async def _path(self) -> str:
        return present_path((await self._repository.get()).full_name)


def _is_draft(title: str) -> bool:
    return _IS_DRAFT.match(title) is not None


def _texts(request: PullRequestWanted, *, draft: bool) -> dict[str, str]:
    prefix = _DRAFT if draft and not _is_draft(request.title) else ""
    return {
        "title": prefix + fit_title(request.title, MAX_TITLE_CHARS - len(prefix)),
        "body": fit_text(request.description, MAX_DESCRIPTION_CHARS),
    }
