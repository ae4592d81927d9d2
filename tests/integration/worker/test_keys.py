"""Registered keys in use: by a run for its repository, and by a worker that is asked about one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from internal.errors import NotFound, Unavailable
from internal.keys.model import KeyProvider, NewKey
from internal.task.model import Reason, TaskConfig, TaskSpec, Tenant
from internal.task.ops import ANY_HOME, OpKind
from internal.task.state import FINISHED, State
from tests.support.chaos_cli import shell_cli
from tests.support.chaos_site import TENANT, Site
from tests.support.git_http import GitHttpServer, git_http_server
from tests.support.receiver import Receiver, Reply
from tests.support.waiting import until

TOKEN = "git-token-0123456789-of-a-test"  # noqa: S105 - of a test
VALUE = "model-key-0123456789-of-a-test"


@pytest.fixture
def remote(site: Site) -> Iterator[GitHttpServer]:
    with git_http_server(site.repo.path.parent, token=TOKEN) as server:
        yield server


async def register(
    site: Site,
    name: str,
    value: str,
    *,
    base_url: str,
    provider: KeyProvider = KeyProvider.GITLAB,
) -> None:
    new = NewKey(name=name, provider=provider, base_url=base_url)
    await site.core.registered.create(TENANT, new, value)


async def forget(site: Site, *names: str) -> None:
    for name in names:
        await site.core.registered.delete(TENANT, name)


async def test_a_run_uses_the_key_it_names(site: Site, remote: GitHttpServer) -> None:
    """
    The remote takes the token, and the task says whose it was, never what it was.
    """
    url = remote.url(site.repo.path.name)
    await register(site, "other", "wrong-token-0123", base_url=f"http://127.0.0.1:{remote.port}")
    await register(site, "mine", TOKEN, base_url=f"http://127.0.0.1:{remote.port}")

    async with site.worker():
        task = await site.submit("say done", repo_url=url, provider_key="mine")
        found = await site.finished(task)

    assert (found.status, found.key_source) == (State.COMPLETED, "key:mine")
    assert (found.provider_key, found.result) == ("mine", "done")
    await forget(site, "mine", "other")
    await site.settle()


async def test_a_run_uses_the_only_key_for_its_host(site: Site, remote: GitHttpServer) -> None:
    """
    Nobody has to name a key where only one can be meant.
    """
    await register(site, "mine", TOKEN, base_url=f"http://127.0.0.1:{remote.port}")

    async with site.worker():
        task = await site.submit("say done", repo_url=remote.url(site.repo.path.name))
        found = await site.finished(task)

    assert (found.status, found.key_source) == (State.COMPLETED, "default:mine")
    used = await site.core.registered.get(TENANT, "mine")
    assert used.last_used_at is not None
    await forget(site, "mine")
    await site.settle()


async def test_a_key_that_is_gone_fails_the_run(site: Site, remote: GitHttpServer) -> None:
    """
    It was there when the task was submitted; another one is not tried in its stead.
    """
    url = remote.url(site.repo.path.name)
    await register(site, "mine", TOKEN, base_url=f"http://127.0.0.1:{remote.port}")

    task = await site.submit("say done", repo_url=url, provider_key="gone")
    async with site.worker():
        found = await site.finished(task)

    assert found.failure is not None
    assert found.failure.reason is Reason.AUTH_FAILED
    assert found.failure.message == "There is no key named gone any more."
    assert not found.failure.retryable
    assert not remote.requests
    await forget(site, "mine")
    await site.settle()


async def test_a_key_for_another_host_is_not_sent(site: Site, remote: GitHttpServer) -> None:
    """
    A repository on a host that the key is not for never sees it.
    """
    await register(site, "theirs", TOKEN, base_url="https://git.example.com")
    url = remote.url(site.repo.path.name)

    task = await site.submit("say done", repo_url=url, provider_key="theirs")
    async with site.worker():
        found = await site.finished(task)

    assert found.failure is not None
    assert found.failure.reason is Reason.AUTH_FAILED
    assert "is for https://git.example.com, not for" in found.failure.message
    assert not remote.requests
    await forget(site, "theirs")
    await site.settle()


async def ask(site: Site, name: str) -> Mapping[str, Any]:
    asked = {"tenant": TENANT, "name": name}
    return await site.core.ops.ask(ANY_HOME, OpKind.VERIFY_KEY, asked)


@pytest.mark.parametrize(
    ("provider", "path", "header", "refusal"),
    [
        (KeyProvider.ANTHROPIC, "/v1/models?limit=1", ("x-api-key", VALUE), 401),
        (KeyProvider.OPENAI, "/models", ("authorization", f"Bearer {VALUE}"), 401),
        (KeyProvider.GOOGLE, "/v1beta/models?pageSize=1", ("x-goog-api-key", VALUE), 400),
    ],
)
async def test_a_model_provider_is_asked_by_listing_models(
    site: Site, provider: KeyProvider, path: str, header: tuple[str, str], refusal: int
) -> None:
    """
    A cheap call with the key where this provider wants it; its status is the answer.
    """
    async with Receiver().listening() as receiver, site.worker():
        base = receiver.url("")
        await register(site, "model", VALUE, provider=provider, base_url=base)
        receiver.answer(Reply(), Reply(status=refusal, body=VALUE.encode()), Reply(status=500))
        answers = [await ask(site, "model") for _ in range(3)]

    assert answers[0] == {"ok": True, "reason": None}
    assert answers[1] == {"ok": False, "reason": f"{provider} refuses it (HTTP {refusal})"}
    assert answers[2]["ok"] is False
    assert "says nothing about the key" in str(answers[2]["reason"])
    assert {(one.method, one.path) for one in receiver.requests} == {("GET", path)}
    assert all(one.headers[header[0]] == header[1] for one in receiver.requests)
    await forget(site, "model")


async def test_a_git_host_is_asked_who_the_token_is(site: Site) -> None:
    """
    GitLab's own address of the user, at the key's base URL.
    """
    async with Receiver().listening() as receiver, site.worker():
        await register(site, "lab", VALUE, base_url=receiver.url(""))
        receiver.answer(Reply(status=401, body=b'{"message":"401 Unauthorized"}'))
        answer = await ask(site, "lab")

    assert answer["ok"] is False
    assert VALUE not in str(answer)
    assert all(one.path.startswith("/api/v4/") for one in receiver.requests)
    await forget(site, "lab")


async def test_what_cannot_be_asked_is_told(site: Site) -> None:
    """
    A generic key has nobody to ask, an expired one is not sent, a private address not called.
    """
    base = "https://git.example.com"
    await register(site, "any", VALUE, provider=KeyProvider.GENERIC, base_url=base)
    await register(site, "inside", VALUE, base_url="http://10.1.2.3")
    async with site.worker():
        generic, inside = await ask(site, "any"), await ask(site, "inside")
        with pytest.raises(NotFound, match="no such key"):
            await ask(site, "none")

    assert generic["ok"] is inside["ok"] is False
    assert "cannot be verified" in str(generic["reason"])
    assert "egress.allow" in str(inside["reason"])
    await forget(site, "any", "inside")


async def test_a_silent_provider_delays_no_other_op(site: Site) -> None:
    """
    While one question waits for a host that never answers, another one is answered.
    """
    async with site.worker():
        async with Receiver().listening() as receiver:
            base = receiver.url("")
            await register(site, "slow", VALUE, provider=KeyProvider.OPENAI, base_url=base)
            await register(site, "any", VALUE, provider=KeyProvider.GENERIC, base_url=base)
            receiver.answer(Reply(delay_seconds=60))
            slow = asyncio.create_task(ask(site, "slow"))
            await receiver.wait_for(1)

            answer = await ask(site, "any")

            assert "cannot be verified" in str(answer["reason"])
            assert not slow.done()
        told = await slow
    assert told["ok"] is False
    assert told["reason"]
    await forget(site, "slow", "any")


async def test_many_silent_questions_of_one_tenant_delay_no_other_tenant(site: Site) -> None:
    """
    What is too much is refused at once; the places of the others stay free.
    """
    other = Tenant("other")
    async with site.worker(), Receiver().listening() as receiver:
        base = receiver.url("")
        await register(site, "slow", VALUE, provider=KeyProvider.OPENAI, base_url=base)
        new = NewKey(name="any", provider=KeyProvider.GENERIC, base_url=base)
        await site.core.registered.create(other, new, VALUE)
        receiver.answer(Reply(delay_seconds=60))
        many = [asyncio.create_task(ask(site, "slow")) for _ in range(24)]
        await receiver.wait_for(1)

        asked = {"tenant": other, "name": "any"}
        answer = await site.core.ops.ask(ANY_HOME, OpKind.VERIFY_KEY, asked)

        told = await asyncio.gather(*many, return_exceptions=True)
    assert "cannot be verified" in str(answer["reason"])
    refused = [error for error in told if isinstance(error, Unavailable)]
    assert any("at once" in error.message for error in refused)
    assert len(refused) < len(many)
    await forget(site, "slow")
    await site.core.registered.delete(other, "any")


# It tells what it was given by its length and its address, which no redaction hides.
_TELLING = """
cat > /dev/null
told="${#ANTHROPIC_API_KEY} ${ANTHROPIC_BASE_URL:-none}"
printf '{"type":"result","subtype":"success","result":"%s","session_id":"0123-4567"}\\n' "$told"
"""


@pytest.fixture
def telling(site: Site, monkeypatch: pytest.MonkeyPatch) -> str:
    """An agent in the place of Claude Code, for workers that have a key of their own."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k" * 40)
    return shell_cli(site.directory, _TELLING)


async def test_fault_a11_the_workers_own_model_key_is_used(site: Site, telling: str) -> None:
    """
    A task without a key gets the worker's, and says so.
    """
    async with site.worker(CLI__CLAUDE_CODE__PATH=telling):
        found = await site.finished(await site.submit("do it", cli="claude-code"))

    assert (found.result, found.key_source) == ("40 none", "environment")
    await site.settle()


async def test_another_credential_of_the_worker_is_told_too(
    site: Site, telling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A CLI may be logged in otherwise than by a key.
    """
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "t" * 40)

    async with site.worker(CLI__CLAUDE_CODE__PATH=telling):
        found = await site.finished(await site.submit("do it", cli="claude-code"))

    assert (found.result, found.key_source) == ("0 none", "environment")
    await site.settle()


async def test_a_registered_model_key_is_given_with_its_address(site: Site, telling: str) -> None:
    """
    It replaces the worker's, and goes only where it belongs.
    """
    base = "https://gateway.example.com"
    await register(site, "ai", "v" * 50, provider=KeyProvider.ANTHROPIC, base_url=base)

    async with site.worker(CLI__CLAUDE_CODE__PATH=telling):
        found = await site.finished(await site.submit("do it", cli="claude-code"))
        inline = await site.submit("do it", cli="claude-code", ai_api_key="i" * 30)
        own = await site.finished(inline)

    assert (found.result, found.key_source) == (f"50 {base}", "default:ai")
    assert (own.result, own.key_source) == ("30 none", "inline")
    await forget(site, "ai")
    await site.settle()


async def test_fault_b6_the_workers_model_key_is_the_operators(site: Site, telling: str) -> None:
    """
    An agent of another tenant's task does not get it, and none of the default tenant's keys.
    """
    await register(
        site, "ai", "v" * 50, provider=KeyProvider.ANTHROPIC, base_url="https://gw.example.com"
    )
    config = TaskConfig(cli="claude-code", timeout_seconds=60, silence_seconds=60)
    tenant = Tenant("other")
    spec = TaskSpec(tenant=tenant, repo_url=site.repo.url, prompt="do it", config=config)

    async with site.worker(CLI__CLAUDE_CODE__PATH=telling):
        task = (await site.core.service.submit(spec)).task.id
        await until("it is done", lambda: _is_finished(site, tenant, task))

    found = await site.core.service.get(tenant, task)
    assert (found.result, found.key_source) == ("0 none", None)
    await forget(site, "ai")


async def test_fault_b6_the_ssh_keys_of_the_machine_are_the_operators(site: Site) -> None:
    """
    Whatever let a task of another tenant in: no ssh is started for it.
    """
    config = TaskConfig(cli="demo", timeout_seconds=60, silence_seconds=60)
    tenant = Tenant("other")
    spec = TaskSpec(tenant=tenant, repo_url="git@127.0.0.1:o/r", prompt="do it", config=config)

    async with site.worker():
        task = (await site.core.service.submit(spec)).task.id
        await until("it is done", lambda: _is_finished(site, tenant, task))

    found = await site.core.service.get(tenant, task)
    assert found.failure is not None
    assert found.failure.reason is Reason.POLICY_DENIED


async def _is_finished(site: Site, tenant: Tenant, task: str) -> bool:
    return (await site.core.service.get(tenant, task)).status in FINISHED


async def test_a_follow_up_tells_its_own_source(site: Site, remote: GitHttpServer) -> None:
    """
    What the first run used is not told of one that used nothing.
    """
    await register(site, "mine", TOKEN, base_url=f"http://127.0.0.1:{remote.port}")
    async with site.worker():
        task = await site.submit("say one", repo_url=remote.url(site.repo.path.name))
        first = await site.finished(task)
        await forget(site, "mine")
        await site.instruct(task, "say two")
        second = await site.finished(task)

    assert (first.key_source, second.key_source) == ("default:mine", None)
    assert second.result == "two"  # the mirror has its base commit
    await site.settle()
