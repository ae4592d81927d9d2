"""Choosing and opening credentials, as a worker does before each run; and rewrapping them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from benchmarks.deployment import open_deployment
from benchmarks.scale import Scale, bounded
from benchmarks.table import Table, millis, percentile
from codeforge.wiring.core import Core
from codeforge.wiring.sealed import SEALED_KINDS
from internal.clock import SystemClock
from internal.crypto.box import Box
from internal.crypto.keyring import Keyring
from internal.crypto.masterkey import make_key, parse_key
from internal.keys.model import KeyProvider, NewKey
from internal.keys.resolver import KeyResolver
from internal.rdb.rewrap import SealedValues

_TENANT = "default"
_MANY = 100
_NO_LIMIT = 1_000_000
_HOST = ("github", "https://github.com")


async def run(scale: Scale) -> Table:
    """One after another on one connection: the latency is what a run waits for."""
    async with open_deployment(fsync=False) as deployment:
        core = await deployment.core()
        keys = min(_MANY, scale.keys_count)
        for number in range(keys):
            await _register(core, f"k{number}", scope=(f"team{number}/*",))
        resolver = KeyResolver(core.key_store, core.box, SystemClock(), {})

        async def named() -> object:
            return await resolver.git_token(
                _TENANT, *_HOST, inline=None, provider_key="k0", repository="team0/repository"
            )

        async def default() -> object:
            return await resolver.git_token(
                _TENANT, *_HOST, inline=None, provider_key=None, repository="team0/repository"
            )

        rows = [
            ["a key by its name", *await _measure(named, scale)],
            [f"the default among {keys}", *await _measure(default, scale)],
            ["moved to a new master key", *await _rewrap(core, keys)],
        ]
    return Table(
        title="Keys",
        aim="none was set; a run waits for one resolution",
        columns=("what", "count", "per second", "p50 ms", "p99 ms"),
        rows=rows,
        notes=(
            "Resolution: one read of the hash (or of all keys of the tenant), the rules, HKDF and "
            "AES-GCM. The last use is written once a minute, so not here.",
            "Moving: SCAN, open, seal, compare and set, one value at a time; no pause between.",
        ),
    )


async def _register(core: Core, name: str, *, scope: tuple[str, ...]) -> None:
    new = NewKey(name=name, provider=KeyProvider.GITHUB, scope=scope)
    await core.registered.create(_TENANT, new, f"ghp_{name:0>36}")


async def _measure(resolve: Callable[[], Awaitable[object]], scale: Scale) -> list[str]:
    if await resolve() is None:  # also loads what the first call loads
        raise RuntimeError("there should be a key")
    seconds: list[float] = []
    for _ in bounded(scale.keys_count, scale.keys_seconds):
        began = time.monotonic()
        await resolve()
        seconds.append(time.monotonic() - began)
    return [
        f"{len(seconds):,}",
        f"{len(seconds) / sum(seconds):,.0f}",
        millis(percentile(seconds, 50)),
        millis(percentile(seconds, 99)),
    ]


async def _rewrap(core: Core, keys: int) -> list[str]:
    ring = Keyring.of(parse_key(make_key()), [core.secrets.master_key])
    box: Box = ring.box()
    values = SealedValues(core.redis, core.keys, SEALED_KINDS)
    began = time.monotonic()
    done = await values.rewrap(box, per_second=_NO_LIMIT)
    if done.moved != keys:
        raise RuntimeError(f"{done.moved} of {keys} values were moved")
    return [f"{keys:,}", f"{keys / (time.monotonic() - began):,.0f}", "", ""]
