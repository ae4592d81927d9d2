"""
Secrets at rest: AES-256-GCM, each ciphertext bound to its place.

A record carries the id of its master key, so keys can be rotated without downtime. Tenant, name,
revision and key id are authenticated with it: a record copied to another tenant or name, or an old
one put back under a newer revision, does not open. Each tenant has a key of its own, derived from
the master key, so one key never encrypts enough for random nonces to meet.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from internal.crypto.mac import hmac_sha256
from internal.crypto.masterkey import KEY_BYTES
from internal.errors import CodeforgeError

_FORMAT = 1
_NONCE_BYTES = 12
_FINGERPRINT_BYTES = 8


class SealBroken(CodeforgeError):  # noqa: N818 - named as all of `internal.errors`
    """A record cannot be opened: tampered with, out of place, or under a key we do not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    kid: str
    rev: int
    nonce: bytes
    ct: bytes


class Box:
    """
    Seals with one master key, opens with any of them.

    *master_keys* maps a key's id to its 32 bytes; *active* is the id of the one that seals.
    """

    def __init__(self, master_keys: Mapping[str, bytes], active: str) -> None:
        """Raises ValueError when *active* is not among the keys, or one is not of 32 bytes."""
        if active not in master_keys:
            raise ValueError(f"there is no master key {active!r}")
        if any(len(key) != KEY_BYTES for key in master_keys.values()):
            raise ValueError(f"a master key has {KEY_BYTES} bytes")
        self._master_keys = dict(master_keys)
        self._active = active

    @property
    def active(self) -> str:
        """The id of the master key that seals."""
        return self._active

    def __repr__(self) -> str:
        return f"Box(keys={sorted(self._master_keys)}, active={self._active!r})"

    def seal(self, tenant: str, name: str, revision: int, plaintext: str) -> str:
        """
        *plaintext* as a record: JSON text of `fmt`, `kid`, `rev`, `nonce`, and `ct` with its tag.

        *name* says what it is, unique in its tenant; *revision* counts its values.
        """
        kid, nonce = self._active, os.urandom(_NONCE_BYTES)
        bound = _associated(kid, tenant, name, revision)
        text = plaintext.encode(errors="surrogatepass")  # JSON may spell half a character
        ct = self._cipher(kid, tenant).encrypt(nonce, text, bound)
        return _encode(_Record(kid=kid, rev=revision, nonce=nonce, ct=ct))

    def open(self, tenant: str, name: str, record: str) -> str:
        """
        What was sealed for this tenant and name.

        Raises:
            SealBroken: the record is damaged, belongs elsewhere, or its key is not known here.
        """
        parts = _decode(record)
        if parts.kid not in self._master_keys:
            raise SealBroken("A stored secret is under a master key that is not configured here.")
        bound = _associated(parts.kid, tenant, name, parts.rev)
        try:
            plaintext = self._cipher(parts.kid, tenant).decrypt(parts.nonce, parts.ct, bound)
        except (InvalidTag, ValueError):  # ValueError: a nonce of a length that AES-GCM refuses
            raise SealBroken(
                "A stored secret does not open: it was changed, moved, or sealed with another key."
            ) from None
        return plaintext.decode(errors="surrogatepass")

    def reseal(self, tenant: str, name: str, record: str) -> str:
        """
        The same secret, of the same revision, under the active master key.

        Raises:
            SealBroken: as `open`.
        """
        plaintext = self.open(tenant, name, record)
        return self.seal(tenant, name, _decode(record).rev, plaintext)

    def fingerprint(self, tenant: str, secret: str) -> str:
        """
        16 hex digits that tell *secret* apart from others of its tenant, and say nothing of it.

        Equal in every process with the same active master key; another one after a rotation.
        """
        info = f"fingerprint/v{_FORMAT}|{tenant}".encode()
        derive = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info)
        key = derive.derive(self._master_keys[self._active])
        return hmac_sha256(key, secret.encode(errors="surrogatepass"))[:_FINGERPRINT_BYTES].hex()

    def _cipher(self, kid: str, tenant: str) -> AESGCM:
        info = f"keyreg/v{_FORMAT}|{tenant}".encode()
        derive = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info)
        return AESGCM(derive.derive(self._master_keys[kid]))


def kid_of(record: str) -> str | None:
    """The id of the master key that *record* was sealed with; None for what is no record."""
    try:
        return _decode(record).kid
    except SealBroken:
        return None


def _associated(kid: str, tenant: str, name: str, revision: int) -> bytes:
    place = ["keyreg", _FORMAT, kid, tenant, name, revision]
    return json.dumps(place, separators=(",", ":")).encode("ascii")


def _encode(record: _Record) -> str:
    members = {
        "fmt": _FORMAT,
        "kid": record.kid,
        "rev": record.rev,
        "nonce": base64.b64encode(record.nonce).decode("ascii"),
        "ct": base64.b64encode(record.ct).decode("ascii"),
    }
    return json.dumps(members, separators=(",", ":"))


def _decode(text: str) -> _Record:
    try:
        return _record(json.loads(text))
    except (ValueError, RecursionError):
        raise SealBroken("A stored secret is no record that this version can read.") from None


def _record(members: object) -> _Record:
    """Raises ValueError when *members* are not those of a record that we know."""
    match members:
        case {
            "fmt": int(fmt),
            "kid": str(kid),
            "rev": int(rev),
            "nonce": str(nonce),
            "ct": str(ct),
        }:
            if fmt != _FORMAT:
                raise ValueError(fmt)
            return _Record(
                kid=kid,
                rev=rev,
                nonce=base64.b64decode(nonce, validate=True),
                ct=base64.b64decode(ct, validate=True),
            )
        case _:
            raise ValueError
