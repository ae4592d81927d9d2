"""A double of every host in turn; it holds each request against the published description."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator

import pytest

from internal.egress.client import HttpClient
from internal.egress.guard import Guard
from internal.git.provider.base import Provider
from tests.support.hosts.bitbucket import BitbucketDouble
from tests.support.hosts.double import HostDouble, serving
from tests.support.hosts.gitea import GiteaDouble
from tests.support.hosts.github import GitHubDouble
from tests.support.hosts.gitlab import GitLabDouble
from tests.support.hosts.speaking import speak

_DOUBLES: list[type[HostDouble]] = [GitHubDouble, GitLabDouble, GiteaDouble, BitbucketDouble]


@pytest.fixture(params=_DOUBLES, ids=lambda double: double.name)
def double(request: pytest.FixtureRequest) -> Iterator[HostDouble]:
    """A host on loopback that complains of no request until the end of the test."""
    kind: type[HostDouble] = request.param
    host = kind()
    with serving(host):
        yield host
    assert host.complaints == []


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    """The client of the service, allowed to reach loopback; it reads no certificates."""
    plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    guard = Guard(["127.0.0.0/8"])
    async with HttpClient(guard, user_agent="CodeForge/test", tls=plain) as client:
        yield client


@pytest.fixture
def provider(double: HostDouble, http: HttpClient) -> Provider:
    """The provider of the double's repository, with its token."""
    return speak(double, http)
