"""
The last gates of a run: those that only the worker knows, asked before anything is cloned.

Which key a run uses, and so which endpoint it calls, is known once its secrets are open. Each key
of the list is one candidate: the quota of that key, and the breaker of its endpoint. ADMIT takes
the first candidate whose gates are all open, or lets the task wait at the gate that opens first.
So a run whose first key is used up goes on with the next one, and none is sent into the dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from internal.agent.base import Agent
from internal.control.breaker import agent_key, endpoint_key
from internal.control.gate import Gate
from internal.control.quota import quota_key
from internal.crypto.box import Box
from internal.fault import fault_point
from internal.keys.resolver import KeyResolver, Resolved
from internal.task.model import Claim
from internal.task.queue import TaskQueue
from internal.worker.agents import AgentHost
from internal.worker.patience import until_answered, until_written
from internal.worker.secrets import Secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """What a run was let in with; gates are named by their keys."""

    secrets: Secrets
    """With the one key for the model that is used."""
    agent: str
    endpoint: str | None = None
    """None: it calls none, or nobody can tell."""
    quota: str | None = None
    """None: it uses no key."""
    has_next: bool = False
    """Another key of the list comes behind this one."""

    def gates(self) -> tuple[str, ...]:
        """All that speak well of what they guard when the run gets its first answer."""
        return tuple(key for key in (self.agent, self.endpoint, self.quota) if key)


class Admission:
    """Asks ADMIT for claims of one worker."""

    def __init__(
        self, queue: TaskQueue, agents: AgentHost, resolver: KeyResolver, box: Box
    ) -> None:
        self._queue = queue
        self._agents = agents
        self._resolver = resolver
        self._box = box

    async def enter(self, claim: Claim, agent: Agent, secrets: Secrets) -> Admitted | None:
        """
        Let a run in with the first of its keys that may be used now; *secrets* has all of them.

        None when it has to wait: the task was given back, and the claim is over.

        Raises:
            Fenced, CancelAccepted: as the queue says.
        """
        candidates = self._candidates(claim.task.tenant, agent, secrets)
        gates = [_asked(candidate) for candidate in candidates]
        chosen: int | None = 0
        if any(gates):
            chosen = await until_written(lambda op: self._queue.admit(claim, gates, op))
        if chosen is None:
            return None
        fault_point("admitted")
        admitted = candidates[chosen]
        model = admitted.secrets.model
        if model is not None:
            await until_answered(lambda: self._resolver.used(claim.task.tenant, model))
        return admitted

    def _candidates(self, tenant: str, agent: Agent, secrets: Secrets) -> list[Admitted]:
        keys = [key for key in secrets.models if key.source != "environment"]
        inline = any(key.source == "inline" for key in keys)
        found = [self._with_key(tenant, agent, secrets, key) for key in keys]
        if not found or (secrets.from_environment and not inline):
            found.append(self._with_environment(tenant, agent, secrets))
        return [*(replace(one, has_next=True) for one in found[:-1]), found[-1]]

    def _with_key(self, tenant: str, agent: Agent, secrets: Secrets, key: Resolved) -> Admitted:
        host = self._agents.endpoint(agent, tenant, key=key.value, url=key.base_url)
        return self._candidate(
            tenant, agent, replace(secrets, models=(key,)), host=host, credential=key.value
        )

    def _with_environment(self, tenant: str, agent: Agent, secrets: Secrets) -> Admitted:
        host = self._agents.endpoint(agent, tenant, key=None, url=None)
        own = tuple(key for key in secrets.models if key.source == "environment")
        credential = self._agents.environment_credential(agent, tenant)
        return self._candidate(
            tenant, agent, replace(secrets, models=own), host=host, credential=credential
        )

    def _candidate(
        self, tenant: str, agent: Agent, secrets: Secrets, *, host: str | None, credential: str
    ) -> Admitted:
        # The same value at two addresses is two accounts.
        fingerprint = self._box.fingerprint(tenant, f"{host or ''}\n{credential}")
        return Admitted(
            secrets=secrets,
            agent=agent_key(agent.name),
            endpoint=endpoint_key(host) if host else None,
            quota=quota_key(tenant, fingerprint) if credential else None,
        )


def _asked(candidate: Admitted) -> Sequence[Gate]:
    """Its gates without that of the agent, which CLAIM has asked."""
    return [Gate(key=key) for key in (candidate.quota, candidate.endpoint) if key]
