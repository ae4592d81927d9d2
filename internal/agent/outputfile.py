"""
The agent's whole output in a file for the operator: without secrets, up to a size.

It is a convenience beside the event log: when it cannot be written (a full disk), the run goes on
without it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import structlog

from internal.agent.clip import Change, cut_text

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_LINE_BYTES = 1024 * 1024  # searching a longer one for secrets would hold up the worker
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class OutputFile:
    """Use as a context manager; *path* None keeps nothing. Lines are cut at 1 MiB."""

    def __init__(self, path: Path | None, *, max_bytes: int, redact: Change) -> None:
        self._path = path
        self._left = max_bytes
        self._redact = redact
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        if self._path is not None:
            try:
                self._file = os.fdopen(os.open(self._path, _FLAGS, 0o600), "wb")
            except OSError as error:
                self._give_up(error)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def add(self, line: bytes) -> None:
        """Append a line of output; nothing happens any more once the size is reached."""
        if self._file is None:
            return
        text = line[: 2 * _LINE_BYTES].decode(errors="replace")
        content = cut_text(text, limit_bytes=_LINE_BYTES, redact=self._redact).encode() + b"\n"
        self._left -= len(content)
        if self._left >= 0:
            self._write(content)
        else:
            self._write(b"[the rest of the output was left out]\n")
            self._close()

    def _write(self, content: bytes) -> None:
        try:
            if self._file is not None:
                self._file.write(content)
        except OSError as error:
            self._give_up(error)

    def _close(self) -> None:
        try:
            if self._file is not None:
                self._file.close()
        except OSError as error:
            self._give_up(error)
        self._file = None

    def _give_up(self, error: OSError) -> None:
        log.warning("agent.output_not_kept", path=str(self._path), error=error.strerror)
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()
