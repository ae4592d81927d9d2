"""What hosts refuse, break and forge: an error of one kind, and no token in it or elsewhere."""

from __future__ import annotations

import pytest

from internal.egress.client import HttpClient
from internal.errors import Invalid
from internal.git.provider import opening
from internal.git.provider.base import Provider, ProviderError
from tests.support.hosts.double import Fault, HostDouble, serving
from tests.support.hosts.speaking import speak, wanted


async def test_a_branch_that_does_not_exist_is_the_callers_fault(
    double: HostDouble, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The host's words are in the message; nothing was opened.
    """
    monkeypatch.setattr(opening, "PAUSES_SECONDS", (0,))

    with pytest.raises(Invalid):
        await provider.open_pull_request(wanted(base="nowhere"))

    assert double.pulls == []


async def test_a_wrong_token_is_told_and_never_shown(double: HostDouble, http: HttpClient) -> None:
    """
    The error names the host; the token is in no message, whatever the host repeats of it.
    """
    wrong = "wrong-token-0123456789"
    body = f'{{"message": "bad token {wrong}"}}'.encode()
    double.faults.append(Fault(method="GET", path=".*", status=401, body=body))

    with pytest.raises(ProviderError) as refused:
        await speak(double, http, token=wrong).open_pull_request(wanted())

    assert refused.value.status == 401
    assert not refused.value.retryable
    assert wrong not in refused.value.message
    assert "bad token ***" in refused.value.message


async def test_a_limit_of_rate_says_when_to_come_back(
    double: HostDouble, provider: Provider
) -> None:
    """
    Whether as 429 with `Retry-After` or as GitHub's 403 with a moment by the host's clock.
    """
    double.faults.append(Fault(method="GET", path=".*", status=429, headers={"retry-after": "17"}))
    with pytest.raises(ProviderError) as by_seconds:
        await provider.find("codeforge/1")

    moment = {
        "date": "Thu, 01 Jan 1970 00:16:40 GMT",
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": "1042",
    }
    double.faults.append(Fault(method="GET", path=".*", status=403, headers=moment))
    with pytest.raises(ProviderError) as by_moment:
        await provider.find("codeforge/1")

    assert (by_seconds.value.retryable, by_seconds.value.retry_after_seconds) == (True, 17)
    assert (by_moment.value.retryable, by_moment.value.retry_after_seconds) == (True, 42)


async def test_a_host_that_cannot_be_reached_may_be_asked_again(
    double: HostDouble, provider: Provider
) -> None:
    """
    A cut connection and a failure of the host are retryable; nothing else is.
    """
    double.faults.append(Fault(method="GET", path=".*"))
    with pytest.raises(ProviderError) as cut:
        await provider.find("codeforge/1")
    double.faults.append(Fault(method="GET", path=".*", status=502, body=b"<html>Bad gateway"))
    with pytest.raises(ProviderError) as failed:
        await provider.find("codeforge/1")
    double.faults.append(Fault(method="GET", path=".*", status=403))
    with pytest.raises(ProviderError) as refused:
        await provider.find("codeforge/1")

    assert [error.value.retryable for error in (cut, failed, refused)] == [True, True, False]
    assert "html" not in failed.value.message


async def test_an_answer_in_another_form_is_an_error(
    double: HostDouble, provider: Provider
) -> None:
    """
    Whatever a broken or hostile host sends, the caller gets a ProviderError without its content.
    """
    broken = (b"", b"[1", b"[" * 100_000, b"{}", b"[[]]", b'{"id": "x"}', b"\xff\xfe", b"null")
    for body in broken:
        double.faults.append(Fault(method="GET", path=".*", status=200, body=body))

        with pytest.raises(ProviderError, match="form"):
            await provider.default_branch()


async def test_an_answer_without_end_is_cut(double: HostDouble, provider: Provider) -> None:
    """
    More than 8 MiB are not read.
    """
    body = b'"' + b"x" * (9 << 20)
    double.faults.append(Fault(method="GET", path=".*", status=200, body=body))

    with pytest.raises(ProviderError, match="more than we read"):
        await provider.default_branch()


async def test_a_token_never_follows_a_redirect_to_another_host(
    double: HostDouble, provider: Provider
) -> None:
    """
    The other place is not asked at all.
    """
    thief = type(double)()
    with serving(thief):
        to_thief = {"location": f"http://localhost:{thief.port}{thief.root}/user"}
        for status in (301, 302, 307, 308):
            double.faults.append(Fault(method="GET", path=".*", status=status, headers=to_thief))
            with pytest.raises(ProviderError, match="redirects"):
                await provider.default_branch()

    assert thief.seen == []


async def test_a_repository_that_cannot_be_seen_is_told_as_such(
    double: HostDouble, provider: Provider
) -> None:
    """
    Hosts answer 404 to a token without rights, too; the message says both.
    """
    double.faults.append(Fault(method="GET", path=".*", status=404))

    with pytest.raises(ProviderError, match="no such repository, or the token may not see it"):
        await provider.find("codeforge/1")
