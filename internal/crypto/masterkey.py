"""
Master keys: 32 bytes, written as base64, told apart by a short check value.

The check value lies in Redis and in messages, so that a process with another key is refused before
it writes what nobody else can read.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from itertools import pairwise

from internal.crypto.mac import hmac_sha256
from internal.errors import Invalid

KEY_BYTES = 32

_CHECK_MESSAGE = b"codeforge master key check value"
_CHECK_BYTES = 4
# 32 random bytes hold 30 different values on average, fewer than 16 once in 10^16 keys.
_FEWEST_DIFFERENT = 16


def make_key() -> str:
    """A new random master key, as base64."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode("ascii")


def parse_key(text: str) -> bytes:
    """
    The 32 bytes that *text* spells in base64.

    Raises:
        Invalid: it is no base64, or of another length. The message does not repeat it.
    """
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        # The cause would repeat the text.
        raise Invalid("The key must be base64 (`openssl rand -base64 32`).") from None
    if len(key) != KEY_BYTES:
        raise Invalid(f"The key must be base64 of {KEY_BYTES} bytes; this is {len(key)} bytes.")
    return key


def is_weak(key: bytes) -> bool:
    """
    Whether *key* looks made up instead of random: few values, one step, or readable text.

    Fewer than one random key in 10^13 is called weak.
    """
    steps = {(after - before) % 256 for before, after in pairwise(key)}
    is_text = all(32 <= byte < 127 for byte in key)
    return len(set(key)) < _FEWEST_DIFFERENT or len(steps) == 1 or is_text


def check_value(key: bytes) -> str:
    """8 hex digits that tell keys apart and say nothing about them."""
    return hmac_sha256(key, _CHECK_MESSAGE)[:_CHECK_BYTES].hex()
