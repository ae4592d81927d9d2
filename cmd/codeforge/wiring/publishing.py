"""Pull requests, put together over a core and a home."""

from __future__ import annotations

from codeforge.wiring.core import Core
from codeforge.wiring.disk import Disk
from internal.keys.resolver import KeyResolver
from internal.worker.agents import AgentHost
from internal.worker.hosts import Hosts
from internal.worker.publish import Publisher, PublishSettings
from internal.worker.pull_request_text import Templates
from internal.worker.pullreader import PullRequestReader
from internal.worker.secrets import SecretSource

_MB = 1_000_000


def publisher(core: Core, disk: Disk, agents: AgentHost, secrets: SecretSource) -> Publisher:
    """What runs create-prs on this home."""
    git = core.settings.git
    return Publisher(
        core.queue,
        disk.recorded(core.service),
        disk.mirrors,
        _hosts(core),
        agents,
        secrets=secrets,
        settings=PublishSettings(
            branch_prefix=git.branch_prefix,
            author_name=git.commit_author,
            author_email=git.commit_email,
            max_file_bytes=int(git.max_file_mb * _MB),
            allow_workflows=git.allow_workflows,
            templates=Templates(
                title=git.pr_title_template,
                body=git.pr_body_template,
                task_url=f"{core.settings.server.base_url}/api/v1/tasks/{{task_id}}",
            ),
        ),
    )


def pull_reader(core: Core, resolver: KeyResolver) -> PullRequestReader:
    """What asks hosts how pull requests stand."""
    domains = core.settings.git.provider_domains
    return PullRequestReader(core.service, _hosts(core), core.box, resolver, domains=domains)


def _hosts(core: Core) -> Hosts:
    return Hosts(core.http, domains=core.settings.git.provider_domains)
