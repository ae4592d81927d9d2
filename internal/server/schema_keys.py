"""The body of `POST /keys`. What is wrong with a value is said without repeating it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from internal.keys.model import (
    MAX_SCOPE_PATTERNS,
    MAX_TOKEN_CHARS,
    NEEDS_BASE_URL,
    KeyProvider,
    NewKey,
    is_scope_pattern,
    is_token,
)
from internal.server.complaints import complain
from internal.server.fields import Body, Moment, http_url, key_name, rules_of


def _check_provider(name: str) -> str:
    if name not in set(KeyProvider):
        raise complain(f"must be one of {', '.join(KeyProvider)}")
    return name


def _check_token(token: str) -> str:
    if not is_token(token):
        raise complain(f"must be 1 to {MAX_TOKEN_CHARS} printable ASCII characters without spaces")
    return token


def _check_base_url(url: str | None, info: ValidationInfo) -> str | None:
    if not url:
        if info.data.get("provider") in NEEDS_BASE_URL:
            raise complain("is required for this provider")
        return None
    if not url.isascii():
        raise complain("must have international names in their xn-- form")
    parsed = http_url(url, rules_of(info).check_git_host)
    if parsed.query or parsed.fragment:
        raise complain("must not contain a query or a fragment")
    return url.rstrip("/")


def _split_scope(scope: object) -> object:
    """Clients of the Go server send one text."""
    if not isinstance(scope, str):
        return scope
    return [part for part in scope.replace(",", " ").split(" ") if part]


def _check_scope(patterns: list[str]) -> list[str]:
    if len(patterns) > MAX_SCOPE_PATTERNS:
        raise complain(f"must have at most {MAX_SCOPE_PATTERNS} members")
    if not all(map(is_scope_pattern, patterns)):
        raise complain("must be repositories: owner/name, or owner/* for all below an owner")
    return patterns


def _check_end(moment: datetime) -> datetime:
    if moment <= datetime.now(UTC):
        raise complain("must be in the future")
    return moment


_Scope = Annotated[list[str], BeforeValidator(_split_scope), AfterValidator(_check_scope)]


class CreateKey(Body):
    """The body of `POST /keys`."""

    name: Annotated[str, AfterValidator(key_name)]
    provider: Annotated[str, AfterValidator(_check_provider)]
    token: Annotated[str, AfterValidator(_check_token)] = Field(repr=False)
    base_url: Annotated[str | None, AfterValidator(_check_base_url)] = Field(
        default=None, validate_default=True
    )
    scope: _Scope | None = None
    expires_at: Annotated[Moment, AfterValidator(_check_end)] | None = None

    def new_key(self) -> NewKey:
        """What the registry takes, without the value."""
        return NewKey(
            name=self.name,
            provider=KeyProvider(self.provider),
            base_url=self.base_url,
            scope=tuple(self.scope or ()),
            expires_at=self.expires_at,
        )
