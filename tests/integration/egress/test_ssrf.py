"""
Every door that leads out, against one corpus of ways inside: all of them are refused.

A door is the code of production that takes a URL from a client or a tenant and calls it. What may
be reached stands on 127.0.0.1 (allowed, in the place of the internet), what may not is a trap that
counts connections. Facts behind the corpus: the IANA registries of special-purpose addresses, the
clouds' metadata addresses, Svix' list of denied networks, and how inet_aton and URL parsers read.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from internal.clock import SystemClock
from internal.crypto.box import Box
from internal.egress.client import HttpClient
from internal.egress.guard import Guard
from internal.errors import CodeforgeError, Invalid, PolicyDenied
from internal.git.cache import MirrorCache
from internal.git.cli import Git
from internal.git.credentials import SshFiles
from internal.git.model import ProviderName
from internal.git.policy import check_policy
from internal.git.provider.catalog import check_token, provider_for
from internal.git.remote import parse_remote
from internal.keys.model import KeyProvider
from internal.keys.modelcheck import refuses
from internal.webhook.model import Delivery, Verdict
from internal.webhook.secrets import SigningSecrets
from internal.webhook.sender import Sender
from tests.support.receiver import Receiver, Reply


@dataclass(frozen=True)
class Way:
    """What a door needs: a guard, and a client and a directory behind it."""

    guard: Guard
    http: HttpClient
    directory: Path


Door = Callable[[str, Way], Awaitable[None]]
"""Calls a URL. Raises what the code behind it raises; a webhook's refusal as PolicyDenied."""

HOSTS = [
    # loopback, in every spelling that inet_aton takes
    *("127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "2130706433", "0x7f.1", "0x7f000001"),
    *("0X7F.0.0.0x1", "0177.0.0.1", "017700000001", "00000177.1", "127.0.0.1."),
    *("0", "0.0.0.0", "0x0", "00"),  # noqa: S104 - data, nothing is bound
    *("localhost", "LocalHost", "localhost.", "any.localhost"),
    # letters that become digits and dots when a name is normalised
    *("①②⑦.⓪.⓪.①", "127。0。0。1", "\uff11\uff12\uff17.0.0.1", "%31%32%37.0.0.1"),
    # private networks, shared ones, and those of protocols and documentation
    *("10.0.0.1", "10.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1"),
    *("192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "255.255.255.255"),
    # metadata and host services of clouds
    *("169.254.169.254", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "169.254.43518"),
    *("169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16", "[fd00:ec2::254]"),
    # IPv6: own, mapped, compatible, translated, tunnelled, local, multicast, with a zone
    *("[::1]", "[0:0:0:0:0:0:0:1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
    *("[0:0:0:0:0:ffff:a9fe:a9fe]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[::7f00:1]"),
    *("[64:ff9b::7f00:1]", "[64:ff9b::169.254.169.254]", "[64:ff9b:1::1]", "[2002:7f00:1::]"),
    *("[2001:0:4136:e378:8000:63bf:80ff:fffe]", "[2001:db8::1]", "[3fff::1]", "[5f00::1]"),
    *("[fc00::1]", "[fd12:3456::1]", "[fe80::1]", "[fe80::1%25lo]", "[fec0::1]", "[ff02::1]"),
]
"""Each is put into a URL of each door."""

NAMES = {
    "metadata.google.internal": ["169.254.169.254"],
    "127.0.0.1.nip.example": ["127.0.0.1"],
    "two-faced.example": ["93.184.216.34", "10.0.0.1"],
    "six.example": ["2606:4700::1111", "::1"],
    "mapped.example": ["::ffff:192.168.1.1"],
    "nat64.example": ["64:ff9b::a9fe:a9fe"],
    "zoned.example": ["fe80::1%lo"],
}
"""What a name server of the attacker says."""

URLS = [
    *("file:///etc/passwd", "gopher://127.0.0.1:{port}/_INFO", "ftp://127.0.0.1:{port}/"),
    *("unix:///var/run/docker.sock", "dict://127.0.0.1:{port}/", "//127.0.0.1:{port}/o/r"),
    *("http:127.0.0.1:{port}/o/r", "http:///127.0.0.1:{port}/o/r", "HTTP://127.0.0.1:{port}/o/r"),
    *("http://user@127.0.0.1:{port}/o/r", "http://good.example@127.0.0.1:{port}/o/r"),
    *("http://127.0.0.1:{port}\\@good.example/o/r", "http://good.example\\@127.0.0.1:{port}/o/r"),
    *("http://127.0.0.1:{port}#@good.example/o/r", "http://127.0.0.1:{port}?@good.example/o/r"),
    *("http://good.example:80@127.0.0.1:{port}/o/r", "http://127.0.0.1:{port}%00.example/o/r"),
    *("http://127.0.0.1\t:{port}/o/r", "http://127.0.0.1:{port}\r\nHost: x/o/r", " http://127.1/"),
    *("http://127.0.0.1:0/o/r", "http://127.0.0.1:99999/o/r", "http://[::1/o/r", "http://[127.1]/"),
]
"""Whole URLs, where the fault is in how a URL is read."""


async def webhook(url: str, way: Way) -> None:
    """A `callback_url`, or a registered endpoint."""
    secrets = SigningSecrets(Box({"k": bytes(32)}, "k"), "whsec_c2VjcmV0IQ==")
    sender = Sender(way.http, secrets, SystemClock(), version="1")
    attempt = await sender.send(
        Delivery(
            id="evt_1",
            event_id="evt_1",
            tenant="default",
            task_id="1",
            url=url,
            event="task.completed",
            body="{}",
            trace_id=None,
            traceparent=None,
            tries=0,
            endpoint=None,
            sealed_secrets=(),
            origin="",
            destination="",
            token="",
            claimed_at=0,
        )
    )
    if attempt.reason in {"policy_denied", "invalid_url"}:
        raise PolicyDenied(attempt.detail)
    if attempt.verdict is not Verdict.DELIVERED:
        raise CodeforgeError(attempt.reason)


async def git_clone(url: str, way: Way) -> None:
    """A task's `repo_url`."""
    remote = parse_remote(url)
    check_policy(remote, allow_local=False, allow_hosts=())
    git = Git(home=way.directory / "git-home", environment=os.environ)
    cache = MirrorCache(way.directory / "mirrors", git, vet=way.guard.vet, ssh=SshFiles())
    await cache.ensure(remote, token="canary", target=None)  # noqa: S106 - made up


async def model_key(url: str, way: Way) -> None:
    """The base URL of a registered key of a model provider."""
    await refuses(KeyProvider.ANTHROPIC, "canary", url, way.http)


async def git_key(url: str, way: Way) -> None:
    """The base URL of a registered key of a git host."""
    await check_token(ProviderName.GITLAB, base_url=url, token="canary", http=way.http)  # noqa: S106


async def pull_request(url: str, way: Way) -> None:
    """The API of the host where a pull request is opened."""
    remote = parse_remote("https://github.com/o/r")
    provider = provider_for(remote, domains={}, base_url=url, token="canary", http=way.http)  # noqa: S106
    await provider.default_branch()


DOORS: tuple[Door, ...] = (webhook, git_clone, model_key, git_key, pull_request)
every_door = pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)


class Names:
    """A resolver with the attacker's answers; each name's answers in their turn, then the last."""

    def __init__(self, answers: dict[str, list[list[str]]]) -> None:
        self._answers = answers
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        turns = self._answers.get(host, [["127.0.0.1"]])
        return turns.pop(0) if len(turns) > 1 else turns[0]


@pytest.fixture
async def trap() -> AsyncIterator[Receiver]:
    """What nobody may reach, on loopback."""
    async with Receiver().listening() as listening:
        yield listening


@pytest.fixture
async def outside(trap: Receiver) -> AsyncIterator[Receiver]:
    """What stands for the internet, with `egress.allow` on its address; on the trap's port."""
    receiver = Receiver()
    receiver.port = trap.port
    async with receiver.listening(address="127.0.0.2"):
        yield receiver


@pytest.fixture
def through(tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[Way]]:
    """A way out with these entries in `egress.allow`; every name leads inside, or where told."""

    @asynccontextmanager
    async def open_way(*allow: str, names: Names | None = None) -> AsyncGenerator[Way]:
        guard = Guard(allow, resolve=names or Names({}))
        async with HttpClient(guard, user_agent="test") as http:
            yield Way(guard, http, tmp_path)

    return open_way


Through = Callable[..., AbstractAsyncContextManager[Way]]


async def refused(door: Door, url: str, way: Way) -> bool:
    """Whether the door refuses, and not merely fails."""
    try:
        await door(url, way)
    except (PolicyDenied, Invalid):
        return True
    except CodeforgeError:
        return False
    return False


async def let_through(door: Door, urls: Sequence[str], way: Way) -> list[str]:
    """Those that are not refused."""
    return [url for url in urls if not await refused(door, url, way)]


@every_door
async def test_no_address_of_ours_is_called(door: Door, trap: Receiver, through: Through) -> None:
    """
    The whole corpus, over http and https: refused, not failed, and nothing was dialled.
    """
    urls = [f"{scheme}://{host}:{trap.port}/o/r" for scheme in ("http", "https") for host in HOSTS]

    async with through() as way:
        assert await let_through(door, urls, way) == []

    assert trap.connections == 0


@every_door
async def test_no_url_is_read_in_two_ways(door: Door, trap: Receiver, through: Through) -> None:
    """
    Odd schemes, users that look like hosts, backslashes, line ends: refused before any connection.
    """
    urls = [url.format(port=trap.port) for url in URLS]

    async with through() as way:
        assert await let_through(door, urls, way) == []

    assert trap.connections == 0


@every_door
async def test_no_name_leads_inside(door: Door, trap: Receiver, through: Through) -> None:
    """
    One private answer among public ones is enough to refuse a name.
    """
    names = Names({name: [answers] for name, answers in NAMES.items()})
    urls = [f"http://{name}:{trap.port}/o/r" for name in NAMES]

    async with through(names=names) as way:
        assert await let_through(door, urls, way) == []

    assert trap.connections == 0


@every_door
async def test_a_name_that_changes_its_answer_is_dialled_where_it_was_vetted(
    door: Door, trap: Receiver, outside: Receiver, through: Through
) -> None:
    """
    Rebinding: the answer that was looked at is the one that is used; what the name says the next
    time leads nowhere, although something listens there on the same port.
    """
    outside.answer(Reply(status=404))
    names = Names({"rebind.example": [["127.0.0.2"], ["127.0.0.1"]]})
    url = f"http://rebind.example:{outside.port}/o/r"

    async with through("127.0.0.2", names=names) as way:
        for _ in range(3):  # the later calls meet the second answer, or use a connection again
            await refused(door, url, way)

    assert outside.connections >= 1
    assert trap.connections == 0


@every_door
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_leads_nowhere(
    door: Door, trap: Receiver, outside: Receiver, through: Through, status: int
) -> None:
    """
    To another address, whatever its code; the trap would even be allowed by its name.
    """
    outside.answer(Reply(status=status, headers={"Location": trap.url("/o/r")}))

    async with through("127.0.0.2") as way:
        await refused(door, f"http://127.0.0.2:{outside.port}/o/r", way)

    assert outside.connections >= 1
    assert trap.connections == 0


@every_door
async def test_a_proxy_in_the_environment_is_no_way_around(
    door: Door, trap: Receiver, through: Through, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What is refused is refused before anybody could hand it to a proxy.
    """
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        for spelled in (name, name.upper()):
            monkeypatch.setenv(spelled, trap.url("/").rstrip("/"))
    hosts = ("127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]", "inside.example")

    async with through() as way:
        assert await let_through(door, [f"http://{it}:{trap.port}/o/r" for it in hosts], way) == []

    assert trap.connections == 0


@pytest.mark.parametrize(
    "door", [webhook, model_key, git_key, pull_request], ids=lambda door: door.__name__
)
async def test_our_own_calls_use_no_proxy(
    door: Door,
    trap: Receiver,
    outside: Receiver,
    through: Through,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    A proxy would resolve names by itself, so the vetted address would mean nothing.
    """
    monkeypatch.setenv("HTTP_PROXY", trap.url("/"))
    monkeypatch.setenv("ALL_PROXY", trap.url("/"))

    async with through("127.0.0.2") as way:
        await refused(door, f"http://127.0.0.2:{outside.port}/o/r", way)

    assert outside.connections >= 1
    assert trap.connections == 0


@every_door
@pytest.mark.parametrize("allow", ["127.0.0.2", "127.0.0.0/8", "inside.example"])
async def test_an_operator_can_allow_what_is_inside(
    door: Door, outside: Receiver, through: Through, allow: str
) -> None:
    """
    By address, by network, by name: then the same door leads there.
    """
    names = Names({"inside.example": [["127.0.0.2"]]})
    host = "inside.example" if "." in allow and allow[0].isalpha() else "127.0.0.2"

    async with through(allow, names=names) as way:
        assert not await refused(door, f"http://{host}:{outside.port}/o/r", way)

    assert outside.connections >= 1


@pytest.mark.parametrize(
    "url",
    [
        "git@127.0.0.1:o/r.git",
        "git@localhost:o/r.git",
        "ssh://127.1/o/r.git",
        "ssh://git@[::1]:22/o/r.git",
        "ssh://git@0x7f.1/o/r",
        "ssh://git@inside.example/o/r",
    ],
)
async def test_ssh_goes_through_the_same_guard(url: str, through: Through) -> None:
    """
    A remote's scheme makes no difference to what it may name.
    """
    async with through() as way:
        assert await refused(git_clone, url, way)


async def test_fault_a20_a_webhook_reaches_no_private_host_and_follows_no_redirect(
    trap: Receiver, outside: Receiver, through: Through
) -> None:
    """
    Any scheme, any host and any redirect were called; none is.
    """
    outside.answer(Reply(status=302, headers={"Location": trap.url()}))

    async with through("127.0.0.2") as way:
        with pytest.raises(CodeforgeError, match="http_302"):
            await webhook(f"http://127.0.0.2:{outside.port}/", way)
        with pytest.raises(PolicyDenied):
            await webhook(trap.url(), way)
        with pytest.raises(PolicyDenied):
            await webhook("file:///etc/passwd", way)

    assert trap.connections == 0
