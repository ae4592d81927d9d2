"""What all answers of hosts have in common: only what we use is read, and it is checked."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from internal.egress.url import parse_http_url
from internal.errors import Invalid
from internal.git.provider.base import ProviderError


class Shape(BaseModel):
    """A part of an answer; what it does not name is left unread."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def _web_url(text: str) -> str:
    # People click on it: a hostile host could send javascript: or a URL with a password.
    try:
        parse_http_url(text)
    except Invalid as error:
        raise ValueError(error.message) from error
    return text


Number = Annotated[int, Field(gt=0, lt=2**53)]
"""The number of a pull request; JSON has no larger integers."""
WebUrl = Annotated[str, AfterValidator(_web_url)]
"""An http(s) URL without user or password."""


def branch_of(host: str, name: str | None) -> str:
    """
    The default branch *name* that *host* told.

    Raises:
        ProviderError: it told none, as for a repository without a commit.
    """
    if not name:
        raise ProviderError(f"{host} names no default branch; the repository may be empty")
    return name
