"""Why a process could not be started, as far as callers decide by it."""

from __future__ import annotations

from typing import ClassVar

from internal.errors import CodeforgeError, TimedOut


class StartFailed(CodeforgeError):
    """
    Nothing runs: the system refused (no memory, no space, too many files or processes).

    `errno` is the system's number, None when there is none.
    """

    code: ClassVar[str] = "start_failed"

    def __init__(self, message: str, *, errno: int | None = None) -> None:
        super().__init__(message, errno=errno)
        self.errno = errno


class ExecutableMissing(StartFailed):
    """There is no such program (or its interpreter is missing)."""

    code = "executable_missing"


class NotExecutable(StartFailed):
    """The file exists and cannot be run: no permission, or no program."""

    code = "not_executable"


class WorkingDirectoryMissing(StartFailed):
    """The directory to start in is gone or may not be entered."""

    code = "working_directory_missing"


class CommandTimedOut(TimedOut):
    """A command reached its limit and was killed; `stderr` is the end of what it said."""

    def __init__(self, message: str, *, stderr: bytes) -> None:
        super().__init__(message)
        self.stderr = stderr
