"""The host of a task's repository, as the one who speaks to it with a credential of the task."""

from __future__ import annotations

from collections.abc import Mapping

from internal.egress.client import HttpClient
from internal.git.model import ProviderName
from internal.git.provider.base import Provider
from internal.git.provider.catalog import provider_for
from internal.git.remote import Remote, provider_of
from internal.keys.resolver import Resolved


class Hosts:
    """*domains* is the setting `git.provider_domains`."""

    def __init__(self, http: HttpClient, *, domains: Mapping[str, str]) -> None:
        self._http = http
        self._domains = domains

    def provider(self, remote: Remote, credential: Resolved | None) -> Provider:
        """
        The provider of *remote*; a registered key also says whose API its host speaks.

        Raises:
            UnsupportedHost: nobody told us which API that is.
            Invalid: the key's base URL or the setting makes no sense.
        """
        domains = dict(self._domains)
        named = credential.provider if credential else None
        if provider_of(remote, domains) is None and named in set(ProviderName):
            domains[remote.host] = str(named)
        return provider_for(
            remote,
            domains=domains,
            base_url=credential.base_url if credential else None,
            token=credential.value if credential else None,
            http=self._http,
        )
