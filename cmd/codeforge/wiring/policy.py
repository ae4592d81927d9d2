"""The policy that a process goes by, from its settings, and its limits in Redis."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from codeforge.wiring.escalation import escalation_of, pressure_numbers
from codeforge.wiring.outcome import outcome_rules
from internal.config.settings import Settings, ShareSettings
from internal.control.budget import Budget
from internal.control.policy import EVERYBODY_ELSE, Policy, SettingsPolicy, Share
from internal.control.policy_loader import load_policy
from internal.control.prices import Prices, builtin_prices, read_prices
from internal.errors import Invalid
from internal.git.remote import parse_remote
from internal.rdb.client import unavailable
from internal.task.store import TaskStore


def open_policy(settings: Settings) -> Policy:
    """
    The settings' own policy, or what a package made of it.

    Raises:
        Invalid: the package's policy is missing or broken, or a repository is none.
    """
    control, queue = settings.control, settings.queue
    policy = SettingsPolicy(
        tenants=_shares(control.tenants, concurrency=queue.tenant_concurrency),
        repositories={
            _repo_key(name): share
            for name, share in _shares(
                control.repositories, concurrency=queue.repo_concurrency
            ).items()
        },
        agents=_shares(control.agents, concurrency=0),
        escalation=escalation_of(settings),
        pressure=pressure_numbers(settings),
        outcomes=outcome_rules(settings),
        budget=Budget(
            tool_seconds=control.budget.tool_seconds or None, warn_share=control.budget.warn_share
        ),
    )
    return load_policy(control.policy, policy) if control.policy else policy


def open_prices(settings: Settings) -> Prices:
    """
    The table of prices that the settings name, or the one that comes with this version.

    Raises:
        Invalid: the file cannot be read, or is no such table.
    """
    name = settings.control.budget.prices_file
    if not name:
        return builtin_prices()
    try:
        return read_prices(Path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Invalid(f"control.budget.prices_file: {name}: {error}") from error
    except Invalid as error:
        raise Invalid(f"control.budget.prices_file: {name}: {error.message}") from error


async def write_limits(store: TaskStore, policy: Policy) -> None:
    """
    The policy's limits hold from now on, for every process; those that left it are gone.

    Raises:
        Unavailable: Redis is away.
    """
    with unavailable():
        await store.set_limits(policy.limits())


def _shares(table: Mapping[str, ShareSettings], *, concurrency: int) -> dict[str, Share]:
    """*concurrency* is everybody else's, where the table says none."""
    shares = {name: Share(**chosen.model_dump()) for name, chosen in table.items()}
    others = table.get(EVERYBODY_ELSE, ShareSettings())
    if others.concurrency is None:
        others = others.model_copy(update={"concurrency": concurrency})
    return {**shares, EVERYBODY_ELSE: Share(**others.model_dump())}


def _repo_key(url: str) -> str:
    if url == EVERYBODY_ELSE:
        return url
    try:
        return parse_remote(url).key
    except Invalid as error:
        raise Invalid(f"control.repositories: {url}: {error}") from error
