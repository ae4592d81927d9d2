"""The MCP servers of one run: what the tenant and the project have registered, then the task's."""

from __future__ import annotations

from internal.crypto.box import Box
from internal.git.remote import parse_remote
from internal.mcp.model import McpServer, decode_servers, merge
from internal.mcp.registry import McpRegistry
from internal.task.model import Claim
from internal.task.submission import secret_name
from internal.worker.patience import until_answered


async def servers_of(registry: McpRegistry, box: Box, claim: Claim) -> tuple[McpServer, ...]:
    """
    Those of *claim*, in clear; a later place wins by name. Asked anew for each run.

    Raises:
        SealBroken: a record does not open, for example under another master key.
    """
    task = claim.task
    project = parse_remote(task.repo_url).key
    registered = await until_answered(lambda: registry.open(task.tenant, project))
    if claim.mcp_servers is None:
        return registered
    name = secret_name(task.id, "mcp_servers")
    return merge(registered, decode_servers(box.open(task.tenant, name, claim.mcp_servers)))
