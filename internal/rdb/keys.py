"""
Every Redis key: one function each, with its type, its TTL and who owns it.

All start with the configurable prefix (`redis.prefix`); with a hash tag in it, everything lies in
one Cluster slot. The Lua scripts derive the same names from the prefix (internal/task/lua/lib.lua,
internal/webhook/lua/); docs/redis-keys.md is checked against this file by a test.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """The names under one prefix. *tenant*, *task*, *home* and *worker* are opaque ids."""

    prefix: str

    # -- one task; owner: task. TTL `tasks.state_ttl` once finished, none before
    # ---------------------
    def task(self, tenant: str, task: str) -> str:
        """hash: the document, its counters and its place in the queue."""
        return f"{self.prefix}tenant:{tenant}:task:{task}"

    def task_events(self, tenant: str, task: str) -> str:
        """stream: the event log; ids are `<number>-0` from 1, field `e` is the envelope."""
        return f"{self.task(tenant, task)}:events"

    def task_iterations(self, tenant: str, task: str) -> str:
        """hash: `<number>.<field>` of every iteration."""
        return f"{self.task(tenant, task)}:iterations"

    def task_work(self, tenant: str, task: str) -> str:
        """hash: iteration number -> its stored diff, compressed."""
        return f"{self.task(tenant, task)}:work"

    def task_directives(self, tenant: str, task: str) -> str:
        """list: directives that wait to be told, oldest left; gone when its run ends."""
        return f"{self.task(tenant, task)}:directives"

    def task_deleted(self, tenant: str, task: str) -> str:
        """string: operation id of the DELETE that erased the task; TTL 60 s."""
        return f"{self.task(tenant, task)}:deleted"

    # -- one tenant; owner: task
    # ----------------------------------------------------------------------
    def tenant_index(self, tenant: str) -> str:
        """zset: task id by creation; permanent, entries leave with their task."""
        return f"{self.prefix}tenant:{tenant}:index"

    def tenant_state(self, tenant: str, state: str) -> str:
        """zset: task id by entry into that state; permanent, entries leave with their task."""
        return f"{self.prefix}tenant:{tenant}:state:{state}"

    def idempotency(self, tenant: str, key: str) -> str:
        """hash: task id and request hash of an Idempotency-Key; TTL 24 h."""
        return f"{self.prefix}tenant:{tenant}:idempotency:{key}"

    def dedup(self, tenant: str, digest: str) -> str:
        """zset: unfinished tasks of one deduplication key, by creation; TTL 90 days."""
        return f"{self.prefix}tenant:{tenant}:dedup:{digest}"

    def usage_of_day(self, tenant: str, day: str) -> str:
        """hash: tokens and cost of one day (`yyyy-mm-dd`, UTC); TTL 48 h."""
        return f"{self.prefix}tenant:{tenant}:usage:{day}"

    # -- registered keys; owner: keys
    # -------------------------------------------------------------------
    def registered_keys(self, tenant: str) -> str:
        """zset: names of a tenant's keys by creation; permanent, entries leave with their key."""
        return f"{self.prefix}tenant:{tenant}:keys"

    def registered_key(self, tenant: str, name: str) -> str:
        """hash: one key, its value sealed; permanent until it is deleted."""
        return f"{self.prefix}tenant:{tenant}:key:{name}"

    def registered_key_deleted(self, tenant: str, name: str) -> str:
        """string: operation id of the call that erased a key; TTL 60 s."""
        return f"{self.registered_key(tenant, name)}:deleted"

    # -- the queue; owner: task. Permanent while non-empty
    # ---------------------------------------------
    def queue_list(self, lane: str, suffix: str, tenant: str, priority: int) -> str:
        """list: task ids of one tenant and priority (0 high, 1 normal, 2 low), oldest left."""
        return f"{self.prefix}queue:{lane}{suffix}:{tenant}:{priority}"

    def flows(self, lane: str, suffix: str) -> str:
        """zset: tenants with work in these lists, by virtual time."""
        return f"{self.prefix}flows:{lane}{suffix}"

    def served(self, lane: str) -> str:
        """zset: the lane's clock (member ""), and tenants' own last times while ahead of it."""
        return f"{self.prefix}served:{lane}"

    def bell(self, lane: str, suffix: str) -> str:
        """list: doorbell, at most one entry, carries no work; TTL 60 s."""
        return f"{self.prefix}bell:{lane}{suffix}"

    def queued(self) -> str:
        """zset: refs of everything that wants a worker, by the time its run was queued."""
        return f"{self.prefix}queued"

    def due(self) -> str:
        """zset: refs that wait for a time, by that time in ms."""
        return f"{self.prefix}due"

    def leases(self) -> str:
        """zset: refs that a worker runs, by the end of the lease in ms."""
        return f"{self.prefix}leases"

    def held(self, worker: str) -> str:
        """set: refs leased by one worker."""
        return f"{self.prefix}held:{worker}"

    def claim(self, token: str) -> str:
        """string: the ref a claim token was given for; TTL one lease."""
        return f"{self.prefix}claim:{token}"

    def limits(self) -> str:
        """hash: gate (or its class, `tenant:*`) -> its limit; `weight:<tenant>`; permanent."""
        return f"{self.prefix}limits"

    def spent(self, gate: str, day: str) -> str:
        """hash: what was spent under a `budget` gate on one day (UTC), its repo_url; TTL 48 h."""
        return f"{self.prefix}spent:{gate}:{day}"

    def spent_gates(self, day: str) -> str:
        """zset: `budget` gates under which something was spent that day, by time; TTL 48 h."""
        return f"{self.prefix}spent:{day}"

    def gate_held(self, gate: str) -> str:
        """set: refs that hold a place of a gate."""
        return f"{self.prefix}gate:{gate}:held"

    def gate_parked(self, gate: str) -> str:
        """zset: what waits at a gate, by priority, then age; whole tenants first."""
        return f"{self.prefix}gate:{gate}:parked"

    def gate_turn(self, gate: str) -> str:
        """string: which tenant's task went on last at a gate that tenants share; TTL 1 h."""
        return f"{self.prefix}gate:{gate}:turn"

    def gates_parked(self) -> str:
        """zset: gates with something parked, by the time REAP last looked at them."""
        return f"{self.prefix}gates:parked"

    def gate_starts(self, gate: str) -> str:
        """zset: claim tokens that passed a `rate` gate, by time in ms; TTL one minute."""
        return f"{self.prefix}gate:{gate}:starts"

    def gate_until(self, gate: str) -> str:
        """hash: an `until` gate that is not open; TTL 24 h behind its time, if it has one."""
        return f"{self.prefix}gate:{gate}:until"

    def gate_released(self, gate: str) -> str:
        """string: operation id of the call that opened an `until` gate by hand; TTL 60 s."""
        return f"{self.prefix}gate:{gate}:released"

    def gates_shut(self) -> str:
        """zset: `until` gates that are not open, by that time in ms; trimmed by REAP."""
        return f"{self.prefix}gates:shut"

    def gate_window(self, gate: str) -> str:
        """hash: outcomes a breaker looks at, by slot and tenant, and the row; TTL its window."""
        return f"{self.prefix}gate:{gate}:window"

    def breakers(self) -> str:
        """zset: gates of breakers by the time of their last outcome; newest 200; TTL 24 h."""
        return f"{self.prefix}breakers"

    def directed(self) -> str:
        """zset: refs with waiting directives, by the time REAP last looked at them."""
        return f"{self.prefix}directed"

    def expiring(self) -> str:
        """zset: refs of finished tasks by the end of their TTL; permanent, trimmed by REAP."""
        return f"{self.prefix}expiring"

    def trimmed(self) -> str:
        """string: how far in `expiring` agent events are gone; TTL 1 h, none in good times."""
        return f"{self.prefix}trimmed"

    def dead_letters(self) -> str:
        """zset: refs that ran out of lives or repeats, newest 10,000."""
        return f"{self.prefix}dead"

    def signals(self, scope: str) -> str:
        """zset: watchdog signals of an agent, repository or worker by time in ms; TTL 24 h."""
        return f"{self.prefix}signals:{scope}"

    def escalation(self, scope: str) -> str:
        """hash: the level of a scope while it has one, since when and why; until it is released."""
        return f"{self.prefix}escalation:{scope}"

    def escalation_released(self, scope: str) -> str:
        """string: operation id of the release of a scope; TTL 60 s."""
        return f"{self.escalation(scope)}:released"

    def escalations(self) -> str:
        """zset: scopes with a level, by when REAP looks at them next; permanent."""
        return f"{self.prefix}escalations"

    def tenants(self) -> str:
        """zset: tenants by their newest task; permanent."""
        return f"{self.prefix}tenants"

    def contact(self) -> str:
        """hash: last contact with Redis, end of the pause of reaping, mark for WAIT; permanent."""
        return f"{self.prefix}contact"

    def counters(self) -> str:
        """hash: counters and histogram buckets of the whole deployment; permanent."""
        return f"{self.prefix}counters"

    # -- workers and homes; owner: task
    # ------------------------------------------------------------------
    def worker(self, worker: str) -> str:
        """hash: registry record; TTL 15 s."""
        return f"{self.prefix}worker:{worker}"

    def workers(self) -> str:
        """zset: workers by their last sign of life; trimmed by REAP."""
        return f"{self.prefix}workers"

    def home(self, home: str) -> str:
        """zset: live workers of a home; TTL 15 s."""
        return f"{self.prefix}home:{home}"

    def home_away(self, home: str) -> str:
        """zset: refs that wait for an absent home, by the end of that wait in ms."""
        return f"{self.prefix}home:{home}:away"

    def homes(self) -> str:
        """zset: homes with lists or waiting tasks of their own, by REAP's last look at them."""
        return f"{self.prefix}homes"

    def ops(self, home: str) -> str:
        """list: op ids for the workers of a home (`*`: any worker); TTL 60 s."""
        return f"{self.prefix}ops:{home}"

    def op(self, op: str) -> str:
        """hash: one op, its request and its answer; TTL 60 s."""
        return f"{self.prefix}op:{op}"

    def op_answer(self, op: str) -> str:
        """list: doorbell of an op's answer; TTL 60 s."""
        return f"{self.prefix}op:{op}:answer"

    # -- channels
    # ----------------------------------------------------------------------------------------
    def stream_channel(self, task: str) -> str:
        """Pub/Sub, public: every envelope as it is stored."""
        return f"{self.prefix}task:{task}:stream"

    def done_channel(self, task: str) -> str:
        """Pub/Sub, public: the done object."""
        return f"{self.prefix}task:{task}:done"

    def control_channel(self) -> str:
        """Pub/Sub: `cancel <ref>`, `halt <ref>`, `erased <ref>`."""
        return f"{self.prefix}control"

    def ping_channel(self, process: str) -> str:
        """Pub/Sub: a server's own ping, by which it notices a dead connection."""
        return f"{self.prefix}ping:{process}"

    # -- MCP servers; owner: mcp
    # -------------------------------------------------------------------------------------------
    def mcp_servers(self, tenant: str, project: str) -> str:
        """hash: name -> registered MCP server, sealed; of the tenant when <project> is empty."""
        return f"{self.prefix}tenant:{tenant}:mcp:servers:{project}"

    def mcp_count(self, tenant: str) -> str:
        """string: how many MCP servers a tenant has in all its places; permanent."""
        return f"{self.prefix}tenant:{tenant}:mcp:count"

    def mcp_removed(self, tenant: str, operation: str) -> str:
        """string: a removal that was done, for its repeated call; TTL 60 s."""
        return f"{self.prefix}tenant:{tenant}:mcp:removed:{operation}"

    # -- the input list; owner: server
    # ---------------------------------------------------------------------
    def input_tasks(self) -> str:
        """list, public: create bodies pushed by other programs."""
        return f"{self.prefix}input:tasks"

    def input_pending(self) -> str:
        """list: payloads a listener took and has not answered yet."""
        return f"{self.prefix}input:pending"

    def input_result(self, correlation: str) -> str:
        """string, public: the answer to one payload; TTL 5 min."""
        return f"{self.prefix}input:result:{correlation}"

    # -- webhooks; owner: webhook (the task scripts write through its lua/lib/post.lua)
    # ------------------------------------------------------------------------
    def webhook_endpoints(self, tenant: str) -> str:
        """hash: endpoint id -> event types it wants, "" when it is off; permanent."""
        return f"{self.prefix}tenant:{tenant}:webhooks"

    def webhook_endpoint(self, tenant: str, endpoint: str) -> str:
        """hash: one registered endpoint, its health and sealed secrets; until it is deleted."""
        return f"{self.prefix}tenant:{tenant}:webhook:{endpoint}"

    def task_bodies(self, tenant: str, task: str) -> str:
        """hash: event id -> the body of its webhook; TTL 30 days, erased with the task."""
        return f"{self.task(tenant, task)}:bodies"

    def task_deliveries(self, tenant: str, task: str) -> str:
        """zset: delivery ids of the task by creation, newest 1,000; TTL 30 days."""
        return f"{self.task(tenant, task)}:deliveries"

    def tenant_deliveries(self, tenant: str) -> str:
        """zset: delivery ids of a tenant by creation, newest 10,000; TTL 30 days."""
        return f"{self.prefix}tenant:{tenant}:deliveries"

    def outbox(self) -> str:
        """zset: delivery ids by due time in ms."""
        return f"{self.prefix}outbox"

    def outbox_bell(self) -> str:
        """list: doorbell of the outbox, at most one entry; TTL 60 s."""
        return f"{self.prefix}outbox:bell"

    def delivery(self, delivery: str) -> str:
        """hash: one delivery and its attempts; no TTL while it waits, 30 days once it ended."""
        return f"{self.prefix}delivery:{delivery}"

    # -- who may do what; owner: access
    # --------------------------------------------------------------------
    def token(self, digest: str) -> str:
        """hash: an API token, by the SHA-256 of its text; TTL to its expiry, if it has one."""
        return f"{self.prefix}token:{digest}"

    def tokens(self, tenant: str) -> str:
        """hash: name -> digest of a tenant's tokens; permanent, at most 1,000."""
        return f"{self.prefix}tenant:{tenant}:tokens"

    def rate(self, tenant: str, token: str, window: str) -> str:
        """zset: calls of one kind by time in ms; TTL one minute."""
        return f"{self.prefix}tenant:{tenant}:rate:{token}:{window}"

    def audit(self, tenant: str) -> str:
        """stream: who did what; newest 10,000 entries of 90 days; TTL 90 days from the last."""
        return f"{self.prefix}tenant:{tenant}:audit"

    def audit_mark(self, tenant: str, entry: str) -> str:
        """string: this entry was written; TTL 60 s."""
        return f"{self.prefix}tenant:{tenant}:audit:{entry}"

    # -- the deployment; owner: rdb
    # ------------------------------------------------------------------------
    def schema(self) -> str:
        """string: number of the data's schema; permanent."""
        return f"{self.prefix}schema"

    def deployment(self) -> str:
        """string: random id of these data, by which a home knows them again; permanent."""
        return f"{self.prefix}deployment"

    def encryption_check(self) -> str:
        """string: id of the master key behind records of the id `m1`; goes with that key."""
        return f"{self.prefix}encryption:check"

    def encryption_kids(self) -> str:
        """hash: master key that secrets may be under -> how often one began to seal with it."""
        return f"{self.prefix}encryption:kids"

    def encryption_processes(self) -> str:
        """hash: live process -> the master keys it knows; TTL 60 s."""
        return f"{self.prefix}encryption:processes"
