"""What hosts say when they refuse, and when they want to be asked again."""

from __future__ import annotations

import pytest

from internal.git.provider.failure import failure, said, wait_seconds
from internal.redact import KNOWN

_NOW = "Thu, 01 Jan 1970 00:16:40 GMT"  # second 1,000


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            {
                "message": "Validation Failed",
                "errors": [{"resource": "PullRequest", "field": "head", "code": "invalid"}],
            },
            "Validation Failed; head invalid",
        ),
        (
            {"message": "Validation Failed", "errors": [{"message": "No commits between a and b"}]},
            "Validation Failed; No commits between a and b",
        ),
        ({"message": {"base": ["is invalid", "is gone"]}}, "base is invalid; base is gone"),
        ({"message": ["Another open merge request: !1"]}, "Another open merge request: !1"),
        ({"error": "invalid_token", "error_description": "Expired."}, "invalid_token; Expired."),
        ({"type": "error", "error": {"message": "Bad", "fields": {"t": ["no"]}}}, "Bad; t no"),
        ({"message": "", "url": "https://x"}, ""),
        ("<html>", "<html>"),
        (None, ""),
        (17, ""),
    ],
)
def test_the_words_of_each_host_are_found(body: object, words: str) -> None:
    """GitHub's, GitLab's, Gitea's and Bitbucket's forms become one line."""
    assert said(body) == words


def test_words_are_short_and_hold_no_secret() -> None:
    """Neither the token of the call nor any that this process knows, nor control characters."""
    with KNOWN.using("other-secret"):
        words = said(
            {"message": "tok-en-1\n\x1b[2Jother-secret " + "x" * 900}, secrets=["tok-en-1"]
        )

    assert words.startswith("*** [2J*** xxx")
    assert len(words) == 300


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"retry-after": "30"}, 30),
        (429, {"retry-after": "Thu, 01 Jan 1970 00:17:00 GMT"}, 20),
        (429, {"ratelimit-reset": "1007"}, 7),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1060"}, 60),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "900"}, 0),
        (429, {"retry-after": "999999"}, 3600),
        (429, {"retry-after": "soon"}, None),
        (503, {"retry-after": "5"}, 5),
    ],
)
def test_when_to_come_back_is_read(
    status: int, headers: dict[str, str], seconds: float | None
) -> None:
    """Seconds, a date or a moment; measured by the host's clock, an hour at most."""
    error = failure("host", status, {"date": _NOW, **headers}, "")

    assert error.retryable
    assert error.retry_after_seconds == seconds


def test_without_the_hosts_clock_a_moment_tells_nothing() -> None:
    """Our clock may be off by an hour; then it is not known how long to wait."""
    assert wait_seconds({"x-ratelimit-reset": "1060"}) is None


@pytest.mark.parametrize(
    ("status", "words", "retryable"),
    [
        (401, "Bad credentials", False),
        (403, "Resource not accessible", False),
        (403, "You have exceeded a secondary rate limit", True),
        (404, "Not Found", False),
        (302, "", False),
        (500, "", True),
        (504, "", True),
    ],
)
def test_what_may_pass_by_itself_is_retryable(status: int, words: str, retryable: bool) -> None:
    """A refusal never does; a limit and a failure of the host do."""
    error = failure("host", status, {}, words)

    assert (error.status, error.retryable) == (status, retryable)
    assert error.message.startswith("host ")
    assert words in error.message
