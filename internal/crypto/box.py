"""
Encryption at rest: AES-256-GCM with versioned master keys, bound to what a record belongs to.

Each tenant has a sub-key (HKDF-SHA256 of the master key), so nonces are few per key. Tenant, name
and revision are associated data: a record copied to another row, or an old one put back, does not
open. A record is JSON text `{"fmt":1,"kid":...,"rev":...,"nonce":...,"ct":...}`; it names its
master key, so keys can be rotated without a pause.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from internal.errors import CodeforgeError, Invalid

KEY_BYTES = 32
FORMAT = 1
DEFAULT_KEY_ID = "m1"
_NONCE_BYTES = 12
_FEW_DISTINCT = 12
"""A random key of 32 bytes has fewer than 12 distinct ones with a chance below 1e-20."""


class CannotDecrypt(CodeforgeError):  # noqa: N818 -- named as all of `internal.errors`
    """A record does not open: another master key, another owner, or it was changed."""


class Box:
    """Seals with the active master key, opens with any known one."""

    def __init__(self, master_keys: Mapping[str, bytes], active: str) -> None:
        """*master_keys*: 32 bytes by key id; *active* is the id new records are sealed with."""
        for key_id, key in master_keys.items():
            if len(key) != KEY_BYTES:
                raise Invalid(f"master key {key_id} must have {KEY_BYTES} bytes")
        if active not in master_keys:
            raise Invalid(f"there is no master key {active}")
        self._master_keys = dict(master_keys)
        self._active = active
        self._ciphers: dict[tuple[str, str], AESGCM] = {}

    def seal(self, tenant: str, name: str, revision: int, plaintext: str) -> str:
        """The record of *plaintext*, which opens only for the same tenant, name and revision."""
        nonce = os.urandom(_NONCE_BYTES)
        bound_to = _associated(self._active, tenant, name, revision)
        sealed = self._cipher(self._active, tenant).encrypt(nonce, plaintext.encode(), bound_to)
        record = {
            "fmt": FORMAT,
            "kid": self._active,
            "rev": revision,
            "nonce": base64.b64encode(nonce).decode(),
            "ct": base64.b64encode(sealed).decode(),
        }
        return json.dumps(record, separators=(",", ":"))

    def open(self, tenant: str, name: str, record: str) -> str:
        """
        The plaintext of a record.

        Raises:
            CannotDecrypt: it does not open; the message holds nothing of it.
        """
        try:
            fields = json.loads(record)
            if fields["fmt"] != FORMAT:
                raise CannotDecrypt(f"record format {fields['fmt']} is not known")
            key_id, revision = str(fields["kid"]), int(fields["rev"])
            nonce = base64.b64decode(fields["nonce"], validate=True)
            sealed = base64.b64decode(fields["ct"], validate=True)
        except (ValueError, KeyError, TypeError) as error:
            raise CannotDecrypt("the record is damaged") from error
        if key_id not in self._master_keys:
            raise CannotDecrypt(f"master key {key_id} is not configured")
        bound_to = _associated(key_id, tenant, name, revision)
        try:
            return self._cipher(key_id, tenant).decrypt(nonce, sealed, bound_to).decode()
        except (InvalidTag, ValueError) as error:
            raise CannotDecrypt("the record does not belong here, or was changed") from error

    def _cipher(self, key_id: str, tenant: str) -> AESGCM:
        if (key_id, tenant) not in self._ciphers:
            info = f"keyreg/v1|{tenant}".encode()
            derived = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info)
            self._ciphers[key_id, tenant] = AESGCM(derived.derive(self._master_keys[key_id]))
        return self._ciphers[key_id, tenant]


def parse_key(text: str) -> bytes:
    """
    A master key from base64 of exactly 32 bytes.

    Raises:
        Invalid: it is something else; the message does not repeat it.
    """
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid("the key must be base64 of 32 bytes") from error
    if len(key) != KEY_BYTES:
        raise Invalid(f"the key must be base64 of 32 bytes, this has {len(key)}")
    return key


def make_key() -> str:
    """A new random master key, as base64."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def is_weak(key: bytes) -> bool:
    """Whether a key looks typed rather than random: text, or few distinct bytes."""
    return len(set(key)) < _FEW_DISTINCT or all(32 <= byte < 127 for byte in key)


def check_value(key: bytes) -> str:
    """8 hex digits that tell two keys apart and nothing about either."""
    return hashlib.sha256(b"codeforge key check|" + key).hexdigest()[:8]


def _associated(key_id: str, tenant: str, name: str, revision: int) -> bytes:
    bound_to = ["keyreg", FORMAT, key_id, tenant, name, revision]
    return json.dumps(bound_to, separators=(",", ":")).encode()
