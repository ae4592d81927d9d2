"""Repository URLs: what is read, what is refused, what two URLs have in common."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internal.errors import Invalid, PolicyDenied
from internal.git.model import ProviderName
from internal.git.policy import check_policy
from internal.git.remote import check_target, mask_url, parse_remote, provider_of


@pytest.mark.parametrize(
    ("url", "git_is_given", "place", "owner", "name"),
    [
        ("https://github.com/o/r.git", "https://github.com/o/r.git", ("github.com", 443), "o", "r"),
        ("HTTPS://GitHub.COM:443/o/r/", "https://github.com/o/r", ("github.com", 443), "o", "r"),
        ("http://git.local:8080/r", "http://git.local:8080/r", ("git.local", 8080), "", "r"),
        ("https://[2001:DB8::1]/a/r", "https://[2001:db8::1]/a/r", ("2001:db8::1", 443), "a", "r"),
        (
            "ssh://git@host:2222/a/b/r.git",
            "ssh://git@host:2222/a/b/r.git",
            ("host", 2222),
            "a/b",
            "r",
        ),
        ("git@github.com:o/r.git", "git@github.com:o/r.git", ("github.com", 22), "o", "r"),
        ("git@[::1]:o/r", "git@[::1]:o/r", ("::1", 22), "o", "r"),
        ("file:///srv/git/r.git", "file:///srv/git/r.git", ("", 0), "srv/git", "r"),
        ("file://localhost/srv/r", "file:///srv/r", ("", 0), "srv", "r"),
    ],
)
def test_a_repository_url_is_read_into_its_parts(
    url: str, git_is_given: str, place: tuple[str, int], owner: str, name: str
) -> None:
    """Git gets a URL put together from the parts, with one spelling per host and port."""
    remote = parse_remote(url)

    assert (remote.url, (remote.host, remote.port)) == (git_is_given, place)
    assert (remote.owner, remote.name) == (owner, name)


@pytest.mark.parametrize(
    "url",
    [
        "",
        " ",
        "x" * 2049,
        "https://",
        "https:///o/r",
        "https://host",
        "https://host/",
        "https://host/../r",
        "https://host/o//r",
        "https://host/o/./r",
        "https://host/o/%2e%2E/other/r",
        "https://host/o/.%2e/other/r",
        "https://host/o/..%2fother/r",
        "https://host/o%2fother/r",
        "https://host/o/%5c../r",
        "https://host/o/r%00",
        "git@host:o/%2e%2e/other/r",
        "file:///srv/%72",
        "https://host/o/r?x=1",
        "https://host/o/r#x",
        "https://host/o/r\n",
        "https://host/o/ r",
        "https://host/o/\u202er",
        "https://host\\@evil/r",
        "https://ho%73t/r",
        "https://host:0/r",
        "https://host:65536/r",
        "https://host:٣/r",
        "https://[::1/r",
        "https://[::1]x/r",
        "https://2130706433/r",
        "https://0x7f.1/r",
        "https://127.1/r",
        "https://münchen.example/r",
        "ftp://host/r",
        "git://host/r",
        "ext::sh -c touch% /tmp/x",
        "ext::sh",
        "git@ext::sh",
        "-uhost:r",
        "--upload-pack=touch",
        "ssh://-oProxyCommand=x/r",
        "ssh://git@-host/r",
        "ssh://-u@host/r",
        "git@-host:r",
        "git@host:-oProxyCommand=x",
        "ssh://git:secret@host/r",
        "/srv/r",
        "../r",
        "host:r",
        "file://server/r",
        "file://",
    ],
)
def test_anything_else_is_refused_with_the_field_named(url: str) -> None:
    """A URL that git or a shell could read differently never gets further."""
    with pytest.raises(Invalid) as refused:
        parse_remote(url)

    assert list(refused.value.fields) == ["repo_url"]


@pytest.mark.parametrize(
    "url", ["https://user@host/r", "https://user:secret@host/r", "http://:secret@host/r"]
)
def test_a_credential_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    """The message says where a token belongs and does not show the one that came."""
    with pytest.raises(Invalid) as refused:
        parse_remote(url)

    assert "access_token" in refused.value.message
    assert "secret" not in refused.value.message


@given(st.text(max_size=60))
def test_no_text_makes_the_parser_fall_over(text: str) -> None:
    """Every text is read or refused; what is read is read again as the same repository."""
    try:
        remote = parse_remote(text)
    except Invalid:
        return

    assert parse_remote(remote.url) == remote


def test_one_repository_has_one_key_however_it_is_written() -> None:
    """The suffix `.git`, upper case and default ports make no second mirror; users and paths do."""
    keys = {parse_remote(url).key for url in ("https://H/o/r", "https://h:443/o/r.git/")}
    others = {
        parse_remote(url).key
        for url in ("https://h/o/R", "http://h/o/r", "ssh://git@h/o/r", "git@h:o/r", "root@h:o/r")
    }

    assert len(keys) == 1
    assert len(others - keys) == 5


def test_a_key_is_a_plain_file_name() -> None:
    """Whatever the repository is called, its key needs no quoting on disk."""
    key = parse_remote("https://h/o/" + "ä" * 80 + "%2e%2e.git").key

    assert key.replace("-", "").isalnum()
    assert len(key) < 80


def test_local_repositories_need_the_operators_word() -> None:
    """Without `git.allow_local` a file URL is refused, with the name of the setting."""
    remote = parse_remote("file:///srv/r")

    with pytest.raises(PolicyDenied, match=r"git\.allow_local"):
        check_policy(remote, allow_local=False, allow_hosts=[])
    check_policy(remote, allow_local=True, allow_hosts=["example.com"])


@pytest.mark.parametrize(
    ("host", "allowed", "passes"),
    [
        ("example.com", [], True),
        ("example.com", ["Example.com"], True),
        ("git.example.com", ["*.example.com"], True),
        ("example.com", ["*.example.com"], False),
        ("evilexample.com", ["*.example.com"], False),
        ("example.com.evil.org", ["example.com"], False),
    ],
)
def test_only_hosts_on_the_operators_list_may_be_used(
    host: str, allowed: list[str], passes: bool
) -> None:
    """An empty list allows every host; an entry is a host, or every host below one."""
    remote = parse_remote(f"https://{host}/o/r")

    if passes:
        check_policy(remote, allow_local=False, allow_hosts=allowed)
    else:
        with pytest.raises(PolicyDenied, match=r"git\.allow_hosts"):
            check_policy(remote, allow_local=False, allow_hosts=allowed)


@pytest.mark.parametrize("target", ["main", "feature/x-1", "v1.2.3", "@user/topic", "ä", "0" * 40])
def test_names_git_could_have_are_targets(target: str) -> None:
    """Branches, tags and commit ids pass unchanged."""
    assert check_target(target) == target


@pytest.mark.parametrize(
    "target",
    [
        *("", "-x", "a b", "a..b", "a~1", "a^{}", "a:b", "a?", "a*", "[a", "a\\b", "@", "@{-1}"),
        *(".a", "a/.b", "a.lock", "a/", "a//b", "a.", "/a", "a\n", "x" * 256),
    ],
)
def test_names_git_could_not_have_are_refused(target: str) -> None:
    """Nothing that git could take for an option, a range or a pattern is a target."""
    with pytest.raises(Invalid) as refused:
        check_target(target)

    assert list(refused.value.fields) == ["config.target_branch"]


def test_a_masked_url_shows_no_credential() -> None:
    """What stands before the `@` of a URL's host is hidden wherever it is in a text."""
    masked = mask_url("cannot use https://user:secret@host/r twice https://t@h/")

    assert masked == "cannot use https://***@host/r twice https://***@h/"


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("https://github.com/o/r", ProviderName.GITHUB),
        ("git@GitHub.com:o/r.git", ProviderName.GITHUB),
        ("https://gitlab.com/group/subgroup/project.git", ProviderName.GITLAB),
        ("ssh://git@codeberg.org/o/r", ProviderName.GITEA),
        ("https://gitea.com/o/r", ProviderName.GITEA),
        ("https://bitbucket.org/o/r", ProviderName.BITBUCKET),
        ("http://git.corp.example:3000/o/r", ProviderName.GITLAB),
        ("https://evil.github.com/o/r", None),
        ("https://github.com.evil.example/o/r", None),
        ("https://sub.git.corp.example/o/r", None),
        ("https://example.com/owner/repo.git", None),
        ("file:///srv/r", None),
    ],
)
def test_the_host_alone_tells_the_provider(url: str, provider: ProviderName | None) -> None:
    """Public hosts are known, others are what the operator says; none is guessed from its name."""
    assert provider_of(parse_remote(url), {"Git.Corp.example": "gitlab"}) == provider


def test_the_operators_word_about_a_host_goes_first() -> None:
    """A public host may be mapped elsewhere; a provider that does not exist is refused."""
    remote = parse_remote("https://gitea.com/o/r")

    assert provider_of(remote, {"gitea.com": "GitHub"}) is ProviderName.GITHUB
    with pytest.raises(Invalid, match="svn") as refused:
        provider_of(remote, {"gitea.com": "svn"})
    assert list(refused.value.fields) == ["git.provider_domains"]
