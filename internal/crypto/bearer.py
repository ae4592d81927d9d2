"""
API tokens: made from 256 random bits, kept as a hash, compared in constant time.

A token is random, not a password, so one fast hash is enough: there is nothing to guess. It ends
in a checksum, as GitHub's tokens do, so a secret scanner is sure of what it found and a misspelt
token is told from a revoked one without asking anybody.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib

from internal.crypto.mac import is_same

_MARK = "cft_"  # lets people and secret scanners tell what a leaked string is
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_BITS = 256
_RANDOM_DIGITS, _CHECKSUM_DIGITS = 43, 6  # of base 62; what 256 and 32 bits need
_SHAPE = re.compile(rf"{_MARK}[0-9A-Za-z]{{{_RANDOM_DIGITS + _CHECKSUM_DIGITS}}}", re.ASCII)


def make_token() -> str:
    """A new token of 53 characters, safe in headers, URLs and shells."""
    begin = _MARK + _base62(secrets.randbits(_RANDOM_BITS), _RANDOM_DIGITS)
    return begin + _checksum(begin)


def is_well_formed(token: str) -> bool:
    """Whether `make_token` can have made *token*, by its shape and its checksum."""
    return bool(_SHAPE.fullmatch(token)) and token.endswith(_checksum(token[:-_CHECKSUM_DIGITS]))


def token_hash(token: str) -> str:
    """What is stored instead of *token*: SHA-256 as 64 hex digits."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def is_token(given: str, expected_hash: str) -> bool:
    """Whether *given* is the token with this hash. The time taken tells nothing about the token."""
    return is_same(token_hash(given), expected_hash)


def _checksum(begin: str) -> str:
    return _base62(zlib.crc32(begin.encode()), _CHECKSUM_DIGITS)


def _base62(value: int, digits: int) -> str:
    return "".join(_DIGITS[value // 62**place % 62] for place in reversed(range(digits)))
