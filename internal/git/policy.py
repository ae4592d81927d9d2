"""
Whether a repository may be used at all, by the operator's settings and by who asks.

Pure, and of addresses as they are written; what they resolve to is decided by `vet` in `git.cache`.
"""

from __future__ import annotations

from collections.abc import Sequence

from internal.errors import PolicyDenied
from internal.git.remote import Remote, Scheme


def check_policy(remote: Remote, *, allow_local: bool, allow_hosts: Sequence[str]) -> None:
    """
    Whether the operator lets this repository be used at all.

    *allow_hosts* holds host names, or `*.example.com` for every host below that name; empty means
    any.

    Raises:
        PolicyDenied: it is a local path, or another host; the message names the setting.
    """
    if remote.scheme is Scheme.FILE:
        if not allow_local:
            raise PolicyDenied("file:// repositories need the setting git.allow_local")
        return
    if allow_hosts and not any(_matches(remote.host, allowed) for allowed in allow_hosts):
        raise PolicyDenied(f"host {remote.host} is not in the setting git.allow_hosts")


def check_ssh(remote: Remote, *, is_operator: bool) -> None:
    """
    Whether *remote* may be reached for somebody who is the operator, or is not.

    There are no ssh keys but the operator's: with them anybody could read, and push to, whatever
    the operator can.

    Raises:
        PolicyDenied: it is reached by ssh, for somebody else.
    """
    if remote.scheme is Scheme.SSH and not is_operator:
        raise PolicyDenied(
            "ssh uses the operator's own keys, which serve the tenant default; take https, with an"
            " access_token or a registered key"
        )


def _matches(host: str, allowed: str) -> bool:
    allowed = allowed.strip().lower()
    if allowed.startswith("*."):
        return host.endswith(allowed[1:])
    return host == allowed.removesuffix(".")
