"""
What a program must be able to read to run at all: itself, its interpreter, and what lies with them.

A sandbox shows the system's directories; a program installed elsewhere (under /opt, by nvm, pipx,
uv) is followed link by link, and each directory on the way is named. A directory that holds more
than programs is never named, only the file in it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

_SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_BESIDE_BIN = ("lib", "lib64", "libexec", "pyvenv.cfg")
_SHARED = frozenset(
    Path(path)
    for path in (
        *("/", "/dev", "/etc", "/home", "/media", "/mnt", "/opt", "/proc", "/root", "/run"),
        *("/srv", "/sys", "/tmp", "/usr", "/var", "/var/lib", "/var/tmp"),  # noqa: S108
    )
)
_MOST_LINKS = 40  # as many as the kernel follows


def system_directories() -> tuple[list[tuple[str, str]], list[str]]:
    """The links (target, path) and the directories at the root that programs lie in."""
    links: list[tuple[str, str]] = []
    directories = ["/usr"]
    for name in _SYSTEM:
        path = f"/{name}"
        if os.path.islink(path):
            links.append((os.readlink(path), path))
        elif os.path.isdir(path):
            directories.append(path)
    return links, directories


def needed_by(
    program: str, environment: Mapping[str, str], *, private: Iterable[Path]
) -> list[Path]:
    """
    What must be readable for *program*, looked for on the PATH of *environment*; nothing when it is
    nowhere.

    A directory that is or holds one of *private* is left out, for its file alone.
    """
    found = shutil.which(program, path=environment.get("PATH"))
    if found is None:
        return []
    kept = tuple(private)
    needed: dict[Path, None] = {}
    for file in _files_of(Path(found).absolute(), environment):
        for path in _with_neighbours(file):
            is_broad = path in _SHARED or any(own.is_relative_to(path) for own in kept)
            needed[file if is_broad else path] = None
    return [path for path in needed if not path.is_relative_to("/usr")]


def _files_of(program: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    """The program, what it links to, and so on to the interpreter of what it is in the end."""
    pending = [program]
    for _ in range(_MOST_LINKS):
        if not pending:
            return
        file = pending.pop(0)
        yield file
        if file.is_symlink():
            pending.append(Path(os.path.normpath(file.parent / os.readlink(file))))
            real = file.resolve()
            if real.exists():
                yield real
        else:
            pending += _interpreters(file, environment)


def _interpreters(file: Path, environment: Mapping[str, str]) -> list[Path]:
    """What the first line of a script names: a path, or with `env` a name on the PATH."""
    try:
        with file.open("rb") as opened:
            line = opened.read(256).partition(b"\n")[0]
    except OSError:
        return []
    if not line.startswith(b"#!"):
        return []
    words = [os.fsdecode(word) for word in line[2:].split()]
    if words and os.path.basename(words[0]) == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    found = shutil.which(words[0], path=environment.get("PATH")) if words else None
    return [Path(found)] if found else []


def _with_neighbours(file: Path) -> Iterator[Path]:
    """The directory of *file*; a `bin` comes with the libraries beside it."""
    yield file.parent
    if file.parent.name == "bin":
        for name in _BESIDE_BIN:
            beside = file.parent.parent / name
            if beside.exists():
                yield beside
