"""The HTTP client against a real receiver on loopback."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from internal.egress.client import HttpClient
from internal.egress.guard import Guard, Resolve
from internal.egress.resolver import SystemResolver
from internal.errors import Invalid, PolicyDenied, TimedOut, Unavailable
from tests.support.receiver import Receiver, Reply
from tests.support.tls import server_context, write_certificate

_SECONDS = 30.0


def client(
    *allow: str, resolve: Resolve | None = None, tls: ssl.SSLContext | None = None
) -> HttpClient:
    """A client of a guard with these entries in `egress.allow`."""
    return HttpClient(Guard(allow, resolve=resolve), user_agent="CodeForge/test", tls=tls)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that answers 200."""
    async with Receiver().listening() as listening:
        yield listening


async def test_a_request_arrives_as_it_was_given(receiver: Receiver) -> None:
    """
    Method, target, headers and body reach the receiver; the answer comes back.
    """
    receiver.answer(Reply(status=202, headers={"X-Seen": "yes"}, body=b"thanks"))

    async with client("127.0.0.0/8") as http:
        answer = await http.request(
            "POST",
            receiver.url("/a/ü?q=1"),
            headers={"X-Given": "1", "User-Agent": "other"},
            content=b"body",
            total_seconds=_SECONDS,
        )

    assert (answer.status, answer.body, answer.truncated) == (202, b"thanks", False)
    assert answer.headers["x-seen"] == "yes"
    [request] = receiver.requests
    assert (request.method, request.path, request.body) == ("POST", "/a/%C3%BC?q=1", b"body")
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert request.headers["x-given"] == "1"
    assert request.headers["user-agent"] == "other"
    assert "cookie" not in request.headers


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "localhost"])
async def test_loopback_is_refused_unless_allowed(receiver: Receiver, host: str) -> None:
    """
    No spelling of an internal address opens a connection.
    """
    async with client() as http:
        with pytest.raises(PolicyDenied, match=r"egress\.allow"):
            await http.request("GET", receiver.url(host=host), total_seconds=_SECONDS)

    assert receiver.connections == 0


async def test_the_vetted_address_is_dialled_and_the_name_is_kept(receiver: Receiver) -> None:
    """
    The resolver is asked once; a second answer (rebinding) is never seen by the connection.
    """
    answers = [["127.0.0.1"], ["203.0.113.9"]]
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return answers.pop(0)

    async with client("127.0.0.1", resolve=rebinding) as http:
        url = receiver.url(host="hooks.example")
        answer = await http.request("GET", url, total_seconds=_SECONDS)

    assert answer.status == 200
    assert asked == ["hooks.example"]
    assert receiver.requests[0].headers["host"] == f"hooks.example:{receiver.port}"


async def test_a_dead_address_does_not_hide_a_living_one(receiver: Receiver) -> None:
    """
    Of several vetted addresses the next is tried when one takes no connection.
    """

    async def two(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.2", "127.0.0.1"]

    async with client("127.0.0.0/8", resolve=two) as http:
        url = receiver.url(host="hooks.example")
        answer = await http.request("GET", url, total_seconds=_SECONDS)

    assert answer.status == 200


async def test_a_header_that_cannot_be_sent_is_not_repeated(receiver: Receiver) -> None:
    """
    A token that was copied with a space behind it: HTTP refuses it, and the error must not tell it.
    """
    async with client("127.0.0.0/8") as http:
        with pytest.raises(Unavailable) as refused:
            await http.request(
                "GET",
                receiver.url("/"),
                headers={"Authorization": "Bearer canary-token "},
                total_seconds=_SECONDS,
            )

    assert "canary-token" not in refused.value.message
    assert not receiver.requests


async def test_redirects_are_answers(receiver: Receiver) -> None:
    """
    A redirect is handed back, never followed.
    """
    receiver.answer(Reply(status=302, headers={"Location": receiver.url("/inside")}))

    async with client("127.0.0.0/8") as http:
        answer = await http.request("GET", receiver.url(), total_seconds=_SECONDS)

    assert answer.status == 302
    assert len(receiver.requests) == 1


async def test_proxies_of_the_environment_are_ignored(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A proxy would connect where the guard cannot look.
    """
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async with client("127.0.0.0/8") as http:
        answer = await http.request("GET", receiver.url(), total_seconds=_SECONDS)

    assert answer.status == 200


async def test_cookies_are_not_kept(receiver: Receiver) -> None:
    """
    One tenant's session at a receiver is never sent with another's request.
    """
    receiver.answer(Reply(headers={"Set-Cookie": "session=1; Path=/"}))

    async with client("127.0.0.0/8") as http:
        for _ in range(2):
            await http.request("GET", receiver.url(), total_seconds=_SECONDS)

    assert "cookie" not in receiver.requests[1].headers


@pytest.mark.parametrize("reply", [Reply(body=b"x" * 100_000), Reply(endless=True)])
async def test_a_huge_answer_is_cut(receiver: Receiver, reply: Reply) -> None:
    """
    At most 64 KiB of an answer are read, also of one that never ends.
    """
    receiver.answer(reply)

    async with client("127.0.0.0/8") as http:
        answer = await http.request("GET", receiver.url(), total_seconds=_SECONDS)

    assert answer.truncated
    assert answer.body == b"x" * 65_536


@pytest.mark.parametrize(
    "reply",
    [Reply(delay_seconds=3_600), Reply(trickle_seconds=0.1), Reply(body=b"x", trickle_seconds=0.1)],
)
async def test_a_slow_answer_times_out(receiver: Receiver, reply: Reply) -> None:
    """
    The limit is one for the whole exchange: single bytes now and then do not extend it.
    """
    receiver.answer(reply)

    async with client("127.0.0.0/8") as http:
        with pytest.raises(TimedOut):
            await http.request("GET", receiver.url(), total_seconds=1)


async def test_a_reset_connection_is_unavailable(receiver: Receiver) -> None:
    """
    Nothing is repeated behind the caller's back.
    """
    receiver.answer(Reply(reset=True))

    async with client("127.0.0.0/8") as http:
        with pytest.raises(Unavailable):
            await http.request("POST", receiver.url(), content=b"x", total_seconds=_SECONDS)

    assert len(receiver.requests) == 1


async def test_nobody_listening_is_unavailable() -> None:
    """
    A refused connection names the host, not the path.
    """
    async with Receiver().listening() as gone:
        url = gone.url("/secret-path")

    async with client("127.0.0.0/8") as http:
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1") as failed:
            await http.request("GET", url, total_seconds=_SECONDS)

    assert "secret-path" not in failed.value.message


async def test_a_wrong_url_is_invalid() -> None:
    """
    It is refused before anything is resolved.
    """
    async with client() as http:
        with pytest.raises(Invalid):
            await http.request("GET", "ftp://example.com/", total_seconds=_SECONDS)


async def test_tls_verifies_the_name_although_an_address_is_dialled(tmp_path: Path) -> None:
    """
    The certificate must be one for the URL's host; one for another name is refused.
    """
    server, trusting = _tls(tmp_path, "hooks.example")

    async def here(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    receiver = Receiver()
    async with (
        receiver.listening(server),
        client("127.0.0.1", resolve=here, tls=trusting) as http,
    ):
        good = await http.request("GET", receiver.url(host="hooks.example"), total_seconds=_SECONDS)
        with pytest.raises(Unavailable):
            await http.request("GET", receiver.url(host="other.example"), total_seconds=_SECONDS)

    assert good.status == 200
    assert len(receiver.requests) == 1


async def test_the_systems_resolver_answers_for_localhost() -> None:
    """
    Real lookups go through threads of their own.
    """
    addresses = await SystemResolver()("localhost", 80)

    assert "127.0.0.1" in addresses


async def test_a_name_that_does_not_exist_is_unavailable() -> None:
    """
    RFC 6761 reserves `.invalid`; too long a label is no name either.
    """
    resolver = SystemResolver()

    for name in ("nowhere.invalid", "a" * 64 + ".example"):
        with pytest.raises(Unavailable):
            await resolver(name, 80)


async def test_a_resolver_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The wait has a limit, and so has the number of threads that hang.
    """
    release = threading.Event()
    hanging: list[str] = []

    def hang(host: str, *_args: object, **_named: object) -> list[object]:
        hanging.append(host)
        release.wait(_SECONDS)
        return []

    monkeypatch.setattr("socket.getaddrinfo", hang)
    resolver = SystemResolver(timeout_seconds=0.05)

    try:
        async with asyncio.TaskGroup() as group:
            lookups = [group.create_task(_fails(resolver)) for _ in range(40)]
    finally:
        release.set()

    assert all(lookup.result() for lookup in lookups)
    assert len(hanging) <= 16


async def _fails(resolver: SystemResolver) -> bool:
    with pytest.raises(Unavailable):
        await resolver("slow.example", 80)
    return True


def _tls(directory: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for *name*, and a client's that trusts it."""
    pem = write_certificate(directory, name, "192.0.2.1")
    return server_context(pem), ssl.create_default_context(cafile=str(pem))
