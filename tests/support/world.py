"""
The whole database of the task scripts as one value, and what must always be true of it.

`World.read` takes everything in one call, so a test can compare two moments byte for byte. `check`
is the list of invariants; the model test asks it after every step, the table tests after each test.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

from redis.asyncio import Redis

from internal.rdb.keys import Keys
from internal.task.event import FINAL_EVENTS
from internal.task.state import CLAIMED, FINISHED, State, may_follow
from tests.support.virtual_time import CLOCK_KEY

_DUMP = """
local out = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
  local kind, value = redis.call('TYPE', key).ok, nil
  if kind == 'string' then value = redis.call('GET', key)
  elseif kind == 'hash' then value = redis.call('HGETALL', key)
  elseif kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif kind == 'set' then value = redis.call('SMEMBERS', key)
  elseif kind == 'list' then value = redis.call('LRANGE', key, 0, -1)
  else value = redis.call('XRANGE', key, '-', '+') end
  out[#out + 1] = {key, kind, redis.call('PTTL', key) >= 0, value}
end
return cjson.encode(out)
"""
_QUEUED = {State.PENDING, State.AWAITING_INSTRUCTION, State.CREATING_PR}
_NUMBERS = (
    *("created_at", "started_at", "finished_at", "since", "wait_until", "retain"),
    *("seq", "batch", "attempt", "lost", "retries", "iteration", "iterations_used", "pr_number"),
    "ran",
)
OF_A_RUN = (
    "spent",
    *("token", "worker", "claim", "batch", "pushing", "cancel", "prev", "lost_work", "pr_options"),
    *("pause", "ran", "ran_usage", "ran_unpriced", "judged", "listens", "told", "heard"),
    *("at", "since", "wait_reason", "wait_until", "waited", "permit", "admitted"),
)
"""Fields that a finished task does not have."""


@dataclass(frozen=True)
class World:
    """Every key (without the prefix) with its value: dict, list, sorted set as dict, or text."""

    values: Mapping[str, Any]
    with_ttl: frozenset[str] = field(default=frozenset())

    @classmethod
    async def read(cls, redis: Redis, keys: Keys) -> World:
        """All that is there now."""
        text = cast(str, await redis.eval(_DUMP, 0, f"{keys.prefix}*"))
        rows = cast(list[tuple[str, str, bool, Any]], json.loads(text) or [])
        cut = len(keys.prefix)
        values = {name[cut:]: _value(kind, value) for name, kind, _, value in rows}
        values.pop(CLOCK_KEY, None)
        return cls(values, frozenset(name[cut:] for name, _, ttl, _ in rows if ttl))

    @cached_property
    def tasks(self) -> dict[str, dict[str, str]]:
        """Documents by ref."""
        found: dict[str, dict[str, str]] = {}
        for name, value in self.values.items():
            match = re.fullmatch(r"tenant:([^:]+):task:([^:]+)", name)
            if match:
                found[f"{match[1]}/{match[2]}"] = value
        return found

    def document(self, ref: str) -> dict[str, str]:
        return self.tasks[ref]

    def rows(self, ref: str) -> dict[str, str]:
        """The hash of iterations."""
        return dict(self.values[f"{_key(ref)}:iterations"])

    def events(self, ref: str) -> list[dict[str, Any]]:
        return [json.loads(data[1]) for _, data in self.values[f"{_key(ref)}:events"]]

    def names(self, ref: str) -> list[str]:
        """`type/event`, in order."""
        return [f"{event['type']}/{event['event']}" for event in self.events(ref)]

    def get(self, name: str) -> Any:
        """The value of a key, empty when there is none."""
        return self.values.get(name, {})

    def matching(self, pattern: str) -> Iterator[tuple[re.Match[str], Any]]:
        for name, value in self.values.items():
            match = re.fullmatch(pattern, name)
            if match:
                yield match, value

    def places(self) -> dict[str, list[str]]:
        """Where each task stands: `list <lane> <suffix>`, `gate <key>`, `home <id>`, due, lease."""
        found: dict[str, list[str]] = {}
        for match, value in self.matching(r"queue:([a-z]+)(@[^:]*)?:([^:]+):([012])"):
            for task in value:
                where = f"list {match[1]} {match[2] or ''}"
                found.setdefault(f"{match[3]}/{task}", []).append(where)
        for match, value in self.matching(r"gate:(.*):parked"):
            for entry in value:
                if entry.startswith("task "):
                    found.setdefault(entry.removeprefix("task "), []).append(f"gate {match[1]}")
        for match, value in self.matching(r"home:([^:]+):away"):
            for ref in value:
                found.setdefault(ref, []).append(f"home {match[1]}")
        for name, where in (("due", "due"), ("leases", "lease")):
            for ref in self.get(name):
                found.setdefault(ref, []).append(where)
        return found


def check(world: World) -> None:
    """Everything that must be true between two scripts; AssertionError says what is not."""
    _check_places(world)
    _check_leases(world)
    _check_flows(world)
    _check_indexes(world)
    _check_directives(world)
    _check_dedup(world)
    for ref in world.tasks:
        _check_document(world, ref)
        _check_events(world, ref)
        _check_deliveries(world, ref)


def check_at_rest(world: World) -> None:
    """What must be true when every task is finished: nothing is left of the queue."""
    check(world)
    left = [
        name
        for name in world.values
        if re.match(r"(queue|flows|held|due|leases|queued|gates|gate|homes|claim):?", name)
        and name not in world.with_ttl
    ]
    assert not left, f"left behind: {left}"


def _check_places(world: World) -> None:
    places = world.places()
    assert set(places) <= set(world.tasks), "a place without its task"
    for ref, task in world.tasks.items():
        found = places.get(ref, [])
        if State(task["status"]) in FINISHED:
            assert not found, f"{ref} is finished and stands in {found}"
            left = [name for name in OF_A_RUN if name in task]
            assert not left, f"{ref} is finished and has {left}"
        elif "token" in task:
            assert found == ["lease"], f"{ref} is leased and stands in {found}"
            assert "at" not in task
        elif State(task["status"]) is State.PAUSED:
            assert not found, f"{ref} is paused and stands in {found}"
            assert not {"at", "pause", "cancel"} & set(task), f"{ref} is paused, and more"
        else:
            assert found == [task["at"]], f"{ref} is queued at {task['at']!r}, stands in {found}"
            assert State(task["status"]) in _QUEUED, f"{ref} is queued as {task['status']}"
    queued = {ref: float(task["since"]) for ref, task in world.tasks.items() if "at" in task}
    assert world.get("queued") == queued


def _check_leases(world: World) -> None:
    leased = {ref: task for ref, task in world.tasks.items() if "token" in task}
    assert set(world.get("leases")) == set(leased)
    held = {match[1]: set(refs) for match, refs in world.matching(r"held:(.*)")}
    by_worker: dict[str, set[str]] = {}
    gates: dict[str, set[str]] = {}
    for ref, task in leased.items():
        by_worker.setdefault(task["worker"], set()).add(ref)
        for line in task["gates"].splitlines():
            kind, _, key = line.split(" ", 2)
            if kind == "cap":
                gates.setdefault(key, set()).add(ref)
        publishes = task["kind"] == "publish"
        assert (task["status"] == "creating_pr") if publishes else (task["status"] in CLAIMED)
    assert held == by_worker
    assert {match[1]: set(refs) for match, refs in world.matching(r"gate:(.*):held")} == gates


def _check_flows(world: World) -> None:
    with_work = {
        (f"{match[1]}{match[2] or ''}", match[3])
        for match, _ in world.matching(r"queue:([a-z]+)(@[^:]*)?:([^:]+):[012]")
    }
    joined = [
        (match[1], tenant) for match, flow in world.matching(r"flows:(.*)") for tenant in flow
    ]
    parked: list[tuple[str, str]] = []
    for match, entries in world.matching(r"gate:(.*):parked"):
        for entry in entries:
            kind, _, rest = entry.partition(" ")
            if kind == "flow":
                lane, _, tenant = rest.partition(" ")
                assert match[1] == f"tenant:{tenant}"
                parked.append((lane, tenant))
    assert Counter(joined + parked) == Counter(with_work), "a tenant without its turn"
    gates = {match[1] for match, _ in world.matching(r"gate:(.*):parked")}
    assert set(world.get("gates:parked")) == gates
    homes = {match[1] for match, _ in world.matching(r"flows:[a-z]+@(.*)")}
    homes |= {match[1] for match, _ in world.matching(r"home:([^:]+):away")}
    assert homes <= set(world.get("homes"))


def _check_indexes(world: World) -> None:
    index: dict[str, set[str]] = {}
    states: dict[tuple[str, str], set[str]] = {}
    for ref, task in world.tasks.items():
        tenant, _, task_id = ref.partition("/")
        index.setdefault(tenant, set()).add(task_id)
        states.setdefault((tenant, task["status"]), set()).add(task_id)
    assert {m[1]: set(ids) for m, ids in world.matching(r"tenant:([^:]+):index")} == index
    found = {(m[1], m[2]): set(v) for m, v in world.matching(r"tenant:([^:]+):state:(.*)")}
    assert found == states
    finished = {ref for ref, task in world.tasks.items() if State(task["status"]) in FINISHED}
    assert set(world.get("expiring")) == finished
    assert set(world.get("dead")) <= {r for r in finished if world.tasks[r]["status"] == "failed"}


def _check_dedup(world: World) -> None:
    keys: dict[tuple[str, str], set[str]] = {}
    for ref, task in world.tasks.items():
        if "dedup" in task and State(task["status"]) not in FINISHED:
            tenant, _, task_id = ref.partition("/")
            keys.setdefault((tenant, task["dedup"]), set()).add(task_id)
    found = {(m[1], m[2]): set(ids) for m, ids in world.matching(r"tenant:([^:]+):dedup:(.*)")}
    assert found == keys
    for key, held in world.matching(r"gate:(dedup:.*):held"):
        assert len(held) == 1, f"{key[1]} is held by {held}"


def _check_document(world: World, ref: str) -> None:
    task = world.tasks[ref]
    finished = State(task["status"]) in FINISHED
    for name in _NUMBERS:
        assert re.fullmatch(r"\d+", task.get(name, "0")), f"{ref} has {name} {task[name]!r}"
    for suffix in ("", ":events", ":iterations", ":work"):
        key = f"{_key(ref)}{suffix}"
        if key in world.values:
            assert (key in world.with_ttl) == finished, f"{key}: TTL must be {finished}"
    rows = world.rows(ref)
    used = {int(name.partition(".")[0]) for name in rows}
    last = int(task.get("iterations_used", task["iteration"]))
    assert used == set(range(1, last + 1)), f"{ref} has rows {used}, used {last}"
    assert all(f"{number}.prompt" in rows for number in used)
    assert all(f"{number}.status" in rows for number in used - {int(task["iteration"])})


def _check_events(world: World, ref: str) -> None:
    events = world.events(ref)
    assert [event["id"] for event in events] == list(range(1, int(world.tasks[ref]["seq"]) + 1))
    stream = world.values[f"{_key(ref)}:events"]
    assert [entry for entry, _ in stream] == [f"{event['id']}-0" for event in events]
    state, over = State.PENDING, False
    for before, event in zip([None, *events], events, strict=False):
        assert isinstance(event["data"], dict)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["ts"])
        name = (event["type"], event["event"])
        if name == ("system", "state"):
            old, new = State(event["data"]["from"]), State(event["data"]["to"])
            assert old is state, f"{ref} event {event['id']}: was {state}"
            assert may_follow(old, new)
            state = new
            over = False
        else:
            assert not over, f"{ref} event {event['id']}: behind the final one"
        if name in FINAL_EVENTS:
            assert before is not None
            assert before["event"] == "state", f"{ref}: {name} is not behind its state"
            over = True
    assert state == world.tasks[ref]["status"]
    assert over == (state in FINISHED), f"{ref} is {state}, final event: {over}"


def _check_directives(world: World) -> None:
    waiting = {f"{m[1]}/{m[2]}" for m, _ in world.matching(r"tenant:([^:]+):task:(.*):directives")}
    assert set(world.get("directed")) == waiting
    finished = {r for r in waiting if State(world.tasks[r]["status"]) in FINISHED}
    assert not finished, f"finished, and told something: {finished}"


def _check_deliveries(world: World, ref: str) -> None:
    task = world.tasks[ref]
    tenant, _, task_id = ref.partition("/")
    wanted: set[str] = set()
    for event in world.events(ref):
        hook = _hook(event)
        identifier = f"evt_{task_id}_{event['id']}"
        if hook in _TO_CALLBACK and "callback_url" in task:
            wanted.add(identifier)
        for endpoint, types in world.get(f"tenant:{tenant}:webhooks").items():
            if hook in types.split():
                wanted.add(f"{identifier}_{endpoint}")
    told = {m[1] for m, _ in world.matching(rf"delivery:(evt_{task_id}_\d+\w*)")}
    sharers = {name for name in told if re.search(r"_c\d+$", name)}
    assert told - sharers == wanted
    _check_sharers(world, ref, sharers)
    assert told == set(world.get(f"{_key(ref)}:deliveries"))
    for delivery in told:
        record = world.values[f"delivery:{delivery}"]
        body = webhook_body(world, record)
        assert (delivery in world.get("outbox")) == ("status" not in record)
        assert body["type"] == record["event"]
        assert body["task_id"] == task_id


def _check_sharers(world: World, ref: str, told: set[str]) -> None:
    """Who shares a task is told of every end since, by the number of its callback."""
    task = world.tasks[ref]
    ends = [e["id"] for e in world.events(ref) if _hook(e) in _TO_CALLBACK]
    count = len(task.get("callbacks", "").splitlines())
    _, _, task_id = ref.partition("/")
    assert told <= {f"evt_{task_id}_{end}_c{n + 1}" for end in ends for n in range(count)}
    if ends and State(task["status"]) in FINISHED and _hook(world.events(ref)[-1]):
        assert {f"evt_{task_id}_{ends[-1]}_c{n + 1}" for n in range(count)} <= told


_TO_CALLBACK = {"task.completed", "task.failed", "task.pr_created"}


def _hook(event: Mapping[str, Any]) -> str | None:
    """The type of the webhook that tells this event, as far as the log alone says."""
    match event["type"], event["event"]:
        case "result", "task_completed":
            return "task.completed"
        case "system", "task_failed":
            return "task.failed"
        case "git", "pr_created":
            return "task.pr_created"
        case "system", "state" if event["data"]["to"] == "awaiting_instruction":
            # With a reason it only went back to where it had waited before.
            return None if "reason" in event["data"] else "task.awaiting_instruction"
        case _:
            return None


def webhook_body(world: World, record: Mapping[str, str]) -> dict[str, Any]:
    """What a delivery would send."""
    ref = f"{record['tenant']}/{record['task_id']}"
    body: dict[str, Any] = json.loads(world.get(f"{_key(ref)}:bodies")[record["event_id"]])
    return body


def _key(ref: str) -> str:
    tenant, _, task = ref.partition("/")
    return f"tenant:{tenant}:task:{task}"


def _value(kind: str, value: Any) -> Any:
    if kind == "hash":
        return dict(zip(value[::2], value[1::2], strict=True))
    if kind == "zset":
        return {member: float(score) for member, score in zip(value[::2], value[1::2], strict=True)}
    return sorted(value) if kind == "set" else value
