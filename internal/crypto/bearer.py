"""
API tokens: made from 256 random bits, kept as a hash, compared in constant time.

A token is random, not a password, so one fast hash is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import secrets

from internal.crypto.mac import is_same

_MARK = "cft_"  # lets people and secret scanners tell what a leaked string is
_RANDOM_BYTES = 32


def make_token() -> str:
    """A new token of 47 characters, safe in headers, URLs and shells."""
    return _MARK + secrets.token_urlsafe(_RANDOM_BYTES)


def token_hash(token: str) -> str:
    """What is stored instead of *token*: SHA-256 as 64 hex digits."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def is_token(given: str, expected_hash: str) -> bool:
    """Whether *given* is the token with this hash. The time taken tells nothing about the token."""
    return is_same(token_hash(given), expected_hash)
