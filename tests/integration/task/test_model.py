"""
The task scripts against a model of the queue: random histories, and after each step every rule.

`CODEFORGE_MODEL_EXAMPLES` (histories) and `CODEFORGE_MODEL_STEPS` make it look deeper; then the
histories are new ones each time.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import os
from math import inf

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from internal.agent.model import Usage
from internal.control.escalation import (
    Escalation,
    Level,
    ScopeKind,
    Signal,
    Thresholds,
    encode_rules,
)
from internal.control.gate import Gate
from internal.errors import Conflict, Fenced
from internal.task.escalations import Escalations
from internal.task.event import new_event
from internal.task.fenced import CancelAccepted
from internal.task.judgement import Judgement
from internal.task.model import Claim, Priority, Reason
from internal.task.queue import Lane
from internal.webhook.model import EventType
from tests.support.queue_control import ControlHistory
from tests.support.queue_history import BREAKER, HOMES, QUOTA
from tests.support.queue_model import Known
from tests.support.redis import RedisServer

_WORKS = Judgement(works=(BREAKER,))
_EXAMPLES = int(os.environ.get("CODEFORGE_MODEL_EXAMPLES", "0"))
_STEPS = int(os.environ.get("CODEFORGE_MODEL_STEPS", "40"))
_TENANTS = ("a", "b-1")
_REPOS = ("r", "s")
_GATES = (
    *("tenant:*", "tenant:a", "repo:*", "repo:a:r", "agent:*", "weight:a"),
    *("rate:tenant:b-1", "budget:agent:demo:usd", "budget:tenant:a:tokens"),
)
_DEDUP = (("", ""), ("", ""), ("d", "coalesce"), ("d", "latest_wins"), ("d", "reject"))
_NUMBERS = Escalation(
    window_seconds=600,
    quiet_seconds=30,
    thresholds={
        ScopeKind.AGENT: Thresholds(),
        ScopeKind.REPOSITORY: Thresholds(warn=1, throttle=2, isolate=3, stop=4),
        ScopeKind.WORKER: Thresholds(),
    },
)
_RULES = encode_rules(_NUMBERS.rule, [Signal.SILENCE])
_WEIGHTS = {
    "claim": 8,
    "run": 6,
    "advance": 4,
    "finish": 5,
    "append": 2,
    "hand_back": 2,
    "suspend": 2,
    "create": 3,
    "instruct": 2,
    "retry": 3,
    "publish": 3,
    "cancel": 3,
    "pause": 3,
    "resume": 3,
    "delete": 1,
    "crash": 4,
    "kill_worker": 1,
    "act_as_zombie": 1,
    "beat": 1,
    "home_goes_away": 1,
    "home_is_registered": 1,
    "sleep": 2,
    "reap": 2,
    "limit": 2,
    "signal": 3,
    "release": 1,
    "admit": 1,
    "judge": 5,
    "spend": 3,
    "direct": 3,
    "listen": 3,
    "shut": 1,
    "open": 2,
    "midnight": 1,
    "lose_replies": 1,
}
_ACTIONS = [name for name, weight in _WEIGHTS.items() for _ in range(weight)]


class QueueMachine(ControlHistory):
    """
    Actions are what clients, workers, time and operators do.

    They are one rule, not many: Hypothesis would leave most of many rules out of each history.
    """

    @initialize(tenant_cap=st.integers(0, 2), repo_cap=st.integers(0, 1), tasks=st.integers(2, 5))
    def begin(self, tenant_cap: int, repo_cap: int, tasks: int) -> None:
        self.limits = {"tenant:*": tenant_cap, "repo:*": repo_cap}
        self.do(self.lab.store.set_limits(self.limits))
        self.do(self.lab.subscribe("e1", " ".join(EventType), tenant="a"))
        for n in range(tasks):
            self._create(_TENANTS[n % 2], _REPOS[n % 3 % 2], Priority.NORMAL)

    @rule(action=st.sampled_from(_ACTIONS), data=st.data())
    def act(self, action: str, data: st.DataObject) -> None:
        self._data = data
        getattr(self, action)()

    @invariant()
    def everything_agrees(self) -> None:
        self.agree()

    # -- clients

    def create(self) -> None:
        key = self._one_of(["", "", "k1", "k2"])
        tenant, repo = self._one_of(_TENANTS), self._one_of(_REPOS)
        dedup = self._one_of(_DEDUP)
        priority, callback = self._one_of(list(Priority)), self._flip()
        self._create(tenant, repo, priority, key, callback=callback, dedup=dedup)

    def instruct(self) -> None:
        self._ask_for_more("instruct")

    def retry(self) -> None:
        self._ask_for_more("retry")

    def publish(self) -> None:
        self._ask_for_more("publish")

    def cancel(self) -> None:
        if not self.tasks:
            return
        task = self._some_task()
        answer = self.do(self.lab.store.cancel(task.ref))
        if task.is_finished or task.pushing:
            assert answer.word == "illegal"
        elif task.claim:
            assert (answer.word, answer.rest) == ("cancelling", (task.status,))
            task.cancel = True
        else:
            task.cancelled(self._look())
            assert (answer.word, answer.rest) == ("ok", (task.status,))

    def pause(self) -> None:
        if not self.tasks:
            return
        task = self._some_task()
        answer = self.do(self.lab.store.pause(task.ref))
        if task.status == "paused":
            assert (answer.word, answer.rest) == ("ok", ("paused",))
        elif task.is_finished or task.kind == "publish" or task.cancel:
            why = "being cancelled" if task.cancel else task.status
            assert (answer.word, answer.rest) == ("illegal", (why,))
        elif task.claim:
            assert (answer.word, answer.rest) == ("pausing", (task.status,))
            task.pause = True
        else:
            assert (answer.word, answer.rest) == ("ok", ("paused",))
            task.status = "paused"

    def resume(self) -> None:
        paused = [task for task in self.tasks.values() if task.status == "paused"]
        if paused and self._flip():
            self._resume(self._one_of(paused))
        elif self.tasks:
            task = self._some_task()
            if task.status == "paused":
                self._resume(task)
            else:
                answer = self.do(self.lab.store.resume(task.ref))
                assert (answer.word, answer.rest) == ("illegal", (task.status,))

    def delete(self) -> None:
        """By a client, or by the end of its TTL."""
        if not self.tasks:
            return
        task = self._some_task()
        if task.is_finished and self._flip():
            self.do(self._expire(task.ref))
            self.reap()
        else:
            answer = self.do(self.lab.store.delete(task.ref))
            assert answer.word == ("ok" if task.is_finished else "illegal")
        if task.is_finished:
            del self.tasks[task.ref]
            assert self.do(self.lab.store.cancel(task.ref)).word == "missing"

    # -- workers

    def claim(self) -> None:
        worker = self._one_of(self.workers)
        lanes = [Lane.ALONE] if worker.alone else [Lane.PUBLISH, Lane.AGENT]
        if not worker.alone and self._flip():
            lanes.reverse()
        for lane in lanes:
            if self._claim(worker, lane):
                break

    def run(self) -> None:
        """A whole life in one step, so that histories get far."""
        worker = self._one_of(self.workers)
        task = self._claim(worker, Lane.ALONE if worker.alone else Lane.AGENT)
        if task and task.kind != "publish":
            self.do(self.lab.advance(worker.claims[-1]))
            task.status = "running"
            if self._flip():
                self._judge(task, worker.claims[-1])
            self._finish(task, worker.claims[-1])

    def advance(self) -> None:
        if not self._held():
            return
        task, claim = self._some_claim()
        push = task.kind == "publish"
        try:
            if push:
                word = self.do(self.lab.begin_push(claim)).word
                assert word == ("cancelled" if task.cancel else "ok")
            else:
                self.do(self.lab.advance(claim))
        except CancelAccepted:
            assert task.cancel
        except Conflict:
            assert task.status == "running"
        else:
            task.pushing = push and not task.cancel
            task.status = "creating_pr" if push else "running"

    def append(self) -> None:
        if not self._held():
            return
        task, claim = self._some_claim()
        known = self.world.document(task.ref)
        events = [new_event("stream", "text", {"text": "a/ü"})] * 2
        batch = self._one_of([1, 2, 3])
        last = self.do(self.lab.queue.append(claim, batch, events))
        repeated = batch <= int(known["batch"])
        assert last == int(known["seq"]) + (0 if repeated else 2)

    def finish(self) -> None:
        if self._held():
            self._finish(*self._some_claim())

    def hand_back(self) -> None:
        if not self._held():
            return
        task, claim = self._some_claim()
        delay, gate, usage = self._one_of([0, 7]), self._one_of(["", QUOTA]), self._used(task)
        work = self.lab.queue.hand_back(
            *(claim, self.lab.operation()),
            reason="shutdown",
            delay_seconds=delay,
            repeat=delay > 0,
            gate=gate,
            usage=usage,
        )
        try:
            self.do(work)
        except CancelAccepted:
            assert task.cancel
        else:
            assert not task.cancel
            self._report(task, usage)
            self._give_up(claim)
            task.given_back()
            now = self.do(self.lab.now())
            if gate and task.status != "paused" and self.shutters[gate].room(now, self._holds) < 1:
                assert self._look().document(task.ref)["at"] == f"gate {gate}"

    def suspend(self) -> None:
        """A worker reports a pause, with what the run has so far."""
        held = [claim for claim in self._held() if self._by_claim(claim).kind != "publish"]
        asked = [claim for claim in held if self._by_claim(claim).pause]
        if not held:
            return
        claim = self._one_of(asked or held)
        task = self._by_claim(claim)
        work, usage = self._flip(), self._used(task)
        truncated = work and self._flip()
        try:
            self.do(self.lab.suspend(claim, work=work, truncated=truncated, usage=usage))
        except CancelAccepted:
            assert task.cancel
        else:
            assert not task.cancel
            self._report(task, usage)
            self._give_up(claim)
            task.suspended(kept=work)

    def signal(self) -> None:
        """A run shows a signal; its repository's level rises with their number, and never falls."""
        held = [claim for claim in self._held() if self._by_claim(claim).kind != "publish"]
        if not held:
            return
        claim = self._one_of(held)
        (scope,) = [gate for gate in self._by_claim(claim).gates if gate.startswith("repo:")]
        known = self._look().get(f"escalation:{scope}").get("level")
        self.do(self.lab.queue.signal(claim, _RULES))
        since = self.do(self.lab.now()) - 600_000
        world, levels = self._look(), list(Level)
        count = sum(at >= since for at in world.get(f"signals:{scope}").values())
        before = levels.index(Level(known)) + 1 if known else 0
        assert world.get(f"escalation:{scope}")["level"] == levels[max(before, min(count, 4)) - 1]

    def admit(self) -> None:
        """The worker has resolved a key, and asks whether it has a quota."""
        held = [claim for claim in self._held() if not claim.publish]
        if not held:
            return
        claim = self._one_of(held)
        task = self._by_claim(claim)
        if task.status != "cloning":
            return
        asked = self.lab.queue.admit(claim, [[Gate(key=QUOTA)]], self.lab.operation())
        now = self.do(self.lab.now())
        room = self.shutters[QUOTA].room(now, self._holds)
        try:
            admitted = self.do(asked)
        except CancelAccepted:
            assert task.cancel
        else:
            assert (admitted is None) == (room < 1)
            if admitted is None:
                self._give_up(claim)
                task.given_back()
            else:
                self.shutters[QUOTA].passed(claim, now)

    def act_as_zombie(self) -> None:
        """Nothing that a lost claim says counts."""
        if not self.zombies:
            return
        claim = self._one_of(self.zombies)
        before = self._look()
        for call in (
            lambda: self.lab.advance(claim),
            lambda: self.lab.queue.append(claim, 9, []),
            lambda: self.lab.finish(claim),
            lambda: self.lab.queue.hand_back(claim, "late", reason="shutdown"),
            lambda: self.lab.queue.judge(claim, _WORKS, "late"),
            lambda: self.lab.queue.spend(claim, Usage(cost_usd=9)),
            lambda: self.lab.queue.listen(claim, takes_input=True, heard=["d1"]),
            lambda: self.lab.suspend(claim),
            lambda: self.lab.queue.signal(claim, _RULES),
        ):
            with pytest.raises(Fenced):
                self.do(call())
        assert self._look() == before
        assert self.do(self.lab.beat(claim.worker, claim.home, [claim]))[1] == 0

    def beat(self) -> None:
        self._beat(self._one_of(self.workers))

    def kill_worker(self) -> None:
        """It says nothing any more; another process of its home takes its place."""
        worker = self._one_of(self.workers)
        self.workers.remove(worker)
        self.workers.append(self._worker(worker.home, worker.alone))

    def crash(self) -> None:
        """A busy worker dies; everybody else lives on until that is noticed."""
        busy = [worker for worker in self.workers if worker.claims]
        if busy:
            worker = self._one_of(busy)
            self.workers.remove(worker)
            self._live_on(12)
            self.workers.append(self._worker(worker.home, worker.alone))

    def home_goes_away(self) -> None:
        """All processes of a home die; others take their place later."""
        home = self._one_of(HOMES)
        gone = [worker for worker in self.workers if worker.home == home]
        self.workers = [worker for worker in self.workers if worker.home != home]
        self._live_on(18)
        self._live_on(self._one_of([6, 66]))
        self.workers += [self._worker(home, worker.alone) for worker in gone]

    def home_is_registered(self) -> None:
        """Idle workers of a home leave in good order, or all of them register again."""
        home, leave = self._one_of(HOMES), self._flip()
        for worker in self.workers:
            if worker.home == home and leave and not worker.claims:
                self.do(self.lab.queue.unregister(worker.name, home))
            elif worker.home == home and not leave:
                self.do(self.lab.queue.register(worker.name, home, {}))

    # -- time and operators

    def sleep(self) -> None:
        self.do(self.lab.sleep(self._one_of([1, 4, 9, 20])))

    def midnight(self) -> None:
        """Day budgets begin anew."""
        self.do(self.lab.sleep(86_400 - self.do(self.lab.now()) // 1000 % 86_400))

    def limit(self) -> None:
        self.limits[self._one_of(_GATES)] = self._one_of([0, 1, 2])
        self.do(self.lab.store.set_limits(self.limits))

    def release(self) -> None:
        """An operator ends a level, by hand."""
        scopes = sorted(self._look().get("escalations"))
        if scopes:
            scope = self._one_of(scopes)
            assert self.do(Escalations(self.redis, self.lab.keys).release(scope))
            world = self._look()
            assert f"escalation:{scope}" not in world.values
            assert f"signals:{scope}" not in world.values

    def shut(self) -> None:
        """What behaves badly is left alone, for a while or until an operator says so."""
        gate, seconds = self._one_of([BREAKER, QUOTA]), self._one_of([0, 5, 5, None])
        self.do(self.lab.shut(gate, seconds=seconds))
        self.do(self.redis.delete(f"{self.lab.keys.prefix}gate:{gate}:window"))
        now = self.do(self.lab.now())
        self.shutters[gate].shut(inf if seconds is None else now + seconds * 1000)

    def open(self) -> None:
        self.open_gate(self._one_of([BREAKER, QUOTA]))

    def lose_replies(self) -> None:
        """From now on the client library sends each script twice, or not."""
        self.lab.twice = self._flip()

    # -- choices

    def _ask_for_more(self, kind: str) -> None:
        """INSTRUCT, RETRY or PUBLISH, of a finished task when there is one."""
        finished = [task for task in self.tasks.values() if task.is_finished]
        if not self.tasks:
            return
        task = self._one_of(finished) if finished else self._some_task()
        legal = task.is_finished and (kind != "retry" or task.status == "failed")
        answer = self.do(getattr(self.lab, kind)(task.ref))
        if kind == "publish" and task.status == "creating_pr" and not task.cancel:
            assert answer.word == "joined"
        elif not legal:
            assert (answer.word, answer.rest) == ("illegal", (task.status,))
        elif kind == "publish" and not self.world.document(task.ref).get("home"):
            assert answer.word == "no_work"
        else:
            assert answer.word == "ok"
            task.begin(kind, self.world)

    def _finish(self, task: Known, claim: Claim) -> None:
        failed = self._one_of([None, None, Reason.AGENT_FAILED, Reason.CANCELED])
        if task.kind == "publish":
            return self._finish_publish(task, claim, failed)
        if task.cancel:
            failed = Reason.CANCELED
        work, usage = self._one_of([True, True, False]), self._used(task)
        truncated = work and self._flip()
        ending = self.lab.finish(claim, failed=failed, work=work, truncated=truncated, usage=usage)
        try:
            state = self.do(ending)
        except Conflict:
            assert task.status == "cloning"
            assert failed is None
        else:
            self._report(task, usage)
            self._give_up(claim)
            task.ended("failed" if failed else "completed", canceled=failed is Reason.CANCELED)
            assert state == task.status
        return None


@pytest.mark.live_keys
@pytest.mark.timeout(3600)
def test_random_histories_keep_every_rule(redis_server: RedisServer) -> None:
    """
    Whatever clients, workers, time and operators do in whatever order: a task stands in exactly one
    place, its log has no hole and one final event per run, no cap is exceeded, a dead worker costs
    only its own tasks a life, what is put back is whole, and everything can be brought to an end.
    """

    class Machine(QueueMachine):
        url = redis_server.url

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=_EXAMPLES or 40,
            stateful_step_count=_STEPS,
            derandomize=not _EXAMPLES,
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
