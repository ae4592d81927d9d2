"""
A client of CodeForge's own API, for programs and for the command line.

    from codeforge.client import Client

    with Client("http://127.0.0.1:8080", token) as client:
        task = client.submit({"repo_url": "https://github.com/o/r", "prompt": "Fix the typo"})
        for event in client.follow(task["id"]):
            print(event["type"], event["event"])

Documents are the API's JSON as dictionaries. `follow` resumes by itself where the stream broke.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx2

from codeforge.transport import ApiError, Document, Transport, Unreachable, given

__all__ = ["ApiError", "Client", "Document", "Unreachable"]


_RECONNECT_SECONDS = 2.0
_GIVE_UP_SECONDS = 60.0


class Client:
    """
    Synchronous; use it as a context manager or call `close`.

    Every method raises ApiError when the server refuses and Unreachable when none answers.
    """

    def __init__(self, url: str, token: str) -> None:
        self._transport = Transport(url, token)
        self._call, self._send = self._transport.call, self._transport.send

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    def submit(self, request: Mapping[str, Any], *, idempotency_key: str | None = None) -> Document:
        """Create a task from the API's body; returns `{id, status, created_at}`."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return self._call("POST", "/tasks", json=dict(request), headers=headers)

    def get(self, task: str, *, with_iterations: bool = False) -> Document:
        """The whole document of a task."""
        params = {"include": "iterations"} if with_iterations else {}
        return self._call("GET", _at("tasks", task), params=params)

    def list(self, **filters: str | int | list[str]) -> Document:
        """`{tasks, next_cursor}`; filters as `GET /tasks` has them."""
        return self._call("GET", "/tasks", params=filters)

    def instruct(
        self, task: str, prompt: str, config: Mapping[str, float] | None = None
    ) -> Document:
        body = {"prompt": prompt, **({"config": dict(config)} if config else {})}
        return self._call("POST", _at("tasks", task, "instruct"), json=body)

    def cancel(self, task: str) -> Document:
        return self._call("POST", _at("tasks", task, "cancel"))

    def pause(self, task: str) -> Document:
        return self._call("POST", _at("tasks", task, "pause"))

    def directive(self, task: str, text: str) -> Document:
        """`{id, status, delivery}`: said to the `running` agent, or queued as the `next` prompt."""
        return self._call("POST", _at("tasks", task, "directive"), json={"text": text})

    def resume(self, task: str) -> Document:
        return self._call("POST", _at("tasks", task, "resume"))

    def retry(self, task: str) -> Document:
        return self._call("POST", _at("tasks", task, "retry"))

    def create_pr(self, task: str, **options: Any) -> Document:
        """
        Make or update the pull request: `{pr_url, pr_number, branch}`, or `{id, status}` when that
        takes longer. *options* as `POST /tasks/{id}/create-pr` has them.
        """
        return self._call("POST", _at("tasks", task, "create-pr"), json=options)

    def pull_request(self, task: str) -> Document:
        """How the pull request stands at its host: `{number, url, state, branch}`."""
        return self._call("GET", _at("tasks", task, "pr"))

    def delete(self, task: str) -> None:
        self._call("DELETE", _at("tasks", task))

    def diff(self, task: str, *, iteration: int | None = None) -> Document:
        """`{base, head, files, totals, truncated}` of the newest work, or of one iteration's."""
        params = {} if iteration is None else {"iteration": iteration}
        return self._call("GET", _at("tasks", task, "diff"), params=params)

    def patch(self, task: str, *, iteration: int | None = None) -> bytes:
        """The same work as a patch that `git apply` takes."""
        params = {} if iteration is None else {"iteration": iteration}
        accept = {"Accept": "text/x-diff"}
        return self._send("GET", _at("tasks", task, "diff"), params=params, headers=accept).content

    def events(self, task: str, *, after: int = 0, limit: int = 200) -> Document:
        """`{events, next}`: stored events with a number above *after*."""
        params = {"after": after, "limit": limit}
        return self._call("GET", _at("tasks", task, "events"), params=params)

    def agents(self) -> Document:
        return self._call("GET", "/agents")

    def workers(self) -> Document:
        return self._call("GET", "/workers")

    def stats(self) -> Document:
        return self._call("GET", "/stats")

    def add_webhook(self, request: Mapping[str, Any]) -> Document:
        """Register an endpoint from the API's body; its `secret` is in this answer only."""
        return self._call("POST", "/webhooks/endpoints", json=dict(request))

    def webhooks(self) -> Document:
        """`{endpoints}`, with their health."""
        return self._call("GET", "/webhooks/endpoints")

    def change_webhook(self, endpoint: str, changes: Mapping[str, Any]) -> Document:
        return self._call("PATCH", _at("webhooks/endpoints", endpoint), json=dict(changes))

    def remove_webhook(self, endpoint: str) -> None:
        self._call("DELETE", _at("webhooks/endpoints", endpoint))

    def rotate_webhook_secret(self, endpoint: str) -> Document:
        """The endpoint with its new `secret`; the one before is valid for another 24 h."""
        return self._call("POST", _at("webhooks/endpoints", endpoint, "rotate-secret"))

    def test_webhook(self, endpoint: str) -> Document:
        """`{delivery_id}` of an event `webhook.test`."""
        return self._call("POST", _at("webhooks/endpoints", endpoint, "test"))

    def deliveries(self, **filters: str | int) -> Document:
        """`{deliveries, next_cursor}`; filters as `GET /webhooks/deliveries` has them."""
        return self._call("GET", "/webhooks/deliveries", params=filters)

    def redeliver(self, delivery: str) -> Document:
        return self._call("POST", _at("webhooks/deliveries", delivery, "redeliver"))

    def dead_letters(self, **filters: str | int | None) -> Document:
        """A page of letters that match, newest first."""
        return self._call("GET", "/dead-letters", params=given(**filters))

    def requeue(self, letter: str) -> Document:
        """Queue a dead letter's run again."""
        return self._call("POST", _at("dead-letters", letter, "requeue"))

    def discard(self, letter: str) -> None:
        """Take a dead letter out of the list."""
        self._send("DELETE", _at("dead-letters", letter))

    def requeue_letters(self, **filters: str | int | None) -> Document:
        """Queue the newest letters that match again."""
        return self._call("POST", "/dead-letters/requeue", json=given(**filters))

    def discard_letters(self, **filters: str | int | None) -> Document:
        """Discard the newest letters that match."""
        return self._call("DELETE", "/dead-letters", params=given(**filters))

    def add_key(self, request: Mapping[str, Any]) -> Document:
        """Register a key from the API's body."""
        return self._call("POST", "/keys", json=dict(request))

    def keys(self) -> Document:
        """`{keys}`, without their values."""
        return self._call("GET", "/keys")

    def key(self, name: str) -> Document:
        return self._call("GET", _at("keys", name))

    def verify_key(self, name: str) -> Document:
        """`{name, ok, reason?}`: what the provider says of a key."""
        return self._call("GET", _at("keys", name, "verify"))

    def remove_key(self, name: str) -> None:
        self._call("DELETE", _at("keys", name))

    def add_mcp_server(self, request: Mapping[str, Any], *, project: str | None = None) -> Document:
        """Register a server from the API's body, for all tasks or those of one repository."""
        params = given(project=project)
        return self._call("POST", "/mcp/servers", json=dict(request), params=params)

    def mcp_servers(self, *, project: str | None = None) -> Document:
        """`{servers}`, without the values of their variables and headers."""
        return self._call("GET", "/mcp/servers", params=given(project=project))

    def remove_mcp_server(self, name: str, *, project: str | None = None) -> None:
        path = _at("mcp/servers", name)
        self._call("DELETE", path, params=given(project=project))

    def add_token(self, request: Mapping[str, Any]) -> Document:
        """Make a token from the API's body; its `token` is in this answer only."""
        return self._call("POST", "/tokens", json=dict(request))

    def tokens(self, *, tenant: str | None = None) -> Document:
        """`{tokens}` of the caller's tenant, or of another one for operators."""
        return self._call("GET", "/tokens", params=given(tenant=tenant))

    def revoke_token(self, name: str, *, tenant: str | None = None) -> None:
        self._call("DELETE", _at("tokens", name), params=given(tenant=tenant))

    def audit(self, **filters: str | int | None) -> Document:
        """`{entries, next_cursor}`; filters as `GET /audit` has them."""
        return self._call("GET", "/audit", params=given(**filters))

    def control(self) -> Document:
        """What holds runs back: `{gates}`."""
        return self._call("GET", "/control")

    def release(self, scope: str) -> None:
        """Open what is shut under this name."""
        self._call("POST", "/control/release", json={"scope": scope})

    def workspaces(self) -> Document:
        """`{workspaces, total_count, total_size_mb, unreachable}` of all homes."""
        return self._call("GET", "/workspaces")

    def delete_workspace(self, task: str) -> None:
        """Remove the workspace of a task; what is recorded of its work stays."""
        self._call("DELETE", _at("workspaces", task))

    def follow(self, task: str, *, after: int = 0) -> Iterator[Document]:
        """
        Every event with a number above *after*, until the task is finished.

        A broken stream is resumed behind the last event; Unreachable after 60 s without a server.
        """
        path = _at("tasks", task, "stream")
        lost_at: float | None = None
        while True:
            try:
                for name, number, data in self._transport.frames(path, after):
                    lost_at = None
                    if name == "done":
                        return
                    if name == "reset":
                        after = 0
                    if name is None:
                        after = number
                        yield data
                if self._is_over(task, after):
                    return
            except (httpx2.TransportError, Unreachable) as error:
                lost_at = lost_at or time.monotonic()
                if time.monotonic() - lost_at > _GIVE_UP_SECONDS:
                    raise Unreachable(str(error)) from error
            time.sleep(_RECONNECT_SECONDS if lost_at else 0.1)

    def _is_over(self, task: str, after: int) -> bool:
        """Whether a stream that ended without `done` had nothing more to say (204)."""
        page = self.events(task, after=after, limit=1)
        return not page["events"] and self.get(task)["status"] in {
            "completed",
            "failed",
            "pr_created",
        }


def _at(collection: str, name: str, *verb: str) -> str:
    """The path of one thing; an empty name would be that of its collection."""
    if not name:
        raise ApiError(404, {"error": "not_found", "message": "An empty name names nothing."})
    return "/".join(["", collection, quote(name, safe=""), *verb])
