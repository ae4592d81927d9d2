"""Judges the registered key that a new task names, as far as that needs Redis only."""

from __future__ import annotations

from internal.errors import Invalid
from internal.git.remote import parse_remote, provider_of
from internal.keys.errors import KeyUnusable
from internal.keys.model import git_place
from internal.keys.registry import KeyRegistry
from internal.server.deps import TaskRules
from internal.task.model import TaskSpec


async def check_provider_key(keys: KeyRegistry, rules: TaskRules, spec: TaskSpec) -> None:
    """
    Refuse a task whose `provider_key` cannot be used for its repository.

    Raises:
        Invalid: there is no such key, it has expired, or it is for another place.
        Unavailable: Redis is away.
    """
    if spec.provider_key is None:
        return
    remote = parse_remote(spec.repo_url)
    place = git_place(remote.host_url, remote.path, provider_of(remote, rules.provider_domains))
    try:
        await keys.check(spec.tenant, spec.provider_key, place)
    except KeyUnusable as error:
        message = f"provider_key cannot be used: {error.message}"
        raise Invalid(message, fields={"provider_key": error.message}) from error
