"""
Repositories for tests and benchmarks: small ones written commit by commit, large ones in one
stream.

They are made with plain git in a clean environment, by none of the code under test.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from random import Random

_GIT = shutil.which("git") or "git"
_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "A Person",
    "GIT_AUTHOR_EMAIL": "person@example.com",
    "GIT_COMMITTER_NAME": "A Person",
    "GIT_COMMITTER_EMAIL": "person@example.com",
    "GIT_AUTHOR_DATE": "1700000000 +0000",
    "GIT_COMMITTER_DATE": "1700000000 +0000",
}


def git(*arguments: str, cwd: Path, stdin: bytes | None = None) -> str:
    """Run plain git as a person would, in *cwd*; its output without the last line end."""
    done = subprocess.run(
        [_GIT, "-c", "protocol.file.allow=always", *arguments],
        cwd=cwd,
        env=_ENVIRONMENT,
        input=stdin,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, (arguments, done.stderr.decode(errors="replace"))
    return done.stdout.decode(errors="surrogateescape").rstrip("\n")


class Repo:
    """A bare repository that others clone, with a working copy beside it to write commits."""

    def __init__(self, path: Path, *, branch: str = "main") -> None:
        """Make `<path>`, bare; the first branch is *branch*, still without a commit."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        git("init", "--quiet", "--bare", f"--initial-branch={branch}", str(path), cwd=path.parent)

    @cached_property
    def copy(self) -> Path:
        """The working copy, `<path>.copy`, cloned when it is first asked for."""
        copy = self.path.with_name(self.path.name + ".copy")
        git("clone", "--quiet", str(self.path), str(copy), cwd=self.path.parent)
        return copy

    @property
    def url(self) -> str:
        return f"file://{self.path}"

    def commit(
        self,
        files: Mapping[str, str | bytes] | None = None,
        *,
        remove: Iterable[str] = (),
        message: str = "Change",
        branch: str | None = None,
    ) -> str:
        """
        Write *files*, remove others, commit, push; on a new or existing *branch* if given. Its id.
        """
        if branch is not None:
            git("checkout", "--quiet", "-B", branch, cwd=self.copy)
        for name, content in (files or {}).items():
            path = self.copy / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        for name in remove:
            (self.copy / name).unlink()
        git("add", "--all", "--force", cwd=self.copy)
        git("commit", "--quiet", "--allow-empty", "-m", message, cwd=self.copy)
        git("push", "--quiet", "--force", "origin", "HEAD", cwd=self.copy)
        return git("rev-parse", "HEAD", cwd=self.copy)

    def tag(self, name: str, *, annotated: bool = False) -> None:
        """Tag the last commit and push the tag."""
        options = ("-a", "-m", name) if annotated else ()
        git("tag", *options, name, cwd=self.copy)
        git("push", "--quiet", "origin", f"refs/tags/{name}", cwd=self.copy)


def small_repo(path: Path) -> Repo:
    """
    A repository with one commit: a readme, a package, an ignore file, a program, a binary file.
    """
    repo = Repo(path)
    files = {
        "README.md": b"# Example\n\nA small repository.\n",
        "src/app.py": b"def main():\n    print('hello')\n\n\nmain()\n",
        "src/util.py": b"".join(b"VALUE_%d = %d\n" % (n, n) for n in range(30)),
        ".gitignore": b"build/\n*.log\n",
        "logo.bin": bytes(range(256)) * 4,
        "run.sh": b"#!/bin/sh\necho hello\n",
    }
    stream = _commit_head(0) + b"".join(
        _file(name, content, mode="100755" if name.endswith(".sh") else "100644")
        for name, content in files.items()
    )
    git("fast-import", "--quiet", cwd=path, stdin=stream)
    return repo


def large_repo(path: Path, *, files: int, file_bytes: int, commits: int, seed: int = 1) -> Repo:
    """
    A bare repository of *files* incompressible files of *file_bytes* each, in folders of 50.

    Each of the *commits* after the first rewrites one file in 20, so history is larger than a
    checkout.
    """
    random = Random(seed)  # noqa: S311 - the same repository every time
    repo = Repo(path)
    fast_import = subprocess.Popen(
        [_GIT, "fast-import", "--quiet"],
        cwd=path,
        env=_ENVIRONMENT,
        stdin=subprocess.PIPE,
    )
    assert fast_import.stdin is not None
    for number in range(commits):
        changed = range(files) if number == 0 else range(number % 20, files, 20)
        fast_import.stdin.write(_commit_head(number))
        for file in changed:
            content = random.randbytes(file_bytes * 3 // 4).hex().encode()[:file_bytes]
            name = f"folder{file // 50:03}/file{file:05}.txt"
            fast_import.stdin.write(_file(name, content))
    fast_import.stdin.close()
    assert fast_import.wait(timeout=300) == 0
    return repo


def _commit_head(number: int) -> bytes:
    message = f"Commit {number}"
    who = f"A Person <person@example.com> {1700000000 + number} +0000"
    return (f"commit refs/heads/main\ncommitter {who}\ndata {len(message)}\n{message}\n").encode()


def _file(name: str, content: bytes, *, mode: str = "100644") -> bytes:
    return f"M {mode} inline {name}\ndata {len(content)}\n".encode() + content + b"\n"
