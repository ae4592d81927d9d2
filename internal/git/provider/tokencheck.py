"""Whether a host takes a token: the one question that all of them answer alike."""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError

from internal.git.provider.api import Api, Reply
from internal.git.provider.base import ProviderError, TokenCheck


async def ask_user(api: Api, *, login: str, scopes_header: str | None = None) -> TokenCheck:
    """
    Ask `/user`; *login* is the member of the answer with the name.

    401 is a refused token. 403 is a valid one that may not read its user: tokens of a repository
    or of an app, and those with few scopes.

    Raises:
        ProviderError: the host did not answer as it should.
    """
    try:
        reply = await api.call("GET", "/user")
    except ProviderError as error:
        if error.status == 401:
            return TokenCheck(ok=False, reason=error.message)
        raise
    if reply.status == 403:
        return TokenCheck(ok=True, reason=f"it may not read its user: {reply.words}")
    if not reply.ok:
        raise reply.refusal()
    header = reply.headers.get(scopes_header, "") if scopes_header else ""
    scopes = tuple(scope.strip() for scope in header.split(",") if scope.strip())
    return TokenCheck(ok=True, login=_name(reply, login), scopes=scopes)


def _name(reply: Reply, member: str) -> str | None:
    try:
        user = TypeAdapter(dict[str, object]).validate_python(reply.json)
    except ValidationError:
        return None
    name = user.get(member)
    return name[:200] if isinstance(name, str) else None
