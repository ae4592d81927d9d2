"""
Changing the master key of a deployment: what is under which key, and each step of a rotation.

These commands speak to Redis and read key files, not the API: they are for whoever runs the
processes. docs/keys.md has the steps.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from codeforge import runtime
from codeforge.wiring.sealed import SEALED_KINDS
from internal.config.generated import ensure_secret
from internal.config.settings import Settings
from internal.crypto.keyring import FIRST_KID, Keyring
from internal.crypto.masterkey import check_value, make_key, parse_key
from internal.errors import Conflict, Unavailable
from internal.rdb.client import connect
from internal.rdb.embedded import running_url
from internal.rdb.keys import Keys
from internal.rdb.masterkeys import KeyUse, MasterKeys
from internal.rdb.rewrap import SealedValues

_NEXT = "next"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """One master key: how many values are under it, and how many live processes know it."""

    kid: str
    seals: int
    """How many live processes seal with it."""
    known_by: int
    values: int
    is_configured: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Every master key that matters, and the number of live processes."""

    rows: tuple[KeyRow, ...]
    processes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """
    What a rewrap did: `moved` values; `broken` ones that do not open; `left` by key, of those that
    are still under another one; `dropped` keys, under which nothing is any more.
    """

    moved: int
    broken: int
    left: dict[str, int]
    dropped: tuple[str, ...]


class Rotation:
    """The master keys of one deployment, as this machine's settings have them."""

    def __init__(self, master: MasterKeys, values: SealedValues, ring: Keyring) -> None:
        self._master = master
        self._values = values
        self._ring = ring

    async def standing(self) -> Standing:
        """Look; nothing is changed. Raises Unavailable."""
        use = await self._master.use()
        counted = _by_key(await self._values.count(), use)
        kids = {*self._ring.kids, *use.stored, *counted}
        rows = [
            KeyRow(
                kid=kid,
                seals=sum(process.active == kid for process in use.processes),
                known_by=len(use.processes) - use.behind(kid),
                values=counted[kid],
                is_configured=kid in self._ring.keys,
            )
            for kid in sorted(kids)
        ]
        return Standing(rows=tuple(rows), processes=len(use.processes))

    async def behind(self, kid: str) -> int:
        """How many live processes do not know *kid* yet."""
        return (await self._master.use()).behind(kid)

    async def rewrap(self, *, per_second: int) -> Moved:
        """
        Put every value under the active key, and forget keys with nothing under them.

        Raises:
            Conflict: a key that values may be under is not configured here.
            Unavailable.
        """
        use = await self._master.use()
        missing = sum(kid not in self._ring.keys for kid in use.stored)
        if missing:
            raise Conflict(f"{missing} master keys that values may be under are not configured.")
        done = await self._values.rewrap(self._ring.box(use.first), per_second=per_second)
        left = _by_key(await self._values.count(), use)
        del left[self._ring.active]
        dropped = [
            kid
            for kid, begun in use.stored.items()
            if kid != self._ring.active
            and not left[kid]
            and await self._master.retire(kid, begun) == "ok"
        ]
        return Moved(moved=done.moved, broken=done.broken, left=dict(left), dropped=tuple(dropped))


@asynccontextmanager
async def open_rotation(settings: Settings) -> AsyncGenerator[Rotation]:
    """
    Connect to the deployment of these settings, be it the embedded Redis of a running `up`.

    Raises:
        Invalid: no master key is configured, or one is none.
        Unavailable: no Redis is known.
    """
    ring = runtime.find_keyring(settings)
    url = settings.redis.url.get_secret_value() or running_url(settings.data_dir)
    if url is None:
        raise Unavailable("No Redis is known: set redis.url, or start `codeforge up`.")
    keys = Keys(settings.redis.prefix)
    async with connect(url, role="command", max_connections=4) as redis:
        yield Rotation(MasterKeys(redis, keys, ring), SealedValues(redis, keys, SEALED_KINDS), ring)


def next_key_file(settings: Settings) -> Path | None:
    """Where a generated key's successor lies or will lie; None when settings hold the key."""
    if settings.encryption.key.get_secret_value():
        return None
    return settings.data_dir / runtime.SECRETS / f"{runtime.KEY_FILE}.{_NEXT}"


def prepare(file: Path) -> tuple[str, bool]:
    """The id of the successor, and whether it was made just now. Raises OSError."""
    text, is_new = ensure_secret(file, make_key)
    return check_value(parse_key(text)), is_new


def activate(file: Path) -> Path:
    """
    Let the successor seal from the next start on; where the old key lies now, which goes on to
    open. Whenever this is cut off, both keys are known. Raises OSError.
    """
    current = file.with_name(runtime.KEY_FILE)
    text = current.read_text()
    kept = file.with_name(f"{runtime.KEY_FILE}.{check_value(parse_key(text))}")
    ensure_secret(kept, text.strip)
    os.replace(file, current)
    return kept


def _by_key(counted: Counter[tuple[str, str]], use: KeyUse) -> Counter[str]:
    """Values by key; those of the id `m1` with the key that it stands for."""
    found: Counter[str] = Counter()
    for (kid, _), number in counted.items():
        found[use.first if kid == FIRST_KID and use.first else kid] += number
    return found
