"""Answers `READ_PR`: asks the host how the pull request of a task stands now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from internal.crypto.box import Box
from internal.errors import NotFound, UpstreamFailed
from internal.git.provider.base import ProviderError
from internal.git.remote import parse_remote
from internal.keys.errors import KeyUnusable
from internal.keys.resolver import KeyResolver
from internal.task.model import Tenant
from internal.task.service import TaskService
from internal.worker.hosts import Hosts
from internal.worker.secrets import open_git_token


class PullRequestReader:
    """*domains* is the setting `git.provider_domains`."""

    def __init__(
        self,
        service: TaskService,
        hosts: Hosts,
        box: Box,
        resolver: KeyResolver,
        *,
        domains: Mapping[str, str],
    ) -> None:
        self._service = service
        self._hosts = hosts
        self._box = box
        self._resolver = resolver
        self._domains = domains

    async def answer(self, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """
        Number, URL, state and branch.

        Raises:
            NotFound: no such task, or no pull request, here or at the host.
            UpstreamFailed: the host refused or failed.
        """
        tenant, task_id = Tenant(args["tenant"]), str(args["task"])
        task = await self._service.get(tenant, task_id)
        if task.pr_number is None:
            raise NotFound("The task has no pull request.")
        sealed = await self._service.sealed_token(tenant, task_id)
        try:
            token = await open_git_token(
                self._box, self._resolver, task, sealed, domains=self._domains
            )
            provider = self._hosts.provider(parse_remote(task.repo_url), token)
            found = await provider.read(task.pr_number)
        except (ProviderError, KeyUnusable) as error:
            raise UpstreamFailed(error.message) from error
        return {
            "number": found.number,
            "url": found.url,
            "state": found.state.value,
            "branch": found.branch,
        }
