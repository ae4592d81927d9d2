"""Marked secrets go through a whole life of a task and turn up nowhere that they do not belong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from internal.keys.model import KeyProvider, NewKey
from internal.mcp.model import McpServer
from internal.rdb.embedded import EmbeddedRedis
from internal.redact import MASK
from internal.task.model import Reason
from internal.task.ops import ANY_HOME, OpKind
from internal.task.state import State
from tests.support.canary import Seen, files, leaks, words_now
from tests.support.chaos_cli import shell_cli
from tests.support.chaos_site import SECRETS, TENANT, Site
from tests.support.git_http import GitHttpServer, git_http_server
from tests.support.receiver import Receiver, Reply
from tests.support.waiting import until

pytestmark = pytest.mark.chaos

_ACCESS = "canary-access-token/+0123456789"
_REFUSED = "canary-refused-token-0123456789"
_API_KEY = "canary-api-key-0123456789abcdef"
_OURS = (SECRETS.auth_token, SECRETS.hmac_secret, SECRETS.master_key.decode())
_GIVEN = (_ACCESS, _REFUSED, _API_KEY, *_OURS)


async def test_no_secret_turns_up_where_it_does_not_belong(
    site: Site, redis: EmbeddedRedis, redis_directory: Path
) -> None:
    """
    Not in Redis or its file, logs, events, webhooks, command lines, repositories, outputs: although
    the agent says what it was given, and the remote refuses one of them.
    """
    seen: Seen = {}
    site.variables["CODEFORGE_CLI__DEMO__PATH"] = shell_cli(site.directory, _TALKATIVE)
    with git_http_server(site.repo.path.parent, token=_ACCESS) as remote:
        async with Receiver().listening() as receiver:
            worker = await site.start(LOGGING__LEVEL="debug")
            tasks = await _run(site, remote, receiver, seen)
            received = await receiver.wait_for(3)
    seen["the log"] = worker.log().encode()
    seen |= {f"webhook {n}": got.body for n, got in enumerate(received)}
    seen |= dict(files(site.layout().data_dir))
    seen |= dict(files(redis_directory))
    world = await site.world()
    seen |= {name: json.dumps(value).encode() for name, value in world.values.items()}
    stored = [await site.core.service.stored_diff(TENANT, task, 1) for task in tasks]
    seen |= {f"diff {n}": repr(diff).encode() for n, diff in enumerate(stored)}

    assert len(seen) > 100
    assert sum(MASK.encode() in content for content in seen.values()) > 3
    assert leaks(seen, _GIVEN) == []


async def test_a_registered_key_turns_up_nowhere_either(
    site: Site, redis: EmbeddedRedis, redis_directory: Path
) -> None:
    """
    Through registering, verifying, choosing and a run whose agent prints what it was given: the
    value is in no answer, log, event, command line or file, and in Redis only sealed.
    """
    seen: Seen = {}
    site.variables["CODEFORGE_CLI__CLAUDE_CODE__PATH"] = shell_cli(site.directory, _TELLTALE)
    with git_http_server(site.repo.path.parent, token=_ACCESS) as remote:
        async with Receiver().listening() as receiver:
            receiver.answer(Reply(status=401, body=f"no: {_API_KEY}".encode()))
            hosts = {"git": (_ACCESS, f"http://127.0.0.1:{remote.port}", KeyProvider.GITLAB)}
            hosts["ai"] = (_API_KEY, receiver.url(""), KeyProvider.ANTHROPIC)
            for name, (value, base, provider) in hosts.items():
                new = NewKey(name=name, provider=provider, base_url=base)
                made = await site.core.registered.create(TENANT, new, value)
                seen[f"the answer for {name}"] = repr(made).encode()
            worker = await site.start(LOGGING__LEVEL="debug")
            asked = {"tenant": TENANT, "name": "ai"}
            verified = await site.core.ops.ask(ANY_HOME, OpKind.VERIFY_KEY, asked)
            url = remote.url(site.repo.path.name)
            task = await site.submit("do it", repo_url=url, provider_key="git", cli="claude-code")
            await until("its agent runs", site.agents)
            seen |= dict(words_now())
            found = await site.finished(task)
    seen["the answer of verify"] = repr(verified).encode()
    seen["the task"] = repr(found).encode()
    seen["the log"] = worker.log().encode()
    seen |= dict(files(site.layout().data_dir)) | dict(files(redis_directory))
    seen |= {
        name: json.dumps(value).encode() for name, value in (await site.world()).values.items()
    }
    for name in hosts:
        await site.core.registered.delete(TENANT, name)

    assert (found.status, found.key_source) == (State.COMPLETED, "key:git")
    assert verified["ok"] is False
    assert sum(MASK.encode() in content for content in seen.values()) > 1
    assert leaks(seen, _GIVEN) == []


async def test_the_values_of_mcp_servers_turn_up_nowhere_either(
    site: Site, redis: EmbeddedRedis, redis_directory: Path
) -> None:
    """
    Registered ones and a task's own, although the agent prints the whole file that it was given.
    """
    seen: Seen = {}
    site.variables["CODEFORGE_CLI__DEMO__PATH"] = shell_cli(site.directory, _INDISCREET)
    registered = McpServer(name="far", url=f"https://e.com/?key={_ACCESS}", headers={"K": _ACCESS})
    await site.core.mcp.add(TENANT, registered)
    own = McpServer(name="near", command="true", env={"API_KEY": _API_KEY})
    worker = await site.start(LOGGING__LEVEL="debug")

    task = await site.submit("do it", mcp_servers=(own,))
    await until("its agent runs", site.agents)
    seen |= dict(words_now())
    found = await site.finished(task)

    seen["the task"] = repr(found).encode()
    seen["the log"] = worker.log().encode()
    seen |= dict(files(site.layout().data_dir)) | dict(files(redis_directory))
    seen |= {
        name: json.dumps(value).encode() for name, value in (await site.world()).values.items()
    }
    assert found.status is State.COMPLETED
    assert sum(MASK.encode() in content for content in seen.values()) > 1
    assert leaks(seen, _GIVEN) == []


# The file is one line of JSON: as the text of an event, and as it is on stderr and in the result.
_INDISCREET = """
cat > /dev/null
shift
sleep 0.5
cat "$1" >&2
cat "$1"
echo
echo x > kept.txt
printf '{"type":"result","text":"I have %s"}\\n' "$(sed 's/"//g' "$1")"
"""

_TELLTALE = """
cat > /dev/null
sleep 0.5
echo "$ANTHROPIC_API_KEY" >&2
echo x > kept.txt
printf '{"type":"result","subtype":"success","result":"I have %s"}\\n' "$ANTHROPIC_API_KEY"
"""

# It says both secrets in text, in its result and on stderr, the second in two pieces of output.
_TALKATIVE = f"""
cat > /dev/null
echo '{{"type":"session","session_id":"0123-4567"}}'
echo '{{"type":"text","text":"I was given {_ACCESS} and {_API_KEY}."}}'
printf '{{"type":"text","text":"again {_API_KEY[:10]}'
sleep 0.3
printf '%s"}}\\n' '{_API_KEY[10:]}'
echo "{_ACCESS} {_API_KEY}" >&2
echo x > kept.txt
echo '{{"type":"result","text":"done with {_API_KEY}"}}'
"""


async def _run(site: Site, remote: GitHttpServer, receiver: Receiver, seen: Seen) -> list[str]:
    """A run with a follow-up, and one that the remote refuses; *seen* gets the command lines."""
    remote.packs_may_go.clear()
    url = remote.url(site.repo.path.name)
    task = await site.submit(
        "anything",
        repo_url=url,
        access_token=_ACCESS,
        ai_api_key=_API_KEY,
        callback_url=receiver.url(),
    )
    await until("git fetches", lambda: any("git-upload" in r for r in remote.requests))
    seen |= dict(words_now())
    remote.packs_may_go.set()
    await until("its agent runs", site.agents)
    seen |= dict(words_now())
    assert (await site.finished(task)).status is State.COMPLETED
    await site.instruct(task, "more")
    assert (await site.finished(task)).status is State.COMPLETED
    refused = await site.submit(
        "anything", repo_url=url, access_token=_REFUSED, callback_url=receiver.url()
    )
    found = await site.finished(refused)
    assert found.failure is not None
    assert found.failure.reason is Reason.AUTH_FAILED
    return [task]
