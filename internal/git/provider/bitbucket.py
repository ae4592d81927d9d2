"""
Pull requests on Bitbucket Cloud, REST API version 2.0. Bitbucket Data Center speaks another one.

To open a second one between the same branches updates the first, so the host itself keeps them
apart. An update replaces the reviewers, and needs the title: whatever it shall not change is read
before and sent along. There are no labels, and users are named by account id or UUID only.

Source: developer.atlassian.com/cloud/bitbucket/rest/api-group-pullrequests.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from urllib.parse import quote

from internal.egress.client import HttpClient
from internal.errors import Invalid
from internal.git.model import PullRequest, PullRequestState, PullRequestWanted
from internal.git.provider.api import Api, Reply, Repository
from internal.git.provider.base import TokenCheck
from internal.git.provider.opening import each_or_all
from internal.git.provider.root import Place
from internal.git.provider.shape import Number, Shape, WebUrl, branch_of
from internal.git.provider.text import fit_text, fit_title
from internal.git.provider.tokencheck import ask_user

MAX_TITLE_CHARS = 255
MAX_DESCRIPTION_CHARS = 32_768

_UUID = re.compile(r"\{[0-9a-fA-F-]{32,36}\}")
_ACCOUNT = re.compile(r"[0-9a-f]{24}|[0-9]+:[0-9a-f-]{36}")
_STATES = {"OPEN": PullRequestState.OPEN, "MERGED": PullRequestState.MERGED}


class _Named(Shape):
    name: str


class _Link(Shape):
    href: WebUrl


class _Links(Shape):
    html: _Link


class _Repository(Shape):
    uuid: str
    full_name: str
    mainbranch: _Named | None = None


class _Source(Shape):
    uuid: str


class _End(Shape):
    branch: _Named
    repository: _Source | None = None
    """None when a fork was deleted."""


class _User(Shape):
    uuid: str
    account_id: str | None = None


class _Pull(Shape):
    id: Number
    title: str
    state: str
    links: _Links
    source: _End
    destination: _End
    reviewers: tuple[_User, ...] = ()


class _Page(Shape):
    values: list[_Pull]


def bitbucket_api(http: HttpClient, root: str, token: str | None) -> Api:
    """The API at *root*; a token with a colon is `user:password`, any other an access token."""
    headers: dict[str, str] = {}
    if token and ":" in token:
        encoded = base64.b64encode(token.encode()).decode("ascii")
        headers["Authorization"] = f"Basic {encoded}"
    elif token:
        headers["Authorization"] = f"Bearer {token}"
    secrets = [token, token.partition(":")[2]] if token else []
    return Api(http, root=root, headers=headers, secrets=secrets)


async def check_bitbucket_token(api: Api) -> TokenCheck:
    """Who the token belongs to, with its scopes; one of a repository may not read its user."""
    return await ask_user(api, login="display_name", scopes_header="x-oauth-scopes")


class Bitbucket:
    """The calls of one repository on Bitbucket Cloud."""

    def __init__(self, api: Api, place: Place) -> None:
        """Raises Invalid when the repository's path is not `workspace/name`."""
        self._api = api
        workspace, name = place.owner_and_name
        path = f"/repositories/{quote(workspace, safe='')}/{quote(name, safe='')}"
        self._repository = Repository(api, path, _Repository)

    async def get(self, number: int) -> _Pull:
        path = f"{self._repository.path}/pullrequests/{number}"
        return await self._api.find(path, _Pull, f"pull request {number}")

    async def default_branch(self) -> str:
        main = (await self._repository.get()).mainbranch
        return branch_of(self._api.host, main.name if main else None)

    async def find_open(self, head: str) -> _Pull | None:
        repository = await self._repository.get()
        name = head.replace("\\", "\\\\").replace('"', '\\"')
        page = await self._api.get(
            f"{await self._path()}/pullrequests",
            _Page,
            {"q": f'source.branch.name = "{name}" AND state = "OPEN"', "pagelen": "50"},
        )
        ours = [
            pull
            for pull in page.values
            if pull.source.branch.name == head
            and pull.source.repository is not None
            and pull.source.repository.uuid == repository.uuid
        ]
        return min(ours, key=lambda pull: pull.id, default=None)

    async def create(self, request: PullRequestWanted) -> _Pull:
        body: dict[str, object] = {
            **_texts(request),
            "source": {"branch": {"name": request.head}},
            "destination": {"branch": {"name": request.base}},
            "draft": request.draft,
        }
        reply = await self._api.call("POST", f"{await self._path()}/pullrequests", body=body)
        if reply.status == 400:
            raise Invalid(reply.refusal().message)
        return self._api.read(reply, _Pull)

    async def update(self, found: _Pull, request: PullRequestWanted) -> _Pull:
        current = await self.get(found.id)  # a list shows no reviewers
        body: dict[str, object] = {
            **_texts(request),
            "reviewers": [{"uuid": user.uuid} for user in current.reviewers],
        }
        if current.destination.branch.name != request.base:
            body["destination"] = {"branch": {"name": request.base}}
        reply = await self._put(found, body)
        if reply.status == 400:
            raise Invalid(reply.refusal().message)
        return self._api.read(reply, _Pull)

    async def add_labels(self, found: _Pull, labels: Sequence[str]) -> list[str]:
        del found
        return [f"{label}: Bitbucket has no labels" for label in labels]

    async def add_reviewers(self, found: _Pull, reviewers: Sequence[str]) -> list[str]:
        known = {name: _account(name) for name in reviewers}
        asked = [name for name, account in known.items() if account]
        problem = "Bitbucket wants an account id or a UUID in braces"

        async def ask(names: Sequence[str]) -> None:
            current = await self.get(found.id)
            there = {word for user in current.reviewers for word in (user.uuid, user.account_id)}
            accounts = [{"uuid": user.uuid} for user in current.reviewers]
            accounts += [
                account for name in names if (account := known[name]) and name not in there
            ]
            reply = await self._put(found, {"title": current.title, "reviewers": accounts})
            if not reply.ok:
                raise reply.refusal()

        refused = [f"{name}: {problem}" for name, account in known.items() if not account]
        return refused + (await each_or_all(asked, ask) if asked else [])

    def shown(self, found: _Pull) -> PullRequest:
        return PullRequest(
            number=found.id,
            url=found.links.html.href,
            state=_STATES.get(found.state, PullRequestState.CLOSED),
            branch=found.source.branch.name,
        )

    async def _put(self, found: _Pull, body: dict[str, object]) -> Reply:
        path = f"{await self._path()}/pullrequests/{found.id}"
        return await self._api.call("PUT", path, body=body)

    async def _path(self) -> str:
        return "/repositories/" + quote((await self._repository.get()).full_name, safe="/")


def _account(name: str) -> dict[str, str] | None:
    if _UUID.fullmatch(name):
        return {"uuid": name}
    return {"account_id": name} if _ACCOUNT.fullmatch(name) else None


def _texts(request: PullRequestWanted) -> dict[str, str]:
    return {
        "title": fit_title(request.title, MAX_TITLE_CHARS),
        "description": fit_text(request.description, MAX_DESCRIPTION_CHARS),
    }
