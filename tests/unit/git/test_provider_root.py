"""Where the API of a host lies, and how it names a repository."""

from __future__ import annotations

import pytest

from internal.errors import Invalid
from internal.git.model import ProviderName
from internal.git.provider.root import Place, place_of, root_of
from internal.git.remote import parse_remote

_GITHUB, _GITLAB, _GITEA, _BITBUCKET = ProviderName


@pytest.mark.parametrize(
    ("name", "url", "base_url", "root", "path"),
    [
        (_GITHUB, "https://github.com/o/r.git", None, "https://api.github.com", "o/r"),
        (_GITHUB, "git@github.com:o/r.git", None, "https://api.github.com", "o/r"),
        (_GITHUB, "https://ghe.corp/o/r", None, "https://ghe.corp/api/v3", "o/r"),
        (_GITHUB, "http://ghe.corp:8080/o/r", None, "http://ghe.corp:8080/api/v3", "o/r"),
        (_GITHUB, "https://octo.ghe.com/o/r", None, "https://api.octo.ghe.com", "o/r"),
        (_GITHUB, "https://x/o/r", "https://api.github.com", "https://api.github.com", "o/r"),
        (_GITHUB, "git@x:o/r", "https://x:8443/api/v3/", "https://x:8443/api/v3", "o/r"),
        (_GITLAB, "https://gitlab.com/g/s/t/r.git", None, "https://gitlab.com/api/v4", "g/s/t/r"),
        (_GITLAB, "ssh://git@git.corp:2222/g/r", None, "https://git.corp/api/v4", "g/r"),
        (_GITLAB, "http://c/gl/g/r", "http://c/gl", "http://c/gl/api/v4", "g/r"),
        (_GITLAB, "https://[::1]:8443/g/r", None, "https://[::1]:8443/api/v4", "g/r"),
        (_GITLAB, "ssh://git@[::1]/g/r", None, "https://[::1]/api/v4", "g/r"),
        (_GITEA, "https://codeberg.org/o/r", None, "https://codeberg.org/api/v1", "o/r"),
        (_GITEA, "http://c:3000/o/r", "http://c:3000/", "http://c:3000/api/v1", "o/r"),
        (_BITBUCKET, "git@bitbucket.org:w/r", None, "https://api.bitbucket.org/2.0", "w/r"),
    ],
)
def test_the_place_of_an_api(
    name: ProviderName, url: str, base_url: str | None, root: str, path: str
) -> None:
    """Scheme and port are kept; a base URL may be the site's or the API's."""
    assert place_of(name, parse_remote(url), base_url) == Place(root=root, path=path)


@pytest.mark.parametrize("base_url", ["ftp://x", "x", "https://user:pass@x", "https://"])
def test_a_base_url_that_makes_no_sense_is_refused(base_url: str) -> None:
    """It is http or https, and holds no credential."""
    with pytest.raises(Invalid):
        place_of(_GITEA, parse_remote("https://x/o/r"), base_url)


def test_a_repository_has_an_owner() -> None:
    """One part is no repository of any host; more than two are one of GitLab only."""
    with pytest.raises(Invalid) as refused:
        place_of(_GITLAB, parse_remote("https://gitlab.com/r"), None)
    deep = place_of(_GITHUB, parse_remote("https://github.com/o/r/s"), None)

    assert list(refused.value.fields) == ["repo_url"]
    with pytest.raises(Invalid):
        _ = deep.owner_and_name


def test_a_token_without_a_repository_is_asked_of_the_public_site() -> None:
    """Gitea has several, so it needs a base URL."""
    assert root_of(_BITBUCKET, None) == "https://api.bitbucket.org/2.0"
    assert root_of(_GITEA, "https://codeberg.org") == "https://codeberg.org/api/v1"
    with pytest.raises(Invalid) as refused:
        root_of(_GITEA, None)
    assert list(refused.value.fields) == ["base_url"]
