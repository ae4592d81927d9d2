"""A rotation of the master key: who may start, and what is forgotten when."""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from internal.crypto.box import Box, kid_of
from internal.crypto.keyring import FIRST_KID, Keyring
from internal.crypto.masterkey import make_key, parse_key
from internal.errors import Conflict
from internal.rdb.client import connect, connect_sync
from internal.rdb.keys import Keys
from internal.rdb.masterkeys import MasterKeys
from internal.rdb.rewrap import SealedKind, SealedValues
from tests.support.redis import RedisServer
from tests.support.waiting import until

KEYS = Keys("test:")
OLD, NEW, OTHER = (parse_key(make_key()) for _ in range(3))
OLD_KID, NEW_KID = Keyring.of(OLD).active, Keyring.of(NEW).active
KINDS = (
    SealedKind(
        label="keys",
        key=re.compile(r"tenant:(?P<tenant>[^:]+):key:(?P<id>[^:]+)"),
        name="key:{id}",
        fields=("sealed",),
    ),
    SealedKind(
        label="lists",
        key=re.compile(r"tenant:(?P<tenant>[^:]+):list:(?P<id>[^:]+)"),
        name="list:{id}:{field}",
        member="sealed",
    ),
)


@pytest.fixture
async def redis(redis_server: RedisServer, redis_client: Redis) -> AsyncGenerator[Redis]:
    client = connect(redis_server.url, role="command")
    yield client
    await redis_client.delete("test:tenant:t:list:l")
    await client.aclose()


@asynccontextmanager
async def living(redis: Redis, active: bytes, *others: bytes) -> AsyncGenerator[Box]:
    """A live process with these keys; what it opens and seals with."""
    ring = Keyring.of(active, others)
    master = MasterKeys(redis, KEYS, ring)
    first = await master.admit()
    yield ring.box(first)
    await master.leave()


def values(redis: Redis) -> SealedValues:
    return SealedValues(redis, KEYS, KINDS)


async def put(redis: Redis, box: Box, name: str) -> None:
    """A value as the registry stores it, and one inside an object of a list."""
    sealed = box.seal("t", f"key:{name}", 3, f"secret of {name}")
    await redis.hset(KEYS.registered_key("t", name), mapping={"sealed": sealed, "other": "{}"})
    inside = {"shown": "ü", "sealed": box.seal("t", f"list:l:{name}", 1, f"listed {name}")}
    await redis.hset("test:tenant:t:list:l", name, json.dumps(inside))


async def read(redis: Redis, box: Box, name: str) -> None:
    """Raises SealBroken when one of the two cannot be opened."""
    sealed = str(await redis.hget(KEYS.registered_key("t", name), "sealed"))
    assert box.open("t", f"key:{name}", sealed) == f"secret of {name}"
    listed = json.loads(str(await redis.hget("test:tenant:t:list:l", name)))
    assert listed["shown"] == "ü"
    assert box.open("t", f"list:l:{name}", listed["sealed"]) == f"listed {name}"


async def test_the_first_key_is_remembered_and_another_is_refused(redis: Redis) -> None:
    """
    The same process may start again and again; one with another key never, and the refusal counts
    keys without naming them.
    """
    async with living(redis, OLD):
        pass
    async with living(redis, OLD):
        pass

    with pytest.raises(Conflict, match="1 of the 1 master keys") as refused:
        async with living(redis, OTHER):
            pass

    assert OLD_KID not in str(refused.value)


async def test_a_key_begins_to_seal_only_when_all_can_open_it(redis: Redis) -> None:
    """
    A live process that would meet records it cannot open keeps the new key from being active.
    """
    async with living(redis, OLD), living(redis, OLD, NEW):
        with pytest.raises(Conflict, match="1 live processes cannot open"):
            async with living(redis, NEW, OLD):
                pass

    async with living(redis, OLD, NEW), living(redis, NEW, OLD) as box:
        assert box.active == NEW_KID


async def test_a_process_that_died_stops_counting(redis: Redis) -> None:
    """
    Its last announcement is forgotten when it is old, and the key can be activated.
    """
    gone = {"active": OLD_KID, "known": [OLD_KID], "program": "p", "host": "h", "pid": 1, "seen": 0}
    async with living(redis, OLD, NEW):
        await redis.hset(KEYS.encryption_processes(), "gone", json.dumps(gone))

        async with living(redis, NEW, OLD):
            use = await MasterKeys(redis, KEYS, Keyring.of(OLD)).use()

    assert len(use.processes) == 2
    assert use.behind(NEW_KID) == 0


async def test_a_live_process_says_so_until_it_leaves(redis: Redis) -> None:
    """
    The register has a TTL, so it goes with the last process, however that ended.
    """
    master = MasterKeys(redis, KEYS, Keyring.of(OLD, [NEW]))
    await master.admit()
    stop = asyncio.Event()
    running = asyncio.create_task(master.run(stop))

    (process,) = (await master.use()).processes
    assert process.active == OLD_KID
    assert process.known == {OLD_KID, NEW_KID}
    assert 0 < await redis.ttl(KEYS.encryption_processes()) <= 60
    stop.set()
    await running
    await master.leave()
    assert (await master.use()).processes == ()


class Reader:
    """Reads everything again and again with `box`, which a restart replaces; a failure is kept."""

    def __init__(self, redis: Redis, names: list[str]) -> None:
        self.box = Keyring.of(OLD).box()
        self.reads = 0
        self._redis = redis
        self._names = names
        self._stop = False
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while not self._stop:
            for name in list(self._names):
                await read(self._redis, self.box, name)
                self.reads += 1

    async def all_again(self) -> None:
        """Until it has read everything once more; raises what failed."""
        wanted = self.reads + len(self._names)
        await until("it reads on", lambda: self._task.done() or self.reads >= wanted)
        if self._task.done():
            await self._task

    async def end(self) -> None:
        await self.all_again()
        self._stop = True
        await self._task


async def test_readers_read_through_a_whole_rotation(redis: Redis) -> None:
    """
    Known everywhere, active, rewrapped, forgotten: no read fails at any time, though new secrets
    come in all the while.
    """
    names = [f"k{number}" for number in range(150)]
    async with living(redis, OLD) as box:
        for name in names:
            await put(redis, box, name)
    reader = Reader(redis, names)
    async with living(redis, OLD, NEW) as knowing, living(redis, NEW, OLD) as sealing:
        reader.box = knowing
        for number in range(20):
            await put(redis, sealing, f"new{number}")
            names.append(f"new{number}")
        await reader.all_again()
        done = await values(redis).rewrap(sealing, per_second=100_000)
        again = await values(redis).rewrap(sealing, per_second=100_000)
        await reader.all_again()
        counted = await values(redis).count()
    async with living(redis, NEW, OLD) as sealing:
        reader.box = sealing
        master = MasterKeys(redis, KEYS, Keyring.of(NEW, [OLD]))
        retired = await master.retire(OLD_KID, (await master.use()).stored[OLD_KID])
    async with living(redis, NEW) as without:
        reader.box = without
        await reader.end()

    assert (done.moved, done.broken, again.moved) == (300, 0, 0)
    assert counted == {(NEW_KID, "keys"): 170, (NEW_KID, "lists"): 170}
    assert retired == "ok"


async def test_a_key_in_use_is_not_forgotten(redis: Redis) -> None:
    """
    While a live process seals with it, or began to since the counting began, records may appear.
    """
    async with living(redis, OLD, NEW), living(redis, NEW, OLD):
        master = MasterKeys(redis, KEYS, Keyring.of(NEW, [OLD]))
        begun = (await master.use()).stored[OLD_KID]
        assert await master.retire(OLD_KID, begun) == "active"

    assert await master.retire(OLD_KID, begun - 1) == "again"
    assert await master.retire(OLD_KID, begun) == "ok"
    assert await master.retire(OLD_KID, begun) == "ok"  # the same call, repeated
    assert list((await master.use()).stored) == [NEW_KID]


async def test_a_deployment_from_before_rotation_goes_on(redis: Redis) -> None:
    """
    Its records say `m1` for the one key it had; they open, are rewrapped, and then no longer need
    that key.
    """
    before = Box({FIRST_KID: OLD}, active=FIRST_KID)
    await redis.set(KEYS.encryption_check(), OLD_KID)
    await put(redis, before, "a")

    with pytest.raises(Conflict, match="1 of the 1"):
        async with living(redis, NEW):
            pass
    async with living(redis, OLD, NEW) as box:
        await read(redis, box, "a")
    async with living(redis, NEW, OLD) as box:
        await read(redis, box, "a")
        await values(redis).rewrap(box, per_second=100_000)
        assert set(await values(redis).count()) == {(NEW_KID, "keys"), (NEW_KID, "lists")}
        master = MasterKeys(redis, KEYS, Keyring.of(NEW, [OLD]))
        use = await master.use()
        assert await master.retire(OLD_KID, use.stored[OLD_KID]) == "ok"
    async with living(redis, NEW) as box:
        await read(redis, box, "a")


async def test_what_is_written_meanwhile_is_not_overwritten(
    redis: Redis, redis_server: RedisServer
) -> None:
    """
    A value that changed between reading and writing back stays as its writer left it.
    """
    async with living(redis, OLD) as box:
        await put(redis, box, "a")
    ring = Keyring.of(NEW, [OLD])
    written = ring.box().seal("t", "key:a", 4, "another")
    writer = connect_sync(redis_server.url)

    class Racing(Box):
        """Somebody is always faster with one of the values."""

        def reseal(self, tenant: str, name: str, record: str) -> str:
            writer.hset(KEYS.registered_key("t", "a"), "sealed", written)
            return super().reseal(tenant, name, record)

    done = await values(redis).rewrap(Racing(ring.keys, ring.active), per_second=100_000)

    assert (done.moved, done.changed) in {(1, 1), (1, 0)}  # by the order of the two in the scan
    assert await redis.hget(KEYS.registered_key("t", "a"), "sealed") == written
    writer.close()


async def test_a_cut_rewrap_goes_on_where_it_was(redis: Redis) -> None:
    """
    Killed anywhere, it has moved some values whole; the next one moves the others.
    """
    names = [f"k{number}" for number in range(40)]
    async with living(redis, OLD) as box:
        for name in names:
            await put(redis, box, name)
    ring = Keyring.of(NEW, [OLD])

    class Killed(Box):
        """Gone at its thirtieth value."""

        left = 30

        def reseal(self, tenant: str, name: str, record: str) -> str:
            self.left -= 1
            if not self.left:
                raise SystemExit
            return super().reseal(tenant, name, record)

    with pytest.raises(SystemExit):
        await values(redis).rewrap(Killed(ring.keys, ring.active), per_second=100_000)
    for name in names:
        await read(redis, ring.box(), name)
    done = await values(redis).rewrap(ring.box(), per_second=100_000)

    assert done.moved == 2 * len(names) - 29
    assert set(await values(redis).count()) == {(NEW_KID, "keys"), (NEW_KID, "lists")}


async def test_a_broken_value_is_counted_and_left(redis: Redis) -> None:
    """
    One record that does not open does not stop the others, and keeps its text for who can help.
    """
    async with living(redis, OLD) as box:
        await put(redis, box, "a")
        await put(redis, box, "b")
    moved = str(await redis.hget(KEYS.registered_key("t", "a"), "sealed"))
    await redis.hset(KEYS.registered_key("t", "b"), "sealed", moved)
    box = Keyring.of(NEW, [OLD]).box()

    done = await values(redis).rewrap(box, per_second=100_000)

    assert (done.moved, done.broken) == (3, 1)
    assert await redis.hget(KEYS.registered_key("t", "b"), "sealed") == moved
    assert kid_of(moved) == OLD_KID


async def test_rewrapping_keeps_what_expires(redis: Redis) -> None:
    """
    A finished task's secrets go when it goes.
    """
    async with living(redis, OLD) as box:
        await put(redis, box, "a")
    key = KEYS.registered_key("t", "a")
    await redis.expire(key, 500)

    await values(redis).rewrap(Keyring.of(NEW, [OLD]).box(), per_second=100_000)

    assert 0 < await redis.ttl(key) <= 500
