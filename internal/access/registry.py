"""
Makes, lists and revokes tokens, for those who may.

The administrators of the tenant `default` run the deployment and act for any tenant; all others
act for their own, and do not learn which tenants there are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from internal.access.model import ApiToken, Caller, including
from internal.access.resolver import TokenResolver
from internal.access.store import TokenStore
from internal.clock import Clock
from internal.crypto.bearer import make_token, token_hash
from internal.errors import Forbidden, Invalid, NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token that was just made; `text` is told once and never again."""

    token: ApiToken
    text: str = field(repr=False)


class TokenRegistry:
    """
    The use cases. *tenant* is None for the caller's own everywhere.

    Every method raises Forbidden for another tenant's tokens, unless the caller is an operator.
    """

    def __init__(self, store: TokenStore, resolver: TokenResolver, clock: Clock) -> None:
        self._store = store
        self._resolver = resolver
        self._clock = clock

    async def make(
        self,
        caller: Caller,
        name: str,
        scopes: frozenset[str],
        *,
        tenant: str | None = None,
        expires_at: datetime | None = None,
    ) -> NewToken:
        """
        A new token of *tenant*.

        Raises:
            Conflict: the name is taken, or the tenant has too many tokens.
            Invalid: it would have expired already.
        """
        owner = tenant_for(caller, tenant)
        now = self._clock.now()
        if expires_at is not None and expires_at <= now:
            problem = "must be in the future"
            raise Invalid(f"expires_at {problem}.", fields={"expires_at": problem})
        wanted = ApiToken(
            tenant=owner,
            name=name,
            scopes=including(scopes),
            created_at=now,
            created_by=caller.name if caller.tenant == owner else f"{caller.tenant}/{caller.name}",
            expires_at=expires_at,
        )
        text = make_token()
        return NewToken(token=await self._store.add(wanted, token_hash(text)), text=text)

    async def list(self, caller: Caller, *, tenant: str | None = None) -> list[ApiToken]:
        """The tokens of *tenant*, by name."""
        return await self._store.list(tenant_for(caller, tenant))

    async def revoke(self, caller: Caller, name: str, *, tenant: str | None = None) -> None:
        """
        End a token: here at once, within 5 s on every other server.

        Raises:
            NotFound: there is none of this name.
        """
        owner = tenant_for(caller, tenant)
        digest = await self._store.find(owner, name)
        if digest is None:
            raise NotFound("There is no such token.")
        await self._store.remove(owner, name, digest)
        self._resolver.forget(digest)


def tenant_for(caller: Caller, tenant: str | None) -> str:
    """
    The tenant that *caller* means: its own, or as an operator any.

    Raises:
        Forbidden: another's, and the caller is no operator.
    """
    if tenant is None or tenant == caller.tenant:
        return caller.tenant
    if not caller.is_operator:
        raise Forbidden("Only administrators of the tenant default act for other tenants.")
    return tenant
