"""
What the demo plays and says: a task, a follow-up, the diff, and the webhooks of both.

It uses the public API only, through the `Client` that users have; any of its steps can be repeated
by hand.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from codeforge.client import Client, Unreachable
from codeforge.demo_deployment import DemoDeployment
from codeforge.demo_repository import DemoFailed, make_repository
from codeforge.demo_webhook import Receiver
from codeforge.render_events import event_line

Document = dict[str, Any]

_READY_SECONDS = 60
_WEBHOOK_SECONDS = 20
_POLL_SECONDS = 0.02

_SCRIPTS = {
    # The demo agent does what it reads, line by line.
    "demo": (
        "I look at the repository first.\n"
        "read README.md\n"
        'write greet.py: def greet(name):\\n    return f"Hello, {name}!"\n'
        "append README.md: \\n    python -c \"import greet; print(greet.greet('Ada'))\"\n"
        "The function is in greet.py, and the readme shows how to call it.",
        "write test_greet.py: from greet import greet\\n\\n\\n"
        'def test_greet_says_hello():\\n    assert greet("Ada") == "Hello, Ada!"\n'
        "It has a test now.",
    ),
    "claude-code": (
        "Add a module greet.py with a function greet(name) that returns 'Hello, <name>!', and one "
        "line in README.md that shows how to call it. Change nothing else and do not commit.",
        "Add test_greet.py with one pytest test of greet. Change nothing else and do not commit.",
    ),
}


def start_story(
    console: Console, deployment: DemoDeployment, agent: str
) -> asyncio.Future[Document]:
    """
    Play in a thread that nobody waits for; the result is the task as it is at the end.

    The future raises DemoFailed when a step did not end as it should, ApiError and Unreachable when
    the server refused or is gone. Cancelled, it leaves the thread behind, to end with the process.
    """
    loop = asyncio.get_running_loop()
    told: asyncio.Future[Document] = loop.create_future()

    def settle(task: Document | None, error: Exception | None) -> None:
        if told.done():
            return
        if error is not None:
            told.set_exception(error)
        else:
            told.set_result(task or {})

    def play() -> None:
        task, failure = None, None
        try:
            task = _play(console, deployment, agent)
        except Exception as error:  # noqa: BLE001 -- raised where the future is awaited
            failure = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, task, failure)

    threading.Thread(target=play, name="story", daemon=True).start()
    return told


def _play(console: Console, deployment: DemoDeployment, agent: str) -> Document:
    with (
        Receiver(deployment.webhook_secret) as receiver,
        Client(deployment.url, deployment.token) as client,
    ):
        return Story(console, client, receiver, deployment.directory).play(agent)


class Story:
    """Plays on one deployment and prints as it goes."""

    def __init__(
        self, console: Console, client: Client, receiver: Receiver, directory: Path
    ) -> None:
        self._console = console
        self._client = client
        self._receiver = receiver
        self._repository = directory / "greetings"

    def play(self, agent: str) -> Document:
        """Everything, in order; raises what `start_story` says."""
        first, second = _SCRIPTS[agent]
        with self._step("codeforge up: Redis, a server and a worker"):
            self._await_worker()
        with self._step("A git repository with one file"):
            make_repository(self._repository)
        with self._step(f"POST /api/v1/tasks: the agent `{agent}` works on it"):
            task = self._submit(agent, first)
            self._follow(task, after=0)
            self._await_webhook(task, iteration=1)
        with self._step("POST /api/v1/tasks/{id}/instruct: a follow-up, in the same session"):
            seen = int(self._client.events(task, limit=1000)["next"])
            self._client.instruct(task, second)
            self._follow(task, after=seen)
            self._await_webhook(task, iteration=2)
        with self._step("GET /api/v1/tasks/{id}/diff: the work of both"):
            self._show_diff(task)
        return self._client.get(task)

    def _await_worker(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not self._has_worker():
            if time.monotonic() > deadline:
                raise DemoFailed(f"Server and worker were not ready within {_READY_SECONDS} s.")
            time.sleep(_POLL_SECONDS)

    def _has_worker(self) -> bool:
        try:
            return bool(self._client.workers()["workers"])
        except Unreachable:
            return False

    def _submit(self, agent: str, prompt: str) -> str:
        request = {
            "repo_url": f"file://{self._repository}",
            "prompt": prompt,
            "callback_url": self._receiver.url,
            "config": {"cli": agent},
        }
        return str(self._client.submit(request)["id"])

    def _follow(self, task: str, *, after: int) -> None:
        for event in self._client.follow(task, after=after):
            event_line(self._console, event)
        document = self._client.get(task)
        if document["status"] != "completed":
            raise DemoFailed(f"The task ended as {document['status']}: {document.get('error')}")

    def _await_webhook(self, task: str, *, iteration: int) -> None:
        call = self._receiver.wait(timeout_seconds=_WEBHOOK_SECONDS)
        if call is None:
            raise DemoFailed(f"No signed webhook came within {_WEBHOOK_SECONDS} s.")
        if (call.body["task_id"], call.body["iteration"]) != (task, iteration):
            raise DemoFailed(f"The webhook is of another run: {call.body}")
        self._note(f"webhook {call.event} received, both signatures are right")

    def _show_diff(self, task: str) -> None:
        patch = self._client.patch(task).decode(errors="replace")
        if not patch:
            raise DemoFailed("The agent changed nothing.")
        for line in patch.splitlines():
            self._console.print(_coloured(line), soft_wrap=True)

    def _note(self, text: str) -> None:
        self._console.print(Text(f"  {text}", style="dim"), soft_wrap=True)

    @contextmanager
    def _step(self, title: str) -> Generator[None]:
        """A part with its title and the time it took."""
        self._console.print(Text(f"\n▸ {title}", style="bold"), soft_wrap=True)
        began = time.monotonic()
        yield
        self._note(f"{time.monotonic() - began:.2f} s")


def _coloured(line: str) -> Text:
    if line.startswith(("+++", "---", "diff ")):
        return Text(line, style="bold")
    styles = {"+": "green", "-": "red", "@": "cyan"}
    return Text(line, style=styles.get(line[:1], ""))
