"""
Everything that can go wrong, one class per decision of the caller.

Each class carries the machine code that the HTTP answer and the command line show. Messages are for
people; `details` are for programs. No message ever holds a secret.
"""

from __future__ import annotations

import errno
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, ClassVar


class CodeforgeError(Exception):
    """Root of all errors that callers are meant to handle."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, code: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.error_code = code or self.code


class Invalid(CodeforgeError):
    """
    The request cannot be understood or breaks a limit; nothing was changed.

    `fields` maps the JSON path of each bad member to what is wrong with it.
    """

    code = "validation_error"

    def __init__(
        self, message: str, *, fields: dict[str, str] | None = None, **details: Any
    ) -> None:
        super().__init__(message, **details)
        self.fields = fields or {}


class BadRequest(CodeforgeError):
    """The request is no readable request at all (not JSON, a bad cursor)."""

    code = "bad_request"


class NotAvailable(Invalid):
    """The route, field or value is part of the contract but not built into this version."""

    code = "not_available"


class Unauthorized(CodeforgeError):
    """No credential, or a wrong one."""

    code = "unauthorized"


class Forbidden(CodeforgeError):
    """A valid credential without the scope for this call."""

    code = "forbidden"


class NotFound(CodeforgeError):
    """No such object, or one of another tenant."""

    code = "not_found"


class Conflict(CodeforgeError):
    """The object is in a state that does not allow this; reading it again tells why."""

    code = "conflict"


class UpstreamFailed(CodeforgeError):
    """The host of the repository refused us, or failed; the message holds its own words."""

    code = "provider_error"


class Gone(CodeforgeError):
    """The object existed and was erased."""

    code = "gone"


class PolicyDenied(CodeforgeError):
    """An operator's setting forbids this target; the message names the setting."""

    code = "policy_denied"


class Unavailable(CodeforgeError):
    """
    A part we depend on is away; the same call may succeed later.

    `retry_after_seconds` is a hint for the caller.
    """

    code = "unavailable"

    def __init__(self, message: str, *, retry_after_seconds: int = 2, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after_seconds = retry_after_seconds


class RateLimited(CodeforgeError):
    """Too many calls; the next one is possible after `retry_after_seconds`."""

    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, retry_after_seconds: int, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after_seconds = retry_after_seconds


class TimedOut(CodeforgeError):
    """A limit of time was reached; whether the work was done is unknown."""

    code = "timeout"


class Fenced(CodeforgeError):
    """This claim is no longer the task's claim; nothing of it counts any more."""

    code = "fenced"


class DiskFull(CodeforgeError):
    """The disk, or our quota of it, is full; the same run may succeed once there is room."""

    code = "disk_full"


@contextmanager
def disk_errors() -> Generator[None]:
    """
    Tell a full disk from the other faults of the system.

    Raises:
        DiskFull: the block met an error that says there is no room; all others pass unchanged.
    """
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            message = "no space left on the disk of the workspaces or the data directory"
            raise DiskFull(message) from error
        raise
