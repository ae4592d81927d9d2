"""
Real agent processes that are refused, break, or fail: what their ends do to those behind them.

The agents are shell scripts in the place of Claude Code; they go by the key they are given and by
the time, because a sandbox lets nothing else through from one run to the next.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from internal.control.breaker import agent_key, endpoint_key
from internal.keys.model import KeyProvider, NewKey
from internal.task.gatekeeper import Gatekeeper
from internal.task.model import Reason, Task
from internal.task.state import State
from tests.support.chaos_cli import shell_cli
from tests.support.chaos_site import TENANT, Site
from tests.support.waiting import until

HOST = "gateway.example.com"
QUICK = {
    "CONTROL__RETRY__BASE_SECONDS": "0.1",
    "CONTROL__BREAKER__CONSECUTIVE": "2",
    "CONTROL__BREAKER__PAUSE_SECONDS": "2",
}
_SPEAK = r"""
cat > /dev/null
done_() { printf '{"type":"assistant","message":{"content":[{"type":"text","text":"I work"}]}}\n'
  printf '{"type":"result","subtype":"success","result":"%s"}\n' "$1"; exit 0; }
fail_() { printf '{"type":"result","subtype":"success","is_error":true,"result":"%s"%s}\n' "$1" "$2"
  exit 1; }
"""


@pytest.fixture(autouse=True)
def _no_key_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def cli(site: Site, script: str) -> dict[str, str]:
    """The settings of a worker whose Claude Code is this script."""
    return {**QUICK, "CLI__CLAUDE_CODE__PATH": shell_cli(site.directory, _SPEAK + script)}


async def register(site: Site, *names: str) -> None:
    """Keys for the model, all at one gateway; the value of each is longer than that before."""
    for number, name in enumerate(names, 1):
        base = f"https://{HOST}"
        new = NewKey(name=name, provider=KeyProvider.ANTHROPIC, base_url=base)
        await site.core.registered.create(TENANT, new, "v" * 10 * number)


async def forget(site: Site, *names: str) -> None:
    for name in names:
        await site.core.registered.delete(TENANT, name)


async def release(site: Site, begin: str) -> None:
    """As an operator does: open the gates whose keys begin so."""
    keeper = Gatekeeper(site.core.redis, site.core.keys)
    for gate in await keeper.list(None):
        if gate.key.startswith(begin):
            await keeper.release(gate.key, None)


async def submit(site: Site, **config: Any) -> str:
    return await site.submit("do it", cli="claude-code", **config)


async def waiting(site: Site, task: str, reason: str) -> Task:
    return await site.until_task(
        task, f"waits: {reason}", lambda found: found.wait and found.wait.reason == reason
    )


async def count(site: Site, task: str, name: str) -> int:
    return (await site.names(task)).count(name)


async def test_a_run_whose_key_is_used_up_goes_on_with_the_next(site: Site) -> None:
    """Neither a life nor a repeat is taken, and who comes after it does not try the first."""
    await register(site, "a", "b")
    limit = f"Claude AI usage limit reached|{int(time.time()) + 3600}"
    used_up = f'n=${{#ANTHROPIC_API_KEY}}; [ $n = 10 ] && fail_ "{limit}"; done_ $n'

    async with site.worker(**cli(site, used_up)):
        first = await site.finished(await submit(site))
        second = await site.finished(await submit(site))

    for found in (first, second):
        assert (found.status, found.key_source, found.result) == (
            State.COMPLETED,
            "default:b",
            "20",
        )
        assert (found.retries, found.lost) == (0, 0)
    assert (first.attempt, second.attempt) == (2, 1)
    await release(site, "quota:")
    await forget(site, "a", "b")
    await site.settle()


async def test_a_run_without_another_key_waits_for_the_quota(site: Site) -> None:
    """It says for what and until when, and nobody with that key tries it meanwhile."""
    await register(site, "a")

    async with site.worker(**cli(site, "done_ ok")):
        opens = int(time.time()) + 8  # from when the worker is there, however slow its start was
        cli(site, f'[ "$(date +%s)" -lt {opens} ] && fail_ "usage limit reached|{opens}"; done_ ok')
        first = await submit(site)
        held = await waiting(site, first, "quota")
        second = await submit(site)
        other = await waiting(site, second, "quota")
        ended = [await site.finished(first), await site.finished(second)]

    for found in (held, other):
        assert found.wait is not None
        assert found.wait.until is not None
        assert abs((found.wait.until - datetime.fromtimestamp(opens, UTC)).total_seconds()) < 3
        assert found.wait.gate is not None
        assert found.wait.gate.startswith(f"quota:{TENANT}:")
        assert "v" * 10 not in found.wait.gate
    assert [found.status for found in ended] == [State.COMPLETED] * 2
    assert [found.retries for found in ended] == [0, 0]
    assert await count(site, second, "git/clone_started") == 1  # nothing was cloned to wait
    await forget(site, "a")
    await site.settle()


@pytest.mark.parametrize("end", ["unknown", "too far away"])
async def test_a_quota_that_does_not_come_soon_fails_the_run(site: Site, end: str) -> None:
    """An end nobody knows, or one in a week, is for a person."""
    await register(site, "a")
    said = "Credit balance is too low"
    if end != "unknown":
        said = f"usage limit reached|{int(time.time()) + 7 * 3600}"

    async with site.worker(**cli(site, f'fail_ "{said}"')):
        found = await site.finished(await submit(site))

    assert found.failure is not None
    assert found.failure.reason is Reason.QUOTA_EXHAUSTED
    assert found.attempt == 1
    await forget(site, "a")
    await site.settle()


async def test_two_workers_share_the_breaker_of_an_endpoint(site: Site) -> None:
    """Both stop sending runs there, tell why they wait, and all are done when it is back."""
    await register(site, "a")
    settings = cli(site, "done_ ok")

    async with site.worker("a", **settings), site.worker("b", **settings):
        back = int(time.time()) + 8  # from when the workers are there
        away = (
            f"""[ "$(date +%s)" -lt {back} ] && fail_ "API Error: 529" ',"api_error_status":529'"""
        )
        cli(site, f"{away}\ndone_ ok")
        tasks = [await submit(site) for _ in range(4)]
        gate = endpoint_key(HOST)
        await until("the breaker is open", lambda: _is_shut(site, gate))
        late = await submit(site)
        held = await waiting(site, late, "breaker")
        ended = [await site.finished(task) for task in (*tasks, late)]

    assert held.wait is not None
    assert held.wait.gate == gate
    assert [found.status for found in ended] == [State.COMPLETED] * 5
    names = [name for task in (*tasks, late) for name in await site.names(task)]
    assert names.count("control/breaker_opened") >= 1
    assert names.count("control/breaker_closed") == 1
    counters = (await site.world()).get("counters")
    assert int(counters["breakers_opened:endpoint"]) == names.count("control/breaker_opened")
    await forget(site, "a")
    await site.settle()


async def _is_shut(site: Site, gate: str) -> bool:
    return bool((await site.world()).get(f"gate:{gate}:until"))


async def test_weakness_7_a_killed_probe_leaves_its_turn(site: Site) -> None:
    """An agent that crashes opens its breaker; the probe's worker is killed; another one probes."""
    crash = "kill -SEGV $$"
    settings = cli(site, crash)
    async with site.worker(**settings):
        for task in [await submit(site), await submit(site)]:
            assert (await site.finished(task)).status is State.FAILED
    gate = agent_key("claude-code")
    assert await _is_shut(site, gate)
    hangs = cli(site, "sleep 60")

    probe = await submit(site)
    other = await submit(site)
    doomed = await site.start("a", **hangs)
    await site.until_task(probe, "runs", lambda found: found.status is State.RUNNING)
    held = await waiting(site, other, "breaker")
    doomed.kill()
    async with site.worker("b", **cli(site, "done_ ok")):
        ended = [await site.finished(task) for task in (probe, other)]

    assert held.wait is not None
    assert held.wait.gate == gate
    assert [found.status for found in ended] == [State.COMPLETED] * 2
    assert not await _is_shut(site, gate)
    await site.settle()


async def test_a_task_may_ask_for_repeats_of_what_the_agent_fails(site: Site) -> None:
    """So often and no more; then it is a dead letter."""
    async with site.worker(**cli(site, 'fail_ "I could not do it"')):
        asked = await site.finished(await submit(site, retries=2))
        not_asked = await site.finished(await submit(site))

    assert (asked.attempt, asked.retries) == (3, 2)
    assert asked.failure is not None
    assert asked.failure.reason is Reason.AGENT_FAILED
    assert asked.failure.detail is not None
    assert asked.failure.detail["dead_letter"] is True
    assert (not_asked.attempt, not_asked.retries) == (1, 0)
    assert "dead_letter" not in ((not_asked.failure and not_asked.failure.detail) or {})
    await site.settle()


async def test_weakness_6_a_timeout_may_repeat_and_is_never_dropped(site: Site) -> None:
    """It is a failure like others: told, repeated when the task asks, a letter in the end."""
    async with site.worker(**cli(site, "sleep 60")):
        task = await submit(site, retries=1, timeout_seconds=2)
        found = await site.finished(task)

    assert (found.attempt, found.retries) == (2, 1)
    assert found.failure is not None
    assert found.failure.reason is Reason.TIMEOUT
    assert found.failure.detail is not None
    assert found.failure.detail["dead_letter"] is True
    assert await count(site, task, "system/task_timeout") == 2
    assert await count(site, task, "system/task_failed") == 1
    await site.settle()
