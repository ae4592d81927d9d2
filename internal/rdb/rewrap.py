"""
Every sealed value in Redis: counted by the master key it is under, and put under the active one.

Each value is read, sealed anew and written back only if nobody changed it meanwhile, so it may
stop and begin again at any place, run twice at once, and never hides a value from its readers.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis

from internal.crypto.box import Box, SealBroken, kid_of
from internal.rdb.client import unavailable
from internal.rdb.keys import Keys
from internal.rdb.scripts import Script, load_lua

_REWRAP = Script(load_lua("internal.rdb", "lua/rewrap"))

_PAGE = 500
_WRITES_AT_ONCE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedKind:
    """
    Where one kind of sealed values lies: fields of hashes.

    `key` is a pattern of the whole key behind the prefix, with the groups `tenant` and `id`; `name`
    is what the value is bound to, from `{id}` and `{field}`. Without `fields` every field is looked
    at. With `member` a field holds a JSON object, and the sealed value is that member of it.
    """

    label: str
    key: re.Pattern[str]
    name: str
    fields: tuple[str, ...] = ()
    member: str | None = None


@dataclass(frozen=True, slots=True)
class _Value:
    """One sealed value: where it stands, what stands there, and what it is bound to."""

    kind: SealedKind
    key: str
    field: str
    text: str
    record: str
    tenant: str
    name: str


@dataclass(slots=True)
class Rewrapped:
    """What a pass did: `moved` values, `broken` ones that do not open and were left alone."""

    moved: int = 0
    broken: int = 0
    changed: int = 0
    """Values that somebody else wrote meanwhile; the next pass looks at them again."""


class SealedValues:
    """All of a deployment, by the table *kinds*. Every method raises Unavailable."""

    def __init__(self, redis: Redis, keys: Keys, kinds: Sequence[SealedKind]) -> None:
        self._redis = redis
        self._prefix = keys.prefix
        self._kinds = kinds

    async def count(self) -> Counter[tuple[str, str]]:
        """How many there are, by (id of the master key, label of the kind)."""
        found: Counter[tuple[str, str]] = Counter()
        async for page in self._pages():
            found.update((kid_of(value.record) or "", value.kind.label) for value in page)
        return found

    async def rewrap(self, box: Box, *, per_second: int) -> Rewrapped:
        """Put what is under another key under the active one, *per_second* values at most."""
        done = Rewrapped()
        async for page in self._pages():
            stale = [value for value in page if kid_of(value.record) != box.active]
            for start in range(0, len(stale), _WRITES_AT_ONCE):
                batch = stale[start : start + _WRITES_AT_ONCE]
                await self._move(box, batch, done)
                await asyncio.sleep(len(batch) / per_second)
        return done

    async def _move(self, box: Box, batch: Sequence[_Value], done: Rewrapped) -> None:
        for value in batch:
            try:
                sealed = box.reseal(value.tenant, value.name, value.record)
            except SealBroken:
                done.broken += 1
                continue
            args = [value.field, value.text, _put(value, sealed)]
            with unavailable():
                moved = await _REWRAP(self._redis, [value.key], args)
            done.moved += moved
            done.changed += 1 - moved

    async def _pages(self) -> AsyncIterator[list[_Value]]:
        cursor = 0
        pattern = f"{_escaped(self._prefix)}*"
        while True:
            with unavailable():
                cursor, found = await self._redis.scan(
                    cursor, match=pattern, count=_PAGE, _type="HASH"
                )
                values = await self._read(cast("list[str]", found))
            if values:
                yield values
            if cursor == 0:
                return

    async def _read(self, keys: Sequence[str]) -> list[_Value]:
        places: list[tuple[SealedKind, str, re.Match[str]]] = []
        async with self._redis.pipeline(transaction=False) as pipe:
            for key in keys:
                for kind in self._kinds:
                    place = kind.key.fullmatch(key.removeprefix(self._prefix))
                    if place is not None:
                        places.append((kind, key, place))
                        pipe.hmget(key, kind.fields) if kind.fields else pipe.hgetall(key)
            rows = await pipe.execute()
        values: list[_Value] = []
        for (kind, key, place), row in zip(places, rows, strict=True):
            fields = dict(zip(kind.fields, row, strict=True)) if kind.fields else row
            for field, text in cast("dict[str, str | None]", fields).items():
                record = _taken(kind, text) if text else None
                if text is None or record is None or kid_of(record) is None:
                    continue
                name = kind.name.format(id=place["id"], field=field)
                values.append(_Value(kind, key, field, text, record, place["tenant"], name))
        return values


def _taken(kind: SealedKind, text: str) -> str | None:
    """The sealed value in a field, None when there is none."""
    if kind.member is None:
        return text
    try:
        members: Any = json.loads(text)
    except ValueError:
        return None
    match members:
        case dict():
            record = cast("dict[str, object]", members).get(kind.member)
            return record if isinstance(record, str) else None
        case _:
            return None


def _put(value: _Value, record: str) -> str:
    """What its field holds with *record* in the place of the old one."""
    if value.kind.member is None:
        return record
    members = {**json.loads(value.text), value.kind.member: record}
    return json.dumps(members, ensure_ascii=False, separators=(",", ":"))


def _escaped(prefix: str) -> str:
    return re.sub(r"([\\*?\[\]^])", r"\\\1", prefix)
