"""The embedded server's directory: private, for one server at a time, with its password and log."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
import time
from pathlib import Path
from typing import BinaryIO, NoReturn

from internal.errors import Conflict

_LONGEST_SOCKET_PATH = 100  # bytes; the kernels' limits are 108 (Linux) and 104 (macOS)
_LOCK_SECONDS = 3  # a killed owner's server is gone in milliseconds, its fork of a rewrite in more
_LOG_BYTES = 1 << 20
_LOG_LINES = 12
_PID_WIDTH = 20
_ADDRESS = "address"
"""The file that tells where the socket is, for programs beside the server's owner."""


class DataDirectory:
    """Mode 0700; `prepare` before anything else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = path / "redis.sock"
        self.password = ""
        self._log = path / "server.log"
        self._short: Path | None = None

    def prepare(self) -> None:
        """
        Make what is missing; the socket and the password stay the same for the life of this object.

        Raises:
            OSError: the disk refuses.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)
        self.password = self.password or _stored_password(self.path / "password")
        if len(os.fsencode(self.socket)) > _LONGEST_SOCKET_PATH:
            # TMPDIR may be long too; mkdtemp makes a directory that is ours alone.
            self._short = Path(tempfile.mkdtemp(prefix="codeforge-", dir="/tmp"))
            self.socket = self._short / "redis.sock"
        (self.path / _ADDRESS).write_text(str(self.socket))
        if self._log.exists() and self._log.stat().st_size > _LOG_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))

    def discard_short(self) -> None:
        """Remove the directory of a socket whose own place has too long a path."""
        if self._short is not None:
            shutil.rmtree(self._short, ignore_errors=True)
            self._short = None
            self.socket = self.path / "redis.sock"

    async def lock(self) -> int:
        """
        A descriptor that holds the directory; a process that inherits it holds it while it lives.

        Raises:
            Conflict: another server holds it; the message says its pid.
        """
        path = self.path / "lock"
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + _LOCK_SECONDS
        try:
            while not _try_lock(lock):
                if time.monotonic() > deadline:
                    _refuse(self.path, os.pread(lock, _PID_WIDTH, 0))
                await asyncio.sleep(0.02)
        except BaseException:
            os.close(lock)
            raise
        return lock

    def open_log(self) -> BinaryIO:
        """The server's log, for appending."""
        return open(self._log, "ab", opener=_private)

    def log_tail(self) -> list[str]:
        """The last lines of the log, without the password."""
        text = self._log.read_bytes()[-_LOG_BYTES:].decode(errors="replace")
        return text.replace(self.password, "***").splitlines()[-_LOG_LINES:]


def stored_address(directory: Path) -> tuple[Path, str] | None:
    """Socket and password of the server of *directory*, None where there never was one."""
    try:
        socket = Path((directory / _ADDRESS).read_text())
        return socket, (directory / "password").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None


def write_holder(lock: int, pid: int) -> None:
    """Note in the lock's file who holds it; of one width, so that a full disk can take it again."""
    with contextlib.suppress(OSError):  # the lock itself does not need it
        os.pwrite(lock, f"{pid:<{_PID_WIDTH}}".encode(), 0)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _refuse(directory: Path, holder: bytes) -> NoReturn:
    pid = holder.decode().strip() or "unknown"
    raise Conflict(f"{directory} is in use by the Redis server with process id {pid}.", pid=pid)


def _stored_password(path: Path) -> str:
    """The password of this directory, made on first use into a file of mode 0600."""
    with contextlib.suppress(FileNotFoundError):
        stored = path.read_text(encoding="ascii").strip()
        if stored:  # empty when the disk was full as it was made
            return stored
    password = secrets.token_hex(32)
    with open(path, "w", encoding="ascii", opener=_private) as file:
        file.write(password)
    return password


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
