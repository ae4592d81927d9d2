"""`redis.url`, read and shown."""

from __future__ import annotations

import pytest

from internal.errors import Invalid
from internal.rdb.address import mask, parse_sentinel


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost:6379/0",
        "rediss://user:secret@redis.example:6380/1?ssl_ca_certs=/etc/ca.pem",
        "unix:///run/redis.sock?db=2&password=secret",
    ],
)
def test_plain_urls_are_left_to_the_library(url: str) -> None:
    """
    Only Sentinel has a scheme of ours.
    """
    assert parse_sentinel(url) is None


def test_sentinel_url_names_sentinels_service_and_credentials() -> None:
    """
    Every part is read: several sentinels, IPv6, default port, escaped password, database, TLS.
    """
    address = parse_sentinel(
        "rediss+sentinel://app:p%40ss@s1:26380,s2,[::1]:26381/mymaster/3"
        "?sentinel_password=other&ssl_ca_certs=/etc/ca.pem"
    )

    assert address is not None
    assert address.hosts == (("s1", 26380), ("s2", 26379), ("::1", 26381))
    assert (address.service, address.db, address.tls) == ("mymaster", 3, True)
    assert (address.username, address.password) == ("app", "p@ss")
    assert (address.sentinel_username, address.sentinel_password) == (None, "other")
    assert address.tls_options == {"ssl_ca_certs": "/etc/ca.pem"}
    assert "p@ss" not in repr(address)
    assert "other" not in repr(address)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://localhost", "scheme"),
        ("", "scheme"),
        ("redis://:secret@h/0?socket_timeout=1", "unknown option socket_timeout"),
        ("redis+sentinel://:secret@h:26379", "<service>"),
        ("redis+sentinel://:secret@h:26379/mymaster/x", "number"),
        ("redis+sentinel://:secret@h:port/mymaster", "host:port"),
        ("redis+sentinel://:secret@h,,i/mymaster", "host:port"),
    ],
)
def test_bad_url_is_refused_by_field_without_its_password(url: str, problem: str) -> None:
    """
    The complaint names `redis.url` and the problem, and never repeats a secret.
    """
    with pytest.raises(Invalid, match=problem) as raised:
        parse_sentinel(url)

    assert "redis.url" in raised.value.fields
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://user:s3c:r@t@h:1/0", "redis://user:***@h:1/0"),
        ("unix://:s3cret@/run/redis.sock", "unix://:***@/run/redis.sock"),
        ("unix:///run/redis.sock?password=s3cret&db=1", "unix:///run/redis.sock?password=***&db=1"),
        ("redis://h:6379/0?password=a@b", "redis://h:6379/0?password=***"),
        (
            "redis+sentinel://:a@h,i/svc?sentinel_password=b&ssl_password=c",
            "redis+sentinel://:***@h,i/svc?sentinel_password=***&ssl_password=***",
        ),
    ],
)
def test_masked_url_shows_everything_but_passwords(url: str, shown: str) -> None:
    """
    A masked URL tells where Redis is and no secret, wherever in the URL it stood.
    """
    assert mask(url) == shown
