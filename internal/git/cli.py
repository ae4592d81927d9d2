"""
The one way git is run: a clean environment, settings no file can change, limits on everything.

The settings on the command line come before any configuration file, and system and user files are
not read. So a repository that an agent has written to cannot make git start a program: no hooks, no
file system monitor, no filters, no external diff, no protocol but the one that was asked for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from internal.errors import CodeforgeError
from internal.git.failure import (
    CloneFailed,
    GitFailed,
    is_disk_full,
    local_failure,
    network_failure,
)
from internal.process.command import CommandResult, run_command
from internal.process.errors import CommandTimedOut, StartFailed

_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.symlinks=true",
    "core.fileMode=true",
    "core.ignoreCase=false",
    "core.untrackedCache=false",
    "core.splitIndex=false",
    "core.bigFileThreshold=32m",  # larger files are streamed, not held in memory
    "core.quotePath=true",
    "credential.helper=",
    "diff.ignoreSubmodules=all",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "protocol.allow=never",
    "http.followRedirects=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
    "gc.auto=0",
    "maintenance.auto=false",
    "transfer.fsckObjects=true",
    "checkout.workers=2",
    "advice.addEmbeddedRepo=false",
)
# Faults in old commits that many honest repositories carry and that reach no file system.
_FORGIVEN = tuple(
    f"fetch.fsck.{fault}=ignore"
    for fault in (
        "badDate",
        "badDateOverflow",
        "badEmail",
        "badName",
        "badTimezone",
        "missingEmail",
        "missingNameBeforeEmail",
        "missingSpaceBeforeDate",
        "missingSpaceBeforeEmail",
        "missingTaggerEntry",
        "multipleAuthors",
        "zeroPaddedDate",
        "zeroPaddedFilemode",
    )
)
# Recorded work and mirrors outlive a loss of power: one flush for a batch of objects. Everything
# else can be made again, and a flush waits for all that others write to the disk.
_DURABLE = ("core.fsync=committed,loose-object", "core.fsyncMethod=batch")
_FLEETING = ("core.fsync=none",)
_PASSED_ON = frozenset(
    name
    for lower in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    for name in (lower, lower.upper())
) | {
    "PATH",
    "TMPDIR",
    "SSH_AUTH_SOCK",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "CURL_CA_BUNDLE",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """
    Where a command works: a git directory of ours, and for some a tree and its trusted index.

    New objects go to `objects` instead, when it is given; those of `git_dir` are read all the same.
    """

    git_dir: Path
    work_tree: Path | None = None
    index: Path | None = None
    objects: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """
    What lets one command reach one remote: settings, environment, and the secret to hide in errors.
    """

    url: str
    settings: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a command is ended: seconds of time, bytes of standard output."""

    timeout_seconds: float = 120
    max_output_bytes: int = 16 << 20


DEFAULT_LIMITS = Limits()


class Git:
    """Runs git commands; one per process, free of state."""

    def __init__(
        self, *, home: Path, environment: Mapping[str, str], executable: str = "git"
    ) -> None:
        """
        *home* is an empty directory of ours, made if missing; of *environment* only PATH and what
        names proxies, certificates and the ssh agent go on.
        """
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._executable = executable
        self._home = home
        self._environment = {
            **{name: value for name, value in environment.items() if name in _PASSED_ON},
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home),
            "GIT_CEILING_DIRECTORIES": str(home.parent),
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_ADVICE": "0",
            "GIT_PROTOCOL_FROM_USER": "0",
        }

    async def run(
        self,
        *arguments: str,
        place: Place | None = None,
        access: Access | None = None,
        stdin: bytes = b"",
        limits: Limits = DEFAULT_LIMITS,
        accept: Sequence[int] = (0,),
        durable: bool = False,
    ) -> CommandResult:
        """
        Run one command to its end and return what it said.

        *accept* are the exit codes that are no failure; *durable*: what it writes is on the disk
        when it ends. At the limit of its output the result is `truncated`, whatever the exit code.

        Raises:
            GitFailed: it failed or took too long; a subclass when it used *access*.
            DiskFull: it found no room.
        """
        cwd = (place.work_tree or place.git_dir) if place else self._home
        try:
            result = await run_command(
                [self._executable, *_options(access, durable=durable), *arguments],
                environment=self._environment | _addressed(place, access),
                cwd=cwd,
                stdin=stdin,
                timeout_seconds=limits.timeout_seconds,
                max_output_bytes=limits.max_output_bytes,
            )
        except CommandTimedOut:
            message = f"git {arguments[0]} took longer than {limits.timeout_seconds:g} s"
            raise (CloneFailed(message, retryable=True) if access else GitFailed(message)) from None
        except StartFailed as error:
            raise GitFailed(f"git could not be started: {error}") from error
        stderr = result.stderr.decode(errors="replace")
        # `git add` takes a full disk for one of the errors it was told to ignore.
        is_accepted = result.exit_code in accept and not (result.exit_code and is_disk_full(stderr))
        if result.truncated or is_accepted:
            return result
        raise _failure(arguments[0], stderr, access)


def _options(access: Access | None, *, durable: bool) -> list[str]:
    settings = [*_SETTINGS, *(_DURABLE if durable else _FLEETING)]
    if access is not None:
        settings += [*_FORGIVEN, *access.settings]
    return [part for setting in settings for part in ("-c", setting)]


def _addressed(place: Place | None, access: Access | None) -> dict[str, str]:
    """The environment that says where a command works and how it reaches its remote."""
    found = dict(access.environment) if access else {}
    if place is None:
        return found
    found["GIT_DIR"] = str(place.git_dir)
    if place.work_tree is not None:
        found["GIT_WORK_TREE"] = str(place.work_tree)
    if place.index is not None:
        found["GIT_INDEX_FILE"] = str(place.index)
    if place.objects is not None:
        known = str(place.git_dir / "objects").replace("\\", "\\\\").replace('"', '\\"')
        found["GIT_OBJECT_DIRECTORY"] = str(place.objects)
        found["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = f'"{known}"'
    return found


def _failure(command: str, stderr: str, access: Access | None) -> CodeforgeError:
    if access is None:
        return local_failure(command, stderr)
    if access.secret:
        stderr = stderr.replace(access.secret, "***")
    return network_failure(stderr)
