"""Which URLs are called at all."""

from __future__ import annotations

import pytest

from internal.egress.url import parse_http_url
from internal.errors import Invalid


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("http://example.com", "example.com"),
        ("https://EXAMPLE.com:8443/a?b=c#d", "example.com"),
        ("https://bücher.example/", "xn--bcher-kva.example"),
        ("http://[::1]:80/", "::1"),
        ("http://2130706433/", "2130706433"),
    ],
)
def test_http_urls_are_taken_with_the_host_that_is_dialled(text: str, host: str) -> None:
    """
    The parsed host is what the guard vets and what is dialled: one parser, no second opinion.
    """
    assert parse_http_url(text).raw_host.decode() == host


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com",
        "//example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "http://",
        "http:///path",
        "http://exa mple/",
        "http://example.com:0/",
        "http://example.com:99999/",
        "http://user@example.com/",
        "http://user:secret@example.com/",
        "http://good.example\\@127.0.0.1/",
        "http://x\r\nHost: y/",
        "http://[fe80::1%25eth0]/",
        "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11/",
        "http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/",
        "http://example.com/" + "a" * 2_048,
    ],
)
def test_everything_else_is_invalid(text: str) -> None:
    """
    Other schemes, credentials, odd hosts and over-long texts never reach the network.
    """
    with pytest.raises(Invalid):
        parse_http_url(text)


def test_the_complaint_holds_no_password() -> None:
    """
    The message ends in answers and logs.
    """
    with pytest.raises(Invalid) as refused:
        parse_http_url("http://user:hunter2@example.com/")

    assert "hunter2" not in refused.value.message
