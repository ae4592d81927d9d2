"""Judges the credential that a new task would use, as far as that needs Redis only."""

from __future__ import annotations

from internal.errors import Invalid, PolicyDenied
from internal.git.policy import check_ssh
from internal.git.remote import parse_remote, provider_of
from internal.keys.errors import KeyUnusable
from internal.keys.model import git_place
from internal.keys.registry import KeyRegistry
from internal.server.deps import TaskRules
from internal.task.model import DEFAULT_TENANT, TaskSpec


async def check_credential(keys: KeyRegistry, rules: TaskRules, spec: TaskSpec) -> None:
    """
    Refuse a task that may not use the ssh keys it needs, or whose `provider_key` cannot be used for
    its repository.

    Raises:
        Invalid: ssh is not for this tenant; or there is no such key, it has expired, or it is for
            another place.
        Unavailable: Redis is away.
    """
    remote = parse_remote(spec.repo_url)
    try:
        check_ssh(remote, is_operator=spec.tenant == DEFAULT_TENANT)
    except PolicyDenied as error:
        problem = f"is refused: {error.message}"
        raise Invalid(f"repo_url {problem}", fields={"repo_url": problem}) from error
    if spec.provider_key is None:
        return
    place = git_place(remote.host_url, remote.path, provider_of(remote, rules.provider_domains))
    try:
        await keys.check(spec.tenant, spec.provider_key, place)
    except KeyUnusable as error:
        message = f"provider_key cannot be used: {error.message}"
        raise Invalid(message, fields={"provider_key": error.message}) from error
