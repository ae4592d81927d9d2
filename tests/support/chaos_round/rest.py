"""What a batch leaves behind once its tasks are finished and its workers have left."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

from redis.asyncio import Redis

from codeforge.wiring.disk import Disk
from tests.support.canary import files, leaks
from tests.support.chaos_process import processes_with
from tests.support.chaos_round.seams import IN_PROCESS, LABEL
from tests.support.chaos_round.submitting import AWAY, MODEL_KEY
from tests.support.chaos_site import SECRETS, Site
from tests.support.hosts.double import TOKEN
from tests.support.keyleak import leaked_keys
from tests.support.world import OF_A_RUN, World, check_at_rest

_SECONDS = 30
_WORLD_SECONDS = 120
_KNOWN_BEFORE = (
    *("token", "worker", "claim", "batch", "pushing", "cancel", "prev", "lost_work", "pr_options"),
    *("at", "since", "wait_reason", "wait_until", "waited"),
)
"""Fields of a run that the scripts of the release before clear at its end."""


async def whole_world(site: Site) -> World:
    """Everything in Redis; one answer, for which a busy machine may need long."""
    async with Redis.from_url(
        site.redis_url,
        decode_responses=True,
        encoding="latin-1",
        protocol=3,
        socket_timeout=_WORLD_SECONDS,
    ) as redis:
        return await World.read(redis, site.core.keys)


async def what_is_left(site: Site, *, is_mixed: bool) -> list[str]:
    """What Redis, the disk and this machine still hold that no finished task needs."""
    deadline = time.monotonic() + _SECONDS
    while left := await _look(site, is_mixed=is_mixed):
        if time.monotonic() > deadline:
            return left
        await asyncio.sleep(0.5)
    return await _files_left(site)


def secrets_left(directory: Path) -> list[str]:
    """The files below *directory*, Redis' own among them, that say what nobody may read there."""
    ours = (SECRETS.auth_token, SECRETS.hmac_secret, SECRETS.master_key.decode())
    found = leaks(dict(files(directory)), (MODEL_KEY, TOKEN, *ours))
    return [f"a secret stands in {name}" for name, _ in found]


async def _look(site: Site, *, is_mixed: bool) -> list[str]:
    try:
        await site.core.queue.reap(home_grace_seconds=60)
        leaked = set(await leaked_keys(site.core.redis)) - {site.core.keys.gates_shut()}
        world = _without_shut_gates(await whole_world(site))
        if is_mixed:
            _forget_new_fields(world)
        check_at_rest(world)
    except (AssertionError, *AWAY) as error:
        return [f"not at rest: {error}"]
    left = [f"key {key} is left" for key in sorted(leaked)]
    left += [f"webhook {name} waits" for name in world.get("outbox")]
    markers = [f"CODEFORGE_RUN={site.home_id(home)}." for home in _homes(site)]
    alive = [line for marker in markers for line in processes_with(marker)]
    return left + [f"process {line} is left" for line in alive]


def _without_shut_gates(world: World) -> World:
    """A quota's gate stays shut when nobody comes who would open it, until REAP forgets it."""
    values = {name: value for name, value in world.values.items() if name != "gates:shut"}
    return World(values, world.with_ttl)


def _forget_new_fields(world: World) -> None:
    """A script of before leaves what it does not know; whoever reads it sees whose it was."""
    for task in world.tasks.values():
        for name in set(OF_A_RUN) - set(_KNOWN_BEFORE):
            task.pop(name, None)


async def _files_left(site: Site) -> list[str]:
    """After one more sweep of each home, only recorded claims have anything on its disk."""
    world = await whole_world(site)
    homes = _homes(site)
    for home in homes:
        disk = Disk(site.settings(home))
        await disk.sweep(disk.ask(site.core.redis, site.core.keys)).sweep()
    found: list[str] = []
    for ref, task in world.tasks.items():
        if json.loads(task["labels"]).get(LABEL) == IN_PROCESS:
            continue
        rows = world.rows(ref)
        works = [json.loads(text) for name, text in rows.items() if name.endswith(".work")]
        recorded = {work["claim"] for work in works}
        for home in homes:
            stray = site.claims_on_disk(task["id"], home) - recorded
            found += [f"claim {claim} of {ref} is on the disk of {home}" for claim in stray]
    return found


def _homes(site: Site) -> list[str]:
    return [path.name for path in site.directory.iterdir() if path.name.startswith("home-")]
