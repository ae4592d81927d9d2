"""
The credentials of one run, opened at the moment of use, in the worker, and nowhere else.

Brings the task's own secrets and the tenant's registered keys together; where each may go is
decided in `internal.keys`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from internal.agent.base import Agent
from internal.crypto.box import Box
from internal.git.remote import parse_remote, provider_of
from internal.keys.resolver import KeyResolver, Resolved
from internal.mcp.model import McpServer
from internal.mcp.registry import McpRegistry
from internal.task.model import Claim, Task
from internal.task.submission import secret_name
from internal.worker.mcp import servers_of
from internal.worker.patience import until_answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """In clear; never logged, stored or passed on but to git and to the agent's environment."""

    git: Resolved | None = None
    models: tuple[Resolved, ...] = ()
    """Keys for the agent's model, the one to use first first; one is left once a run may begin."""
    mcp_servers: tuple[McpServer, ...] = ()
    from_environment: bool = False
    """The agent finds a credential for its model in what the worker gives it."""

    @property
    def access_token(self) -> str | None:
        """For the repository's host."""
        return self.git.value if self.git else None

    @property
    def model(self) -> Resolved | None:
        """The key for the agent's model."""
        return self.models[0] if self.models else None

    @property
    def ai_api_key(self) -> str | None:
        """For the agent's model; None when the worker's own environment has to do."""
        own = self.model is not None and self.model.source != "environment"
        return self.model.value if self.model and own else None

    @property
    def ai_api_url(self) -> str | None:
        """Where `ai_api_key` belongs; None is the provider's own address."""
        return self.model.base_url if self.model else None

    @property
    def key_source(self) -> str | None:
        """Where the credential is from: the git token's source, without one the model key's."""
        first = self.git or self.model
        if first is None:
            return "environment" if self.from_environment else None
        return first.source

    def values(self) -> tuple[str, ...]:
        """What must not appear in anything the run produces."""
        own = tuple(found.value for found in (self.git, *self.models) if found)
        return own + tuple(value for server in self.mcp_servers for value in server.secrets())


class SecretSource:
    """Opens all that a run is given. *domains* is the setting `git.provider_domains`."""

    def __init__(
        self, box: Box, resolver: KeyResolver, mcp: McpRegistry, *, domains: Mapping[str, str]
    ) -> None:
        self._box = box
        self._resolver = resolver
        self._mcp = mcp
        self._domains = domains

    async def open(self, claim: Claim, agent: Agent) -> Secrets:
        """
        What *claim* is given now, asked until Redis answers.

        A create-pr asks, too: what *agent* was given must not be in what is published.

        Raises:
            SealBroken, KeyUnusable: as `open_secrets`.
        """
        found = await until_answered(
            lambda: open_secrets(
                self._box,
                self._resolver,
                claim,
                domains=self._domains,
                model_provider=agent.model_provider,
            )
        )
        return replace(found, mcp_servers=await servers_of(self._mcp, self._box, claim))


async def open_secrets(
    box: Box,
    resolver: KeyResolver,
    claim: Claim,
    *,
    domains: Mapping[str, str],
    model_provider: str | None = None,
) -> Secrets:
    """
    Open what the claim carries, and choose what it leaves open.

    *domains* is the setting `git.provider_domains`; *model_provider* is whose key the agent takes,
    None when no agent runs.

    Raises:
        SealBroken: a record does not open, for example under another master key.
        KeyUnusable: the key that the task names is gone, has expired, or is for another place.
        Unavailable: Redis is away.
    """

    task = claim.task
    git = await open_git_token(box, resolver, task, claim.access_token, domains=domains)
    record = claim.ai_api_key
    key = record and box.open(task.tenant, secret_name(task.id, "ai_api_key"), record)
    if key is None and model_provider is None:
        return Secrets(git=git)
    models = await resolver.model_keys(task.tenant, model_provider or "", inline=key)
    return Secrets(git=git, models=models)


async def open_git_token(
    box: Box, resolver: KeyResolver, task: Task, sealed: str | None, *, domains: Mapping[str, str]
) -> Resolved | None:
    """
    The credential for the task's repository; *sealed* is the record of the one it brought itself.

    Raises as `open_secrets`.
    """
    remote = parse_remote(task.repo_url)
    inline = sealed and box.open(task.tenant, secret_name(task.id, "access_token"), sealed)
    return await resolver.git_token(
        task.tenant,
        provider_of(remote, domains),
        remote.host_url,
        inline=inline,
        provider_key=task.provider_key,
        repository=remote.path,
    )
