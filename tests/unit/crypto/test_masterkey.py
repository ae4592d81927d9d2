"""Master keys: what is one, what looks made up, and how two are told apart."""

from __future__ import annotations

import base64

import pytest

from internal.crypto.masterkey import check_value, is_weak, make_key, parse_key
from internal.errors import Invalid


def test_a_made_key_is_good() -> None:
    """
    What we make ourselves is 32 random bytes in base64, and never the same twice.
    """
    made = [make_key() for _ in range(100)]

    assert len(set(made)) == 100
    assert not any(is_weak(parse_key(text)) for text in made)


@pytest.mark.parametrize(
    "text", ["", "no base64!", "c2hvcnQ=", base64.b64encode(bytes(33)).decode()]
)
def test_what_is_no_key_is_refused_without_repeating_it(text: str) -> None:
    """
    A wrong setting says what is expected; it may be a secret, so the message does not show it.
    """
    with pytest.raises(Invalid, match="base64") as caught:
        parse_key(text)

    assert not text or text not in str(caught.value)
    assert caught.value.__cause__ is None


def test_space_around_a_key_does_not_matter() -> None:
    """
    A key read from a file often ends with a newline.
    """
    text = make_key()

    assert parse_key(f" {text}\n") == parse_key(text)


@pytest.mark.parametrize(
    "key",
    [
        bytes(32),
        b"\xff" * 32,
        bytes(range(32)),
        bytes(range(64, 0, -2)),
        b"ab" * 16,
        b"correct horse battery staple 123",
    ],
)
def test_made_up_keys_are_weak(key: bytes) -> None:
    """
    Zeros, counters, repetitions and readable text are examples or passwords, not keys.
    """
    assert len(key) == 32
    assert is_weak(key)


def test_check_values_tell_keys_apart() -> None:
    """
    The same key has the same value everywhere, another key another one.
    """
    assert check_value(bytes(32)) == check_value(bytes(32)) == "fe7c4f7c"
    assert len({check_value(parse_key(make_key())) for _ in range(50)}) == 50
