"""What counts as a URL that we call: http or https, a host, no credentials in it."""

from __future__ import annotations

import httpx2

from internal.errors import Invalid

_MAX_LETTERS = 2_048


def parse_http_url(text: str) -> httpx2.URL:
    """
    The URL, with its host in the form that goes to DNS (lower case, IDNA).

    Raises:
        Invalid: it is too long or no absolute http(s) URL, or it carries a user or a password:
        those
            would end in logs and task documents.
    """
    if len(text) > _MAX_LETTERS:
        raise Invalid(f"The URL is longer than {_MAX_LETTERS} characters.")
    try:
        url = httpx2.URL(text)
        host = url.raw_host.decode("ascii")
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise Invalid("This is no valid URL.") from error
    if url.scheme not in ("http", "https"):
        raise Invalid("The URL must begin with http:// or https://.")
    if not host or "%" in host:
        raise Invalid("The URL has no valid host.")
    if url.port is not None and not 0 < url.port < 65_536:
        raise Invalid("The URL's port must be between 1 and 65535.")
    if url.userinfo:
        raise Invalid("The URL must not contain a user or a password.")
    return url
