"""
A site that hosts repositories, whole: git over smart HTTP and its API at one address.

The API is the double of one host's, GitHub's unless said otherwise; its branches are those of the
real repository. Both want the same token.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import cast
from urllib.parse import parse_qsl, urlsplit

from tests.support.git_http import GitHandler, GitHttpServer, serving
from tests.support.hosts.bitbucket import BitbucketDouble
from tests.support.hosts.double import TOKEN, HostDouble, Seen
from tests.support.hosts.gitea import GiteaDouble
from tests.support.hosts.github import GitHubDouble
from tests.support.hosts.gitlab import GitLabDouble
from tests.support.repos import Repo, git


class Forge(HostDouble):
    """One repository, `octo-org/hello-world`, with its pull requests in `pulls`; mixed in."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.repo = Repo(root / f"{self.full_name}.git", branch="trunk")
        git("config", "http.receivepack", "true", cwd=self.repo.path)
        self.repo.commit({"README.md": "# Example\n", "src/app.py": "print('hello')\n"})
        self.server = _Server(root, TOKEN, _Handler)
        self.server.forge = self
        self.port = self.server.port

    @property
    def url(self) -> str:
        """The repository, as a task names it."""
        return self.clone_url()

    def heads(self) -> dict[str, str]:
        """Branch to commit, of the real repository."""
        said = git("for-each-ref", "--format=%(refname:short) %(objectname)", cwd=self.repo.path)
        return dict(line.split(" ") for line in said.splitlines())

    def show(self, revision: str, form: str) -> str:
        """`git log -1 --format=<form>` of a revision."""
        return git("log", "-1", f"--format={form}", revision, cwd=self.repo.path)

    def files(self, revision: str) -> list[str]:
        """The paths of a revision."""
        return git("ls-tree", "-r", "--name-only", revision, cwd=self.repo.path).splitlines()

    def refuse_pushes(self, said: str) -> None:
        """Install a hook that refuses every push with *said*; "" lets them pass again."""
        hook = self.repo.path / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\n{f'echo {said} >&2; exit 1' if said else 'exit 0'}\n")
        hook.chmod(0o755)

    def looks(self) -> Forge:
        """The same with the branches that are there now, as the API tells of them."""
        self.branches = set(self.heads())
        return self


class GitHubForge(Forge, GitHubDouble):
    """GitHub Enterprise."""


class GitLabForge(Forge, GitLabDouble):
    """GitLab; the repository lies in a subgroup."""


class GiteaForge(Forge, GiteaDouble):
    """Gitea."""


class BitbucketForge(Forge, BitbucketDouble):
    """Bitbucket Cloud."""


class _Server(GitHttpServer):
    forge: Forge


class _Handler(GitHandler):
    def do_PATCH(self) -> None:  # noqa: N802 - the base class's way to name methods
        self.serve()

    def do_PUT(self) -> None:  # noqa: N802 - the base class's way to name methods
        self.serve()

    def serve(self) -> None:
        assert isinstance(self.server, _Server)
        forge = self.server.forge
        url = urlsplit(self.path)
        if not url.path.startswith(f"{forge.root}/"):
            super().serve()
            return
        content = self.body()
        seen = Seen(
            method=self.command,
            path=url.path.removeprefix(forge.root),
            query=dict(parse_qsl(url.query, strict_parsing=bool(url.query))),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=cast("object", json.loads(content)) if content else None,
        )
        (status, body), fault = forge.looks().answer(seen)
        if fault is None:
            kind = [("content-type", "application/json")]
            self.answer(status, [*kind, *forge.headers(seen).items()], json.dumps(body).encode())
        elif fault.status:
            self.answer(fault.status, [*fault.headers.items()], fault.body)
        else:
            self.close_connection = True


@contextmanager
def open_forge(root: Path, kind: type[Forge] = GitHubForge) -> Generator[Forge]:
    """A forge below *root* until the end of the block."""
    forge = kind(root)
    with serving(forge.server):
        yield forge
