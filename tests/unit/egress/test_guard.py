"""The guard: what the operator permits, asked of a resolver whose answers the test writes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from internal.egress.guard import Guard
from internal.errors import Invalid, PolicyDenied, Unavailable


class ScriptedResolver:
    """Answers with the next list each time, and counts."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self._answers.pop(0)


async def test_a_public_name_is_resolved_once_and_its_first_address_returned() -> None:
    """
    The caller dials what was vetted; the order is the resolver's.
    """
    resolver = ScriptedResolver(["140.82.112.3", "140.82.112.4"])

    address = await Guard(resolve=resolver).vet("github.com", 443)

    assert address == "140.82.112.3"
    assert resolver.asked == [("github.com", 443)]


@pytest.mark.parametrize(
    "answer",
    [
        ["10.0.0.1"],
        ["140.82.112.3", "10.0.0.1"],
        ["140.82.112.3", "::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::a9fe:a9fe"],
        ["fe80::1%eth0"],
    ],
)
async def test_one_internal_answer_refuses_the_name(answer: list[str]) -> None:
    """
    A name with a public and a private address is a way inside, so any private one is enough.
    """
    guard = Guard(resolve=ScriptedResolver(answer))

    with pytest.raises(PolicyDenied, match=r"egress\.allow") as denied:
        await guard.vet("evil.example", 80)

    assert answer[-1] not in denied.value.message


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "::1", "::ffff:10.0.0.1", "0", "10.1"]
)
async def test_spelled_internal_addresses_are_refused_without_a_resolver(host: str) -> None:
    """
    An address needs no lookup, in whatever spelling.
    """
    resolver = ScriptedResolver()
    guard = Guard(resolve=resolver)

    with pytest.raises(PolicyDenied):
        await guard.vet(host, 80)
    with pytest.raises(PolicyDenied):
        guard.check(host)

    assert resolver.asked == []


@pytest.mark.parametrize(
    ("allow", "host"),
    [
        ("127.0.0.0/8", "127.0.0.1"),
        ("127.0.0.1", "127.1"),
        ("127.0.0.0/8", "::ffff:127.0.0.1"),
        ("::1", "::1"),
        ("10.0.0.0/8", "git.corp"),
        ("git.corp", "git.corp"),
        ("Git.Corp.", "git.corp"),
        ("git.corp", "GIT.corp."),
    ],
)
async def test_the_operator_can_allow_networks_and_names(allow: str, host: str) -> None:
    """
    A network permits its addresses, a name permits whatever it resolves to.
    """
    guard = Guard([allow], resolve=ScriptedResolver(["10.1.2.3"]))

    guard.check(host)
    assert await guard.vet(host, 443) in {"127.0.0.1", "::1", "10.1.2.3"}


@pytest.mark.parametrize(
    ("allow", "host"),
    [
        ("10.0.0.0/8", "127.0.0.1"),
        ("::/0", "127.0.0.1"),
        ("git.corp", "evil-git.corp"),
        ("git.corp", "sub.git.corp"),
        ("corp", "git.corp"),
    ],
)
async def test_an_allowed_entry_permits_nothing_else(allow: str, host: str) -> None:
    """
    Networks do not cross IP versions and names are matched whole.
    """
    guard = Guard([allow], resolve=ScriptedResolver(["192.168.1.1"]))

    with pytest.raises(PolicyDenied):
        await guard.vet(host, 443)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "x.localhost"])
def test_localhost_is_refused_at_once_unless_allowed(host: str) -> None:
    """
    Names that always mean this machine can be judged without a lookup.
    """
    with pytest.raises(PolicyDenied):
        Guard().check(host)
    Guard(["127.0.0.0/8"]).check(host)
    Guard([host]).check(host)


def test_other_names_pass_the_check_without_a_lookup() -> None:
    """
    Only `vet` asks DNS.
    """
    resolver = ScriptedResolver()

    Guard(resolve=resolver).check("example.com")

    assert resolver.asked == []


async def test_a_name_without_addresses_is_unavailable() -> None:
    """
    Nothing to dial is no matter of policy.
    """
    with pytest.raises(Unavailable):
        await Guard(resolve=ScriptedResolver([])).vet("void.example", 80)


@pytest.mark.parametrize("entry", ["", "10.0.0.0/33", "http://x", "a b", "x:80", "*.corp", "127.1"])
def test_a_wrong_entry_is_refused_by_name(entry: str) -> None:
    """
    A typing error in the setting stops the start instead of permitting nothing or too much.
    """
    with pytest.raises(Invalid) as refused:
        Guard([entry])

    assert "egress.allow" in refused.value.fields
