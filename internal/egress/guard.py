"""
Which addresses the service may be talked into calling: no private one, unless the operator says so.

Clients give URLs (webhooks, repositories), so without this anybody who may submit a task could
reach the operator's own network or a cloud's metadata address. A name is resolved once, refused
when any of its addresses is internal, and the caller dials exactly what was vetted: asking DNS a
second time would let a name change its answer in between (rebinding).

Everything that leaves goes through here: the HTTP client, and git by `vet`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import ip_address, ip_network

from internal.egress.address import Address, Network, contains, is_public, literal, unmapped
from internal.egress.resolver import SystemResolver
from internal.errors import Invalid, PolicyDenied, Unavailable

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Name and port to addresses; raises Unavailable. It must answer within a bounded time."""


class Guard:
    """
    The operator's policy for outgoing connections.

    *allow* is the setting `egress.allow`: networks (`10.0.0.0/8`, `::1`) and host names that may be
    reached although they are private.
    """

    def __init__(self, allow: Iterable[str] = (), *, resolve: Resolve | None = None) -> None:
        """Raises Invalid when an entry is neither a network nor a host name."""
        entries = [_parse(entry) for entry in allow]
        self._networks = tuple(entry for entry in entries if not isinstance(entry, str))
        self._names = frozenset(entry for entry in entries if isinstance(entry, str))
        self._resolve = resolve or SystemResolver()

    def check(self, host: str) -> None:
        """
        Judge *host* without asking DNS: enough to refuse a request at once, not to dial.

        Raises:
            PolicyDenied: it spells an internal address, or is `localhost`.
        """
        address = literal(host)
        name = _canonical(host)
        if address is not None:
            denied = not self._allows(address)
        else:
            local = name == "localhost" or name.endswith(".localhost")
            denied = local and name not in self._names and not self._allows(ip_address("127.0.0.1"))
        if denied:
            raise _denied(host)

    async def addresses(self, host: str, port: int) -> tuple[str, ...]:
        """
        The vetted addresses of *host*, in the order to try them; never empty.

        Raises:
            PolicyDenied: one of them is internal and neither it nor the name is allowed.
            Unavailable: the name was not resolved.
        """
        spelled = literal(host)
        if spelled is not None:
            found: list[Address] = [spelled]
        else:
            found = [unmapped(ip_address(text)) for text in await self._resolve(host, port)]
        if not found:
            raise Unavailable(f"The name {host} has no address.")
        trusted = spelled is None and _canonical(host) in self._names
        if not trusted and not all(self._allows(address) for address in found):
            raise _denied(host)
        return tuple(str(address) for address in found)

    async def vet(self, host: str, port: int) -> str:
        """The one address to dial for *host*; raises what `addresses` raises."""
        return (await self.addresses(host, port))[0]

    def _allows(self, address: Address) -> bool:
        return is_public(address) or any(contains(network, address) for network in self._networks)


def _parse(entry: str) -> Network | str:
    text = entry.strip()
    try:
        return ip_network(text, strict=False)
    except ValueError:
        name = _canonical(text)
    if not name or literal(name) is not None or not set(name).isdisjoint("/:@*[] "):
        raise Invalid(
            f"{entry!r} is neither a network nor a host name.",
            fields={"egress.allow": f"{entry!r} is neither a network nor a host name"},
        )
    return name


def _canonical(name: str) -> str:
    return name.strip().rstrip(".").lower()


def _denied(host: str) -> PolicyDenied:
    # The address itself stays out: a stranger could map our network with it.
    return PolicyDenied(
        f"{host} is in a private network; the operator can permit it with egress.allow.",
        setting="egress.allow",
        host=host,
    )
