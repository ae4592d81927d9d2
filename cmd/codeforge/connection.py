"""
Where the command line finds a server: its options, the environment, or the `data_dir` of `up`.

`up` and `serve` leave `{data_dir}/server.json` while they run; the token lies beside it in
`secrets/`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from codeforge.client import Client
from internal.errors import Unavailable

SERVER_FILE = "server.json"
TOKEN_FILE = Path("secrets", "auth_token")


def open_client(url: str | None, token: str | None) -> Client:
    """
    A client of the server that is meant; nothing is sent yet.

    Raises:
        Unavailable: no address or token is known; the message says how to give them.
    """
    url = url or os.environ.get("CODEFORGE_URL") or _known_url(data_dir(os.environ))
    token = token or os.environ.get("CODEFORGE_TOKEN") or _known_token(data_dir(os.environ))
    if not url:
        raise Unavailable(
            "No server is known: start one with `codeforge up`, or give --url or CODEFORGE_URL."
        )
    if not token:
        raise Unavailable("No token is known: give --token or CODEFORGE_TOKEN.")
    return Client(url, token)


def data_dir(environ: Mapping[str, str]) -> Path:
    """The default `data_dir`, without reading settings: this must be quick."""
    if chosen := environ.get("CODEFORGE_DATA_DIR"):
        return Path(chosen)
    base = environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base, "codeforge")


@contextmanager
def known_here(directory: Path, url: str) -> Generator[None]:
    """
    Tell command lines on this machine the address of a server, as long as the context lasts.

    A server needs no `data_dir`: where it cannot be made or written, nothing is told.
    """
    path = directory / SERVER_FILE
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(json.dumps({"url": url, "pid": os.getpid()}))
    except OSError:
        yield
        return
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _known_url(directory: Path) -> str | None:
    try:
        known = json.loads((directory / SERVER_FILE).read_text())
    except (OSError, ValueError):
        return None
    return str(known["url"])


def _known_token(directory: Path) -> str | None:
    try:
        return (directory / TOKEN_FILE).read_text().strip()
    except OSError:
        return None
