"""What can go wrong only in an HTTP server, beside `internal.errors`."""

from __future__ import annotations

from internal.errors import CodeforgeError, TimedOut


class MethodNotAllowed(CodeforgeError):
    """The path exists, the method does not; `allowed` names those that do."""

    code = "method_not_allowed"

    def __init__(self, allowed: str) -> None:
        super().__init__(f"This path takes {allowed}.")
        self.allowed = allowed


class PayloadTooLarge(CodeforgeError):
    """The request's body is over the limit of `server.max_body_bytes`."""

    code = "payload_too_large"


class UnsupportedMediaType(CodeforgeError):
    """The request's body is not JSON in UTF-8, or it is compressed."""

    code = "unsupported_media_type"


class SlowRequest(TimedOut):
    """The request's body did not arrive in time."""
