"""Secrets at rest: what opens, what does not, and a record written by hand."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from internal.crypto.box import Box, SealBroken

OLD, NEW = bytes(range(100, 132)), bytes(range(7, 7 + 64, 2))
PLACE = ("team-a", "task:1:access_token")

CHANGES: list[tuple[str, Callable[[str], object]]] = [
    ("fmt", lambda _: 2),
    ("kid", lambda _: "m2"),
    ("rev", lambda _: 2),
    ("rev", lambda _: True),
    ("nonce", lambda text: _flip(text, 0)),
    ("nonce", lambda text: _flip(text, 11)),
    ("nonce", lambda _: ""),
    ("ct", lambda text: _flip(text, 0)),
    ("ct", lambda text: _flip(text, -1)),
    ("ct", lambda text: _base64(base64.b64decode(text)[:-1])),
    ("ct", lambda _: ""),
    ("ct", lambda text: text[:-1]),
    ("ct", lambda _: None),
]


@pytest.fixture
def box() -> Box:
    return Box({"m1": OLD}, active="m1")


@given(st.text(), st.text(), st.text(), st.integers(0, 1 << 40))
def test_what_was_sealed_opens_in_its_place(tenant: str, name: str, text: str, rev: int) -> None:
    """
    Any text comes back whole for the tenant and name it was sealed for.
    """
    box = Box({"m1": OLD}, active="m1")
    encodable = tenant.encode(errors="replace").decode()

    record = box.seal(encodable, name, rev, text)

    assert box.open(encodable, name, record) == text


def test_the_record_can_be_written_by_another_program(box: Box) -> None:
    """
    The format is a promise: HKDF-SHA256 per tenant, AES-256-GCM, the place as compact JSON.
    """
    pseudorandom = hmac.digest(bytes(32), OLD, hashlib.sha256)
    subkey = hmac.digest(pseudorandom, b"keyreg/v1|team-a\x01", hashlib.sha256)
    nonce = b"\x01" * 12
    bound = b'["keyreg",1,"m1","team-a","task:1:access_token",3]'
    ct = AESGCM(subkey).encrypt(nonce, b"hunter22", bound)
    record = {"fmt": 1, "kid": "m1", "rev": 3, "nonce": _base64(nonce), "ct": _base64(ct)}

    assert box.open(*PLACE, json.dumps(record)) == "hunter22"


def test_the_same_secret_never_looks_the_same(box: Box) -> None:
    """
    Each record has a nonce of its own, so equal secrets cannot be told to be equal.
    """
    one, other = (json.loads(box.seal(*PLACE, 1, "hunter22")) for _ in range(2))

    assert one["nonce"] != other["nonce"]
    assert one["ct"] != other["ct"]


@pytest.mark.parametrize("place", [("team-b", PLACE[1]), (PLACE[0], "task:2:access_token")])
def test_a_copied_record_does_not_open(box: Box, place: tuple[str, str]) -> None:
    """
    Who can write to Redis cannot make another tenant or task use a secret.
    """
    record = box.seal(*PLACE, 1, "hunter22")

    with pytest.raises(SealBroken):
        box.open(*place, record)


@pytest.mark.parametrize(("member", "change"), CHANGES)
def test_a_changed_member_does_not_open(member: str, change: Callable[[str], object]) -> None:
    """
    Nothing of a record can be changed: not its text, not the key it names, not its revision.
    """
    box = Box({"m1": OLD, "m2": NEW}, active="m1")
    record = json.loads(box.seal(*PLACE, 1 if member != "rev" else 3, "hunter22"))
    record[member] = change(record[member])

    with pytest.raises(SealBroken) as caught:
        box.open(*PLACE, json.dumps(record))

    assert "hunter22" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "no json", '{"fmt": 1}', "[" * 100_000])
def test_what_is_no_record_is_refused(box: Box, text: str) -> None:
    """
    A damaged value in Redis is one clear error and not a crash of the worker.
    """
    with pytest.raises(SealBroken, match="no record"):
        box.open(*PLACE, text)


def test_every_byte_of_the_ciphertext_counts(box: Box) -> None:
    """
    A change of any byte is found.
    """
    record = json.loads(box.seal(*PLACE, 1, "hunter22"))
    whole = record["ct"]
    for index in range(len(base64.b64decode(whole))):
        record["ct"] = _flip(whole, index)
        with pytest.raises(SealBroken):
            box.open(*PLACE, json.dumps(record))


def test_older_master_keys_still_open(box: Box) -> None:
    """
    A new active key seals what comes; what was sealed before stays readable while its key is known.
    """
    record = box.seal(*PLACE, 1, "hunter22")

    rotated = Box({"m1": OLD, "m2": NEW}, active="m2")

    assert rotated.open(*PLACE, record) == "hunter22"
    assert json.loads(rotated.seal(*PLACE, 2, "hunter23"))["kid"] == "m2"


def test_a_record_under_an_unknown_master_key_says_so(box: Box) -> None:
    """
    A missing key is told apart from a damaged record, because the operator can add it.
    """
    record = Box({"m2": NEW}, active="m2").seal(*PLACE, 1, "hunter22")

    with pytest.raises(SealBroken, match="not configured here"):
        box.open(*PLACE, record)


def test_a_box_never_shows_its_keys(box: Box) -> None:
    """
    A log of the object names key ids only.
    """
    assert repr(box) == "Box(keys=['m1'], active='m1')"


@pytest.mark.parametrize(("keys", "active"), [({}, "m1"), ({"m1": OLD}, "m2"), ({"m1": b""}, "m1")])
def test_a_box_needs_its_active_key(keys: dict[str, bytes], active: str) -> None:
    """
    A mistake in the wiring is found when the process starts.
    """
    with pytest.raises(ValueError, match="master key"):
        Box(keys, active)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _flip(text: str, index: int) -> str:
    data = bytearray(base64.b64decode(text))
    data[index] ^= 1
    return _base64(bytes(data))


def test_a_fingerprint_tells_secrets_apart_and_nothing_else() -> None:
    """Equal for equal ones of one tenant under one key; short, and of no use to find the secret."""
    one, other = Box({"a": bytes(32)}, "a"), Box({"a": bytes(32), "b": b"b" * 32}, "b")

    found = one.fingerprint("t", "secret")

    assert found == Box({"a": bytes(32)}, "a").fingerprint("t", "secret")
    assert re.fullmatch("[0-9a-f]{16}", found)
    different = [
        one.fingerprint("t", "other"),
        one.fingerprint("u", "secret"),
        other.fingerprint("t", "secret"),
    ]
    assert len({found, *different}) == 4
