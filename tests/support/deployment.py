"""
A whole CodeForge as its operator runs it: the installed `codeforge up`, as a process.

Nothing of it is imported by the tests; they see its API, its command line, its files, and what it
leaves behind.
"""

# redis-py leaves its **kwargs untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import httpx2
from redis.asyncio import Redis

from codeforge.client import Client, Document
from tests.support.keyleak import leaked_keys

CODEFORGE = Path(sys.executable).with_name("codeforge")
LIMIT_SECONDS = 60.0
"""For what takes a second or two on a machine with nothing else to do."""

_SETTLE_SECONDS = 10.0
"""For the last words of a run: its webhook is noted as delivered, its process is reaped."""

_STORES = ("workspaces", "outputs", "sessions", "git/work")
_FINISHED = frozenset({"completed", "failed", "pr_created"})


def eventually(fact: Callable[[], Any], what: str, *, seconds: float = LIMIT_SECONDS) -> Any:
    """Look every 20 ms until *fact* returns something true, which is returned."""
    deadline = time.monotonic() + seconds
    while not (found := fact()):
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)
    return found


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def processes_naming(text: str) -> list[str]:
    """
    Every process that has *text* in its environment, its words or its directory: `pid: words`.
    """
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # it ended while we looked
            words = (entry / "cmdline").read_bytes()
            where = os.fsencode(os.readlink(entry / "cwd"))
            if text.encode() in words + where + (entry / "environ").read_bytes():
                shown = words.replace(b"\0", b" ").decode(errors="replace")
                found.append(f"{entry.name}: {shown[:200]}")
    return found


class Deployment:
    """One `data_dir`, its `codeforge up`, and ways to look at both."""

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        """*settings* are variables of the environment, beside those that every test needs."""
        # A socket's path has room for about 100 bytes, and TMPDIR may be long.
        self.directory = Path(tempfile.mkdtemp(prefix="cf-e2e-", dir="/tmp"))
        self.data_dir = self.directory / "data"
        self.scratch = self.directory / "tmp"
        self.repositories = self.directory / "repositories"
        self.url = f"http://127.0.0.1:{free_port()}"
        for made in (self.scratch, self.repositories, self.directory / "home"):
            made.mkdir()
        self._settings = dict(settings or {})
        self._log = self.directory / "up.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What `codeforge` gets; nothing of the environment of the tests but PATH."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory / "home"),
            "TMPDIR": str(self.scratch),
            "CODEFORGE_DATA_DIR": str(self.data_dir),
            "CODEFORGE_SERVER__PORT": self.url.rpartition(":")[2],
            "CODEFORGE_GIT__ALLOW_LOCAL": "true",
            "CODEFORGE_EGRESS__ALLOW": "127.0.0.0/8",
            "CODEFORGE_RATE_LIMIT__ENABLED": "false",
            **self._settings,
        }

    @property
    def token(self) -> str:
        return (self.data_dir / "secrets" / "auth_token").read_text(encoding="ascii").strip()

    @property
    def webhook_secret(self) -> str:
        return (self.data_dir / "secrets" / "hmac_secret").read_text(encoding="ascii").strip()

    @property
    def home(self) -> str:
        """The id of the home, by which its agents are marked."""
        return (self.data_dir / "home-id").read_text(encoding="ascii").strip()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def is_up(self) -> bool:
        """Whether the process of `up` is there."""
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        """What `up` and its parts have logged."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Start `up` and return when a worker takes tasks."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [CODEFORGE, "up"],
                env=self.environment,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            eventually(self._takes_tasks, "a server with a worker")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()[-4000:]}") from error

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal, and return the exit status."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(LIMIT_SECONDS)

    def remove(self) -> None:
        """End what still runs, and remove the directory."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def client(self) -> Client:
        """A client with the token that `up` made."""
        return Client(self.url, self.token)

    def http(self) -> httpx2.Client:
        """Plain HTTP with the token, for what the client has no method for."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=75, trust_env=False)

    def run(
        self, *words: str, stdin: str = "", environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `codeforge WORDS` beside it, to its end."""
        return subprocess.run(
            [CODEFORGE, *words],
            env=self.environment | dict(environment or {}),
            cwd=self.directory,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )

    def finished(self, task: str, *, client: Client) -> Document:
        """The document of *task* once it is finished."""

        def look() -> Document | None:
            document = client.get(task, with_iterations=True)
            return document if document["status"] in _FINISHED else None

        document: Document = eventually(look, f"task {task} finished")
        return document

    def agents(self) -> list[str]:
        """Processes of agents, and whatever those started."""
        return processes_naming(f"CODEFORGE_RUN={self.home}.")

    async def settled(self) -> None:
        """Return once nothing is left that must not be; fails with what is left in the end."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while left := await self._leftovers():
            assert time.monotonic() < deadline, f"left behind: {left}"
            await asyncio.sleep(0.05)

    async def _leftovers(self) -> list[str]:
        """What must not be there while no task is queued or runs; a live task is in it too."""
        with self.client() as client:
            tasks = client.list(limit=200)["tasks"]
        live = [f"task {task['id']} is {task['status']}" for task in tasks if _is_live(task)]
        agents = [f"process {process}" for process in self.agents()]
        async with Redis.from_url(self.redis_url, decode_responses=True, protocol=3) as redis:
            keys = [f"key {key} without TTL" for key in await leaked_keys(redis)]
        return live + agents + keys + self._stray_files({str(task["id"]) for task in tasks})

    @property
    def redis_url(self) -> str:
        """The embedded Redis, with its password."""
        password = (self.data_dir / "redis" / "password").read_text(encoding="ascii").strip()
        return f"unix://:{password}@{self.data_dir}/redis/redis.sock"

    def _stray_files(self, tasks: set[str]) -> list[str]:
        """Files of tasks that nobody knows, and temporary ones."""
        found = list(self.scratch.iterdir())
        found += (self.data_dir / "git" / "home").iterdir()
        for store in _STORES:
            below = "*" if store == "workspaces" else "*/*"
            found += [
                path
                for path in (self.data_dir / store).glob(below)
                if path.name.removesuffix(".git") not in tasks and path.name[0] != "."
            ]
        return [f"file {path}" for path in found]

    def _takes_tasks(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "`codeforge up` ended"
        try:
            with self.http() as http:
                answer = http.get("/api/v1/workers")
        except (OSError, httpx2.TransportError):
            return False
        return answer.status_code == 200 and bool(json.loads(answer.content)["workers"])


@contextlib.contextmanager
def running(settings: Mapping[str, str] | None = None) -> Generator[Deployment]:
    """A deployment for one test; it fails the test when something outlives its stop."""
    deployment = Deployment(settings)
    try:
        deployment.start()
        yield deployment
        if deployment.is_up():
            assert deployment.stop() == 0, deployment.log()[-4000:]
        left = processes_naming(str(deployment.directory))
        assert not left, f"processes are left: {left}"
        strays = [str(path) for path in deployment.scratch.iterdir()]
        assert not strays, f"files are left: {strays}"
    finally:
        deployment.remove()


def _is_live(task: Document) -> bool:
    return task["status"] not in _FINISHED
