"""One marked secret of every kind goes through a whole deployment, and out on every way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from internal.redact import MASK
from tests.support.canary import Seen, command_lines, files, git_objects, leaks, redis_values
from tests.support.chaos_cli import shell_cli
from tests.support.collector import Collector, collecting
from tests.support.deployment import Deployment, eventually, running
from tests.support.forge import Forge, open_forge
from tests.support.hosts.double import Fault
from tests.support.receiver import Receiver, Reply

INLINE_TOKEN = "canary-inline-git-token/+0123456789"  # noqa: S105 - of this test
GIT_KEY = "canary-registered-git-key-0123456789"
MODEL_KEY = "canary-registered-model-key-0123456789"
INLINE_MODEL_KEY = "canary-inline-model-key-0123456789"
MCP_VARIABLE = "canary-mcp-variable-0123456789"
MCP_HEADER = "canary-mcp-header-0123456789"
ENDPOINT_SECRET = "canary-endpoint-secret-0123456789"  # noqa: S105 - of this test
GIVEN = (
    *(INLINE_TOKEN, GIT_KEY, MODEL_KEY, INLINE_MODEL_KEY),
    *(MCP_VARIABLE, MCP_HEADER, ENDPOINT_SECRET),
)
READS = (
    *("/tasks", "/keys", "/keys/git", "/keys/model", "/mcp/servers", "/workspaces", "/agents"),
    *("/workers", "/stats", "/tokens", "/audit", "/webhooks/endpoints", "/webhooks/deliveries"),
)

_Ask = Callable[..., Any]

# An agent that says all it finds, and the token of its repository although it never sees that.
_INDISCREET = f"""
cat > /dev/null
told=
for word in "$@"; do
  [ -f "$word" ] && told="$told $(tr -d '"\\\\' < "$word")"
done
[ -f inline.txt ] && told="$told {INLINE_TOKEN}" || told="$told {GIT_KEY}"
env >&2
echo "$told" >&2
sleep 0.3
echo x >> kept.txt
text="$ANTHROPIC_API_KEY $told"
printf '{{"type":"assistant","message":{{"content":[{{"type":"text","text":"%s"}}]}}}}\\n' "$text"
printf '{{"type":"result","subtype":"success","result":"I have %s"}}\\n' "$text"
"""


@dataclass(frozen=True)
class Place:
    """Everybody who takes part."""

    deployment: Deployment
    inline: Forge
    registered: Forge
    hooks: Receiver
    model: Receiver


async def test_no_secret_of_any_kind_leaves_its_place(tmp_path: Path) -> None:
    """
    Not in an answer, a log line, an event, Redis or its file, a pull request, a repository, a
    webhook, a span, the audit log, a file of a home, or the words of a process.
    """
    cli = shell_cli(tmp_path, _INDISCREET)
    with open_forge(tmp_path / "a") as inline, open_forge(tmp_path / "b") as registered:
        _prepare(inline, INLINE_TOKEN)
        _prepare(registered, GIT_KEY)
        inline.repo.commit({"inline.txt": "\n"})
        async with (
            collecting() as collector,
            Receiver().listening() as hooks,
            Receiver().listening() as model,
        ):
            model.answer(Reply(status=401, body=f"no: {MODEL_KEY}".encode()))
            seen: Seen = {}
            with running(_settings(collector, cli)) as deployment, command_lines() as words:
                place = Place(deployment, inline, registered, hooks, model)
                token = await asyncio.to_thread(_live, place, seen)
                received = await hooks.wait_for(_WEBHOOKS)
                await collector.named("task.execute", "webhook.deliver", "pull_request.open")
                ours = (token, deployment.token, deployment.webhook_secret)
                seen |= await _kept(deployment)
    seen |= words
    seen |= {f"webhook {n}": repr(got).encode() for n, got in enumerate(received)}
    seen |= {f"export {n}": export.body for n, export in enumerate(collector.exports)}
    for forge in (inline, registered):
        seen[f"pull requests of {forge.host}"] = repr(forge.pulls).encode()
        seen |= git_objects(forge.server.root)

    assert not [name for name in _WANTED if not any(name in place for place in seen)]
    assert [name for name in _SAID if not _masked(seen, name)] == []
    assert leaks(seen, (*GIVEN, *ours)) == []


_WEBHOOKS = 13
"""A test of the endpoint; then both tasks tell two runs and a pull request to both URLs."""

_WANTED = ("the log", "appendonly", ":task:", "objects of", "webhook 0", "export 0", "/audit")

_SAID = ("/events", "include=iterations", "webhook ", ":task:")
"""Where the agent's words are told."""


def _settings(collector: Collector, cli: str) -> dict[str, str]:
    return {
        "CODEFORGE_CLI__CLAUDE_CODE__PATH": cli,
        "CODEFORGE_GIT__PROVIDER_DOMAINS": json.dumps({"127.0.0.1": "github"}),
        "CODEFORGE_LOGGING__LEVEL": "debug",
        "CODEFORGE_TRACING__ENABLED": "true",
        "CODEFORGE_TRACING__ENDPOINT": collector.url,
        "CODEFORGE_TRACING__SAMPLING_RATE": "1",
    }


def _prepare(forge: Forge, token: str) -> None:
    forge.token = forge.server.token = token


def _masked(seen: Seen, name: str) -> bool:
    """Whether something was taken out there: else it was never said, and the test is blind."""
    return any(MASK.encode() in content for place, content in seen.items() if name in place)


async def _kept(deployment: Deployment) -> Seen:
    """What the deployment has on disk and in Redis, but for the file with its own secrets."""
    root = deployment.data_dir
    found = dict(files(root, without=root / "secrets"))
    found |= dict(git_objects(root)) | await redis_values(deployment.redis_url)
    return found | {"the log": deployment.log().encode()}


def _live(place: Place, seen: Seen) -> str:
    """A whole life, all with one API token, which is returned; *seen* gets the answers."""
    deployment = place.deployment
    with deployment.http() as http:
        wanted = {"name": "canary", "scopes": ["read", "tasks", "admin"]}
        token = str(_ask(http, "POST", "/tokens", wanted)["token"])
    with deployment.http() as http:
        http.headers["Authorization"] = f"Bearer {token}"

        def ask(method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
            answer = _ask(http, method, path, body)
            seen[f"{method} {path}"] = json.dumps(answer).encode()
            return answer

        _register(place, ask)
        del seen["POST /webhooks/endpoints"]  # the one answer that tells a secret, once
        tasks = [ask("POST", "/tasks", body)["id"] for body in _bodies(place)]
        forges = {place.inline: INLINE_TOKEN, place.registered: GIT_KEY}
        for task, (forge, token_of_forge) in zip(tasks, forges.items(), strict=True):
            _run_twice(ask, task)
            seen[f"the refusal of {task}"] = _refuse(http, task, forge, token_of_forge)
            seen[f"{task} refused"] = json.dumps(ask("GET", f"/tasks/{task}")).encode()
            _publish(ask, task)
        for path in READS:
            ask("GET", path)
        seen["the metrics"] = http.get("/metrics").content
    return token


def _ask(http: httpx2.Client, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    answer = http.request(method, f"/api/v1{path}", json=body)
    assert answer.is_success, (method, path, answer.text)
    return answer.json()


def _register(place: Place, ask: _Ask) -> None:
    """Keys, a server, an endpoint; each key is verified at its host."""
    keys = {
        "git": ("github", GIT_KEY, f"http://{place.registered.host}"),
        "model": ("anthropic", MODEL_KEY, place.model.url("")),
    }
    for name, (provider, token, base_url) in keys.items():
        key = {"name": name, "provider": provider, "token": token, "base_url": base_url}
        ask("POST", "/keys", key)
        ask("GET", f"/keys/{name}/verify")
    header = {"Authorization": f"Bearer {MCP_HEADER}"}
    ask("POST", "/mcp/servers", {"name": "far", "url": "https://e.com/mcp", "headers": header})
    endpoint = {"url": place.hooks.url("/endpoint"), "secret": ENDPOINT_SECRET}
    made = ask("POST", "/webhooks/endpoints", endpoint)
    ask("POST", f"/webhooks/endpoints/{made['id']}/test")


def _bodies(place: Place) -> list[dict[str, Any]]:
    """A task that brings its own secrets, and one that uses the registered ones."""
    server = {"name": "near", "command": "true", "env": {"API_KEY": MCP_VARIABLE}}
    common = {"prompt": "do it", "callback_url": place.hooks.url("/callback")}
    config = {"cli": "claude-code", "mcp_servers": [server]}
    own = {"access_token": INLINE_TOKEN, "config": config | {"ai_api_key": INLINE_MODEL_KEY}}
    return [
        common | {"repo_url": place.inline.url} | own,
        common | {"repo_url": place.registered.url, "provider_key": "git", "config": config},
    ]


def _until(ask: _Ask, task: str, status: str) -> None:
    def reached() -> bool:
        document = ask("GET", f"/tasks/{task}")
        assert document["status"] != "failed", document
        return bool(document["status"] == status)

    eventually(reached, f"{task} is {status}")


def _run_twice(ask: _Ask, task: str) -> None:
    """Its first run, and a follow-up."""
    _until(ask, task, "completed")
    ask("POST", f"/tasks/{task}/instruct", {"prompt": "more"})
    _until(ask, task, "completed")


def _refuse(http: httpx2.Client, task: str, forge: Forge, token: str) -> bytes:
    """The answer to a create-pr whose host says the token in its error."""
    said = json.dumps({"message": f"no: {token}"}).encode()
    forge.faults.append(Fault(method="POST", path="/pulls", status=403, body=said))
    answer = http.post(f"/api/v1/tasks/{task}/create-pr", json={})
    assert MASK in answer.text, answer.text
    return answer.content


def _publish(ask: _Ask, task: str) -> None:
    """A pull request, and all that can be read of the task."""
    path = f"/tasks/{task}"
    ask("POST", f"{path}/create-pr", {})
    _until(ask, task, "pr_created")
    for below in ("?include=iterations", "/events?limit=200", "/diff", "/pr"):
        ask("GET", f"{path}{below}")
