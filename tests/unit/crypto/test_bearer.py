"""API tokens and message authentication."""

from __future__ import annotations

import re

from internal.crypto.bearer import is_token, is_well_formed, make_token, token_hash
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
    assert re.fullmatch(r"cft_[A-Za-z0-9]{49}", make_token())


def test_a_misspelt_token_is_told_without_asking() -> None:
    """
    Any one character changed, lost or added breaks the checksum.
    """
    token = make_token()
    other = "b" if token[20] == "a" else "a"

    assert is_well_formed(token)
    assert not is_well_formed(token[:20] + other + token[21:])
    assert not is_well_formed(token[:-1])
    assert not is_well_formed(token + "0")
    assert not is_well_formed(token + "\n")
    assert not is_well_formed("cft_" + "é" * 49)


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
