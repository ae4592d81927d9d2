"""The record format at rest: it opens for its owner, and for nothing else."""

from __future__ import annotations

import json

import pytest

from internal.crypto.box import Box, CannotDecrypt, check_value, is_weak, make_key, parse_key
from internal.errors import Invalid

OLD, NEW = b"o" * 31 + b"1", b"n" * 31 + b"2"
BOX = Box({"m1": OLD}, "m1")


def test_a_record_opens_for_its_owner_and_hides_its_content() -> None:
    """Seal and open are inverse; two seals of one value differ."""
    first, second = (BOX.seal("default", "token", 1, "ghp_secret") for _ in range(2))

    assert BOX.open("default", "token", first) == "ghp_secret"
    assert first != second
    assert "ghp_secret" not in first


@pytest.mark.parametrize(
    ("tenant", "name"), [("other", "token"), ("default", "other")], ids=["tenant", "name"]
)
def test_a_record_copied_to_another_owner_does_not_open(tenant: str, name: str) -> None:
    """Tenant and name are associated data."""
    record = BOX.seal("default", "token", 1, "secret")

    with pytest.raises(CannotDecrypt):
        BOX.open(tenant, name, record)


@pytest.mark.parametrize("field", ["fmt", "kid", "rev", "nonce", "ct"])
def test_a_changed_field_makes_a_record_useless(field: str) -> None:
    """Every field counts, and no message repeats what was hidden."""
    fields = json.loads(BOX.seal("default", "token", 1, "secret"))
    value = fields[field]
    fields[field] = (
        value + 1 if isinstance(value, int) else ("B" if value[0] != "B" else "C") + value[1:]
    )

    with pytest.raises(CannotDecrypt) as caught:
        BOX.open("default", "token", json.dumps(fields))

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("record", ["", "{}", "[]", "null", '{"fmt":1}', "not json"])
def test_a_damaged_record_is_an_error_of_ours(record: str) -> None:
    """Whatever lies in Redis, opening it raises CannotDecrypt."""
    with pytest.raises(CannotDecrypt):
        BOX.open("default", "token", record)


def test_an_old_key_still_opens_and_the_new_one_seals() -> None:
    """Rotation without a pause: records name their key."""
    both = Box({"m1": OLD, "m2": NEW}, "m2")
    old = BOX.seal("default", "token", 1, "kept")

    assert both.open("default", "token", old) == "kept"
    assert json.loads(both.seal("default", "token", 1, "x"))["kid"] == "m2"
    with pytest.raises(CannotDecrypt, match="m2"):
        BOX.open("default", "token", both.seal("default", "token", 1, "x"))


@pytest.mark.parametrize("text", ["", "short", "!" * 44, "QUFB"])
def test_a_key_that_is_not_32_bytes_is_refused_without_repeating_it(text: str) -> None:
    """Configuration errors never print the key."""
    with pytest.raises(Invalid) as caught:
        parse_key(text)

    assert not text or text not in str(caught.value)


def test_weak_keys_are_told_from_random_ones() -> None:
    """A typed key warns, a generated one does not; check values differ."""
    made = parse_key(make_key())

    assert is_weak(b"test-encryption-key-32-bytes-xxx")
    assert not is_weak(made)
    assert check_value(made) != check_value(OLD)
