"""
A real Gitea on loopback, for whoever has its program: `CODEFORGE_GITEA=/path/to/gitea`.

A released program is enough; one built without its assets must lie in its source directory. It
writes below the directory it is given, and answers at most three items of a list.
"""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

PROGRAM = os.environ.get("CODEFORGE_GITEA", "")
_START_SECONDS = 120
_SETTINGS = """
RUN_MODE = prod
WORK_PATH = {work}
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = http://127.0.0.1:{port}/
DISABLE_SSH = true
OFFLINE_MODE = true
[database]
DB_TYPE = sqlite3
[security]
INSTALL_LOCK = true
[api]
MAX_RESPONSE_ITEMS = 3
"""


@dataclass(frozen=True, kw_only=True)
class Gitea:
    """A running instance with the repository `octo/hello`, whose first branch is `trunk`."""

    port: int
    token: str

    @property
    def clone_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/octo/hello.git"

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> object:
        """One request of its administrator; what came back."""
        answer = httpx2.request(
            method,
            f"http://127.0.0.1:{self.port}/api/v1{path}",
            headers={"Authorization": f"token {self.token}"},
            json=body,
            timeout=60,
            trust_env=False,
        )
        assert answer.status_code < 300, (method, path, answer.text)
        return answer.json() if answer.content else None

    def branch(self, name: str) -> None:
        """A new branch with a commit of its own."""
        body = {
            "branch": "trunk",
            "new_branch": name,
            "message": "Change",
            "content": base64.b64encode(name.encode()).decode(),
        }
        self.call("POST", f"/repos/octo/hello/contents/{name.replace('/', '-')}.txt", body)


@contextmanager
def running_gitea(work: Path) -> Generator[Gitea]:
    """An instance below *work*, private repository, labels `bug` and `security`, user `ann`."""
    program = Path(PROGRAM).resolve()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    settings = work / "app.ini"
    settings.write_text(_SETTINGS.format(work=work, port=port))
    for assets in ("templates", "options", "public"):
        if (program.parent / assets).is_dir():
            (work / assets).symlink_to(program.parent / assets)

    def run(*arguments: str) -> str:
        command = [str(program), "--config", str(settings), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, env=_environment(work)
        ).stdout

    run("migrate")
    account = ("--password", "correct-horse-9", "--must-change-password=false")
    run("admin", "user", "create", "--username=boss", "--email=b@x.org", "--admin", *account)
    run("admin", "user", "create", "--username=ann", "--email=a@x.org", *account)
    made = run(
        *("admin", "user", "generate-access-token", "--username=boss"),
        *("--scopes=all", "--token-name=test", "--raw"),
    )
    instance = Gitea(port=port, token=made.split()[-1])
    with (work / "web.log").open("wb") as output:
        process = subprocess.Popen(
            [str(program), "--config", str(settings), "web"],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(work),
        )
        try:
            _prepare(instance, process)
            yield instance
        finally:
            process.terminate()
            process.wait(60)


def _prepare(instance: Gitea, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(instance):
        assert process.poll() is None, "it ended"
        assert time.monotonic() < deadline, "it did not start in time"
        time.sleep(0.1)
    instance.call("POST", "/orgs", {"username": "octo"})
    repository = {"name": "hello", "private": True, "auto_init": True, "default_branch": "trunk"}
    instance.call("POST", "/orgs/octo/repos", repository)
    instance.call("PUT", "/repos/octo/hello/collaborators/ann", {"permission": "write"})
    instance.call("POST", "/repos/octo/hello/labels", {"name": "bug", "color": "#00aabb"})
    instance.call("POST", "/orgs/octo/labels", {"name": "security", "color": "#00aabb"})


def _answers(instance: Gitea) -> bool:
    try:
        instance.call("GET", "/version")
    except httpx2.TransportError:
        return False
    return True


def _environment(work: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(work),
        "USER": os.environ.get("USER", "root"),
        "GITEA_WORK_DIR": str(work),
    }
