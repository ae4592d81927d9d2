"""API tokens and message authentication."""

from __future__ import annotations

import re

from internal.crypto.bearer import is_token, make_token, token_hash
from internal.crypto.mac import hmac_sha256, is_same


def test_a_token_is_recognised_by_its_hash() -> None:
    """
    Only the token itself fits the stored hash.
    """
    token = make_token()

    assert is_token(token, token_hash(token))
    assert not is_token(make_token(), token_hash(token))
    assert not is_token("", token_hash(token))
    assert not is_token(token_hash(token), token_hash(token))


def test_a_token_is_safe_everywhere() -> None:
    """
    It needs no quoting in a header, a URL or a shell, and says whose it is.
    """
    assert re.fullmatch(r"cft_[A-Za-z0-9_-]{43}", make_token())


def test_strange_tokens_are_just_wrong() -> None:
    """
    Text that is no ASCII, or no valid Unicode, is compared and refused, not an error.
    """
    assert not is_token("schlüssel", token_hash("x"))
    assert not is_token("\ud800", token_hash("x"))
    assert is_same("schlüssel", "schlüssel".encode())
    assert not is_same("a", "b")


def test_hmac_follows_the_published_vector() -> None:
    """
    RFC 4231, test case 2.
    """
    mac = hmac_sha256(b"Jefe", b"what do ya want for nothing?")

    assert mac.hex() == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
