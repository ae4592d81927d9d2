"""Secrets out of text: given ones in every spelling, shapes of known ones, whole or in pieces."""

from __future__ import annotations

import base64
import json
from itertools import pairwise
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internal.redact import KnownSecrets, Redactor, StreamRedactor, mask_url

SECRET = 'p4ss/wörd+"42" ?'  # noqa: S105 - made up
TOKEN = "ghp_" + "a1B2" * 9
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA0\nx+/=\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlLW9mLWl0"

PIECES = [
    SECRET,
    SECRET[:9],
    TOKEN,
    TOKEN[:20],
    KEY,
    KEY[:40],
    JWT,
    JWT[:22],
    " ",
    "\n",
    "task-",
    "://",
    "u:p@h",
]
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=12).map("".join)


@pytest.mark.parametrize(
    "spelled",
    [
        SECRET,
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        quote(SECRET),
        quote(SECRET, safe="").lower(),
        quote_plus(SECRET),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
    ],
)
def test_a_given_secret_is_found_in_every_spelling(spelled: str) -> None:
    """
    Tools print a secret as JSON, in a URL or as hex; all of it is replaced.
    """
    assert Redactor([SECRET]).redact(f"before {spelled} after") == "before *** after"


@given(st.binary(max_size=7), st.text("abcdefgh0123456789", min_size=6, max_size=40), st.booleans())
def test_a_secret_inside_base64_is_found(before: bytes, secret: str, url_safe: bool) -> None:
    """
    `base64(user:secret)` shifts the secret by any number of bytes; its core is found all the same.
    """
    encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
    encoded = encode(before + secret.encode() + b"@more").decode()

    redacted = Redactor([secret]).redact(encoded)

    assert "***" in redacted
    assert len(redacted) - 3 <= len(encoded) - len(secret) * 8 // 6 + 2


def test_a_secret_of_several_lines_is_found_line_by_line() -> None:
    """
    A log indents or interleaves the lines of a key file; each line is a secret of its own.
    """
    redacted = Redactor(["first line\n  second line\nab"]).redact(
        "> first line\n> second line\n> ab"
    )

    assert redacted == "> ***\n> ***\n> ab"


def test_among_very_many_secrets_each_is_found() -> None:
    """
    A file of many lines is many secrets; the text is looked through once, not once for each.
    """
    redactor = Redactor(["\n".join(f"{number:05}-of-many" for number in range(2000))])

    shown = redactor.redact("00000-of-many, 01999-of-many and 02000-of-many")

    assert shown == "***, *** and 02000-of-many"
    assert redactor.redact("0000") == "0000"


def test_short_secrets_are_not_looked_for() -> None:
    """
    A secret of five characters is in too many words; nothing would stay readable.
    """
    assert Redactor(["", "12345"]).redact("it costs 12345") == "it costs 12345"


def test_the_longest_secret_wins() -> None:
    """
    Where one secret begins with another, nothing of the longer one stays.
    """
    assert Redactor(["abcdef", "abcdefghi"]).redact("abcdefghi") == "***"


@pytest.mark.parametrize(
    "text",
    [
        TOKEN,
        "gho_" + "x" * 36,
        "github_pat_" + "A1_" * 27,
        "glpat-" + "x-Y_z" * 4,
        "sk-ant-api03-" + "aB-_" * 20,
        "sk-proj-" + "aB12" * 10,
        "AKIAIOSFODNN7EXAMPLE",
        JWT,
        KEY,
        KEY.replace("\n", "\\n"),
        KEY.replace("RSA ", ""),
        KEY[:-20],
    ],
)
def test_what_looks_like_a_secret_is_replaced(text: str) -> None:
    """
    Secrets nobody told us of are known by their shape: host tokens, model keys, private keys, JWTs.
    """
    assert Redactor().redact(f"x={text}") == "x=***"


@pytest.mark.parametrize(
    "text",
    [
        "task-0123456789abcdefghijklmn",
        "AKIAIOSFODNN7EXAMPLES",
        "ssh://git@github.com/o/r",
        "https://github.com/@scope/package",
        "mail me@example.com",
        "-----BEGIN CERTIFICATE-----",
        "eyJhbGciOiJIUzI1NiJ9",
        "sk-learn",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    """
    Ids, package names and addresses that resemble secrets are left alone.
    """
    assert Redactor(["hunter22"]).redact(text) == text


def test_the_user_of_a_url_is_replaced() -> None:
    """
    A token in a clone URL is the commonest leak of all.
    """
    text = "fatal: unable to access 'https://oauth2:s3cr3t@git.example.com/r.git/'"

    assert Redactor().redact(text) == "fatal: unable to access 'https://***@git.example.com/r.git/'"


@given(texts, st.lists(st.integers(0, 400), max_size=8))
def test_pieces_give_what_the_whole_gives(text: str, cuts: list[int]) -> None:
    """
    However a stream is cut, the pieces together are the redacted whole: nothing leaks at a border.
    """
    redactor = Redactor([SECRET, "u:p@h" * 2, TOKEN[:12]])
    borders = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    stream = StreamRedactor(redactor)

    pieces = [stream.feed(text[start:end]) for start, end in pairwise(borders)]

    assert "".join([*pieces, stream.flush()]) == redactor.redact(text)


@given(texts)
def test_single_characters_give_what_the_whole_gives(text: str) -> None:
    """
    The finest cut of all.
    """
    redactor = Redactor([SECRET])
    stream = StreamRedactor(redactor)

    assert "".join([*map(stream.feed, text), stream.flush()]) == redactor.redact(text)


def test_a_stream_without_spaces_is_not_held_for_ever() -> None:
    """
    A line without an end takes bounded memory, also when it consists of beginnings of secrets.
    """
    stream = StreamRedactor(Redactor(["hunter2-hunter3"]))

    given_back = sum(len(stream.feed("hunter2-" * 1000)) for _ in range(50))

    assert 50 * 8_000 - given_back < 40_000


def test_words_are_told_at_once() -> None:
    """
    What can be no beginning of a secret is not held back: people watch the stream.
    """
    stream = StreamRedactor(Redactor(["hunter22"]))

    assert stream.feed("Reading the file now. ") == "Reading the file now. "


def test_known_secrets_are_forgotten_by_the_last_user() -> None:
    """
    Two tasks may use the same token; it is known until both are done.
    """
    known = KnownSecrets()
    with known.using("hunter22"):
        with known.using("hunter22"):
            pass
        assert known.redact("hunter22") == "***"

    assert known.redact("hunter22") == "hunter22"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:p/w@d@localhost:6379/0", "redis://***@localhost:6379/0"),
        ("redis://user:1234@host", "redis://***@host"),
        ("unix://:pw@/run/redis.sock?db=1", "unix://***@/run/redis.sock?db=1"),
        ("https://host/x?access_token=abc&page=2", "https://host/x?access_token=***&page=2"),
        ("https://host/@scope/x", "https://host/@scope/x"),
        ("git@github.com:o/r", "git@github.com:o/r"),
        ("", ""),
    ],
)
def test_a_shown_url_has_no_password(url: str, shown: str) -> None:
    """
    A URL in a log or in `config show` names the place and not the way in.
    """
    assert mask_url(url) == shown
