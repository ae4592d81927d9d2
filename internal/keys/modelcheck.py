"""
Asks a model provider whether it takes a key: one cheap call that costs nothing, listing models.

Only the status is looked at; nothing of the answer is told, because a base URL may lead anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from internal.egress.client import HttpClient
from internal.keys.model import KeyProvider

_CALL_SECONDS = 7.0
"""Less than an op may take, with room for Redis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    url: str
    headers: dict[str, str] = field(repr=False)
    refused: frozenset[int] = frozenset({401, 403})


async def refuses(
    provider: KeyProvider, value: str, base_url: str | None, http: HttpClient
) -> str | None:
    """
    Why *provider* does not take the key *value*, None when it does.

    Raises:
        Unavailable, TimedOut: the provider did not answer.
        PolicyDenied: *base_url* is in a private network; see `egress.allow`.
        ValueError: the provider serves no models.
    """
    question = _question(provider, value, base_url)
    answer = await http.request(
        "GET", question.url, headers=question.headers, total_seconds=_CALL_SECONDS
    )
    if 200 <= answer.status < 300:
        return None
    if answer.status in question.refused:
        return f"{provider} refuses it (HTTP {answer.status})"
    return f"{provider} answered HTTP {answer.status}, which says nothing about the key"


def _question(provider: KeyProvider, value: str, base_url: str | None) -> _Question:
    base = base_url.rstrip("/") if base_url else None
    match provider:
        case KeyProvider.ANTHROPIC:
            url = f"{base or 'https://api.anthropic.com'}/v1/models?limit=1"
            headers = {"x-api-key": value, "anthropic-version": "2023-06-01"}
            return _Question(url=url, headers=headers)
        case KeyProvider.OPENAI:  # a base URL of this API ends with its version
            url = f"{base or 'https://api.openai.com/v1'}/models"
            return _Question(url=url, headers={"authorization": f"Bearer {value}"})
        case KeyProvider.GOOGLE:  # which answers 400 to a key that it does not know
            url = f"{base or 'https://generativelanguage.googleapis.com'}/v1beta/models?pageSize=1"
            headers = {"x-goog-api-key": value}
            return _Question(url=url, headers=headers, refused=frozenset({400, 401, 403}))
        case _:
            raise ValueError(f"{provider} serves no models")
