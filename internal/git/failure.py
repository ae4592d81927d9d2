"""
What went wrong in git, told from its exit and its English messages, as one class per decision.

`code` is the failure reason of the task; `retryable` says whether the same command may succeed
later by itself. Git has no machine-readable errors over the network, so the texts below are
matched; they are those of git's, curl's and OpenSSH's C locale. An unknown text is never retried.
"""

from __future__ import annotations

import re

from internal.errors import CodeforgeError, DiskFull


class GitFailed(CodeforgeError):  # noqa: N818 - named as all of `internal.errors`
    """A git command failed for a reason the user cannot change."""

    code = "internal_error"

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class CloneFailed(GitFailed):
    """The repository could not be fetched."""

    code = "clone_failed"


class RepoNotFound(GitFailed):
    """No such repository, or no such branch, tag or commit in it."""

    code = "repo_not_found"


class AuthFailed(GitFailed):
    """The remote wants another credential, or one at all."""

    code = "auth_failed"


_MAX_MESSAGE_CHARS = 500
# A checkout and an index that could not be written do not say why; there is hardly another reason.
_DISK_FULL = re.compile(
    r"No space left on device|Disk quota exceeded|Out of diskspace"
    r"|unable to write (file|new index file)",
    re.IGNORECASE,
)
_UNTRUSTED_HOST = re.compile(r"Host key verification failed", re.IGNORECASE)
_AUTH = re.compile(
    r"Authentication failed|could not read (Username|Password)|terminal prompts disabled"
    r"|Permission denied \(|returned error: 40[13]|HTTP Basic: Access denied"
    r"|Too many authentication failures",
    re.IGNORECASE,
)
_NOT_FOUND = re.compile(
    r"repository .*not found|Repository not found|does not appear to be a git repository"
    r"|returned error: (404|410)|does not exist|couldn't find remote ref|not our ref"
    r"|unadvertised object"
    r"|Could not find repository|no such repository|not a git repository",
    re.IGNORECASE,
)
_MAY_PASS = re.compile(
    r"Could not resolve host|Temporary failure in name resolution|Connection refused"
    r"|Failed to connect|Couldn't connect|timed out|Timeout was reached|Connection reset"
    r"|Connection closed|Operation too slow|returned error: (408|425|429|5\d\d)|early EOF"
    r"|unexpected disconnect|remote end hung up|RPC failed|Empty reply from server"
    r"|Network is unreachable|No route to host|Recv failure|Send failure|SSL_ERROR_SYSCALL"
    r"|TLS connection was non-properly terminated|HTTP/2 stream .* was not closed cleanly",
    re.IGNORECASE,
)


def is_disk_full(stderr: str) -> bool:
    """Whether a command failed for want of room."""
    return _DISK_FULL.search(stderr) is not None


def local_failure(command: str, stderr: str) -> CodeforgeError:
    """The error of a command that touched only our own disk."""
    if is_disk_full(stderr):
        return DiskFull("no space left on the disk of the workspaces or the data directory")
    return GitFailed(f"git {command} failed: {_gist(stderr)}")


def network_failure(stderr: str) -> CodeforgeError:
    """The error of a command that spoke to a remote."""
    gist = _gist(stderr)
    if is_disk_full(stderr):
        return DiskFull("no space left on the disk of the mirrors")
    if _UNTRUSTED_HOST.search(stderr):
        return CloneFailed(f"unknown host key; see git.ssh_known_hosts_file: {gist}")
    if _AUTH.search(stderr):
        return AuthFailed(f"the remote refused access or wants a token: {gist}")
    if _NOT_FOUND.search(stderr):
        return RepoNotFound(f"repository not found: {gist}")
    return CloneFailed(
        f"the repository could not be fetched: {gist}", retryable=bool(_MAY_PASS.search(stderr))
    )


def _gist(stderr: str) -> str:
    lines = [line.strip() for line in stderr.replace("\r", "\n").splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:", "remote:", "ssh:"))]
    return "; ".join(telling or lines[-3:])[:_MAX_MESSAGE_CHARS] or "git said nothing"
