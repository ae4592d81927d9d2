"""The `Provider` that all hosts share: what is the same whatever words a host uses."""

from __future__ import annotations

from typing import Generic

from internal.git.model import PullRequest, PullRequestWanted
from internal.git.provider.opening import Found, Host, open_or_update


class Hosted(Generic[Found]):
    """A `Provider` for one repository, over the calls of its host."""

    def __init__(self, host: Host[Found]) -> None:
        self._host = host

    async def open_pull_request(self, request: PullRequestWanted) -> PullRequest:
        return await open_or_update(self._host, request)

    async def find(self, head: str) -> PullRequest | None:
        found = await self._host.find_open(head)
        return None if found is None else self._host.shown(found)

    async def read(self, number: int) -> PullRequest:
        return self._host.shown(await self._host.get(number))

    async def default_branch(self) -> str:
        return await self._host.default_branch()
