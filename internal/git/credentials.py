"""
How one git command gets to one remote: its protocol, its credential, its address.

A token goes by the environment of that git process alone, and git asks for it through a small
helper program that holds no secret. So it is in no URL, no argument, no configuration and no file,
and it is gone when the command ends. The address is pinned to the one that was vetted, so the name
cannot resolve to another one in between.
"""

from __future__ import annotations

import os
import secrets
import shlex
from dataclasses import dataclass
from pathlib import Path

from internal.errors import Invalid
from internal.git.cli import Access
from internal.git.remote import Remote, Scheme

_ASKPASS = """#!/bin/sh
case "$1" in
Username*) printf '%s\\n' "$CODEFORGE_GIT_USER" ;;
*) printf '%s\\n' "$CODEFORGE_GIT_TOKEN" ;;
esac
"""
# Hosts that look at the user beside a token; the others take any name.
_TOKEN_USERS = {"bitbucket.org": "x-token-auth", "gitlab.com": "oauth2"}
# Bitbucket also has `user:password`; with an address as its user it is an API token, whose user
# for git is always this one.
_PAIR_HOST, _API_TOKEN_USER = "bitbucket.org", "x-bitbucket-api-token-auth"
_SSH_CONNECT_SECONDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SshFiles:
    """The operator's files for ssh; None leaves OpenSSH's own defaults."""

    key_file: Path | None = None
    known_hosts_file: Path | None = None


def install_askpass(directory: Path) -> Path:
    """Put the helper program into *directory* (made if missing) and return its path; repeatable."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / "askpass"
    temporary = directory / f"askpass.{secrets.token_hex(4)}"
    temporary.write_text(_ASKPASS)
    temporary.chmod(0o700)
    temporary.replace(path)
    return path


def user_and_password(host: str, token: str) -> tuple[str, str]:
    """What git says at *host* when it is asked for a user and a password."""
    user, colon, password = token.partition(":")
    if host == _PAIR_HOST and colon and password:
        return (_API_TOKEN_USER if "@" in user else user), password
    return _TOKEN_USERS.get(host, "x-access-token"), token


def access_to(
    remote: Remote, *, token: str | None, askpass: Path, ssh: SshFiles, address: str | None
) -> Access:
    """
    What a command needs to reach *remote*.

    *address* is the vetted IP address that the host name is pinned to, None for a local repository.

    Raises:
        Invalid: the token has control characters, which no HTTP header can carry.
    """
    allowed = f"protocol.{remote.scheme}.allow=always"
    match remote.scheme:
        case Scheme.HTTP | Scheme.HTTPS:
            return _http(remote, allowed, token, askpass, address)
        case Scheme.SSH:
            command = shlex.join(_ssh_command(remote, ssh, address))
            environment = {"GIT_SSH_COMMAND": command, "GIT_SSH_VARIANT": "ssh"}
            return Access(url=remote.url, settings=(allowed,), environment=environment)
        case Scheme.FILE:
            # The operator allowed local repositories; they often belong to another user.
            return Access(url=remote.url, settings=(allowed, "safe.directory=*"))


def _http(
    remote: Remote, allowed: str, token: str | None, askpass: Path, address: str | None
) -> Access:
    settings = [allowed]
    if address is not None and ":" not in remote.host:
        pinned = f"[{address}]" if ":" in address else address
        settings.append(f"http.curloptResolve={remote.host}:{remote.port}:{pinned}")
    if not token:
        return Access(url=remote.url, settings=tuple(settings))
    if not token.isprintable() or not token.isascii():
        raise Invalid(
            "access_token must be printable ASCII", fields={"access_token": "not printable"}
        )
    user, password = user_and_password(remote.host, token)
    environment = {
        "GIT_ASKPASS": str(askpass),
        "CODEFORGE_GIT_USER": user,
        "CODEFORGE_GIT_TOKEN": password,
    }
    return Access(
        url=remote.url, settings=tuple(settings), environment=environment, secret=password
    )


def _ssh_command(remote: Remote, ssh: SshFiles, address: str | None) -> list[str]:
    command = ["ssh", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={_SSH_CONNECT_SECONDS}"]
    command += [
        "-o",
        "ServerAliveInterval=15",
        "-o",
        "ForwardAgent=no",
        "-o",
        "ClearAllForwardings=yes",
    ]
    if ssh.key_file is not None:
        command += ["-i", os.fspath(ssh.key_file), "-o", "IdentitiesOnly=yes"]
    if ssh.known_hosts_file is not None:
        command += ["-o", f'UserKnownHostsFile="{ssh.known_hosts_file}"']
        command += ["-o", "StrictHostKeyChecking=yes"]
    if address is not None:
        # The key is still looked up under the host's own name.
        alias = remote.host if remote.port == 22 else f"[{remote.host}]:{remote.port}"
        command += ["-o", f"HostName={address}", "-o", f"HostKeyAlias={alias}"]
    return command
